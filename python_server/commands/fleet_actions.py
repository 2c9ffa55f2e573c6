"""What the actions of ``pocketfleet fleet`` do, and print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployment.fleet import Outcome, Session
    from deployment.inventory import DeviceEntry, Inventory

__all__ = [
    "calibrate",
    "collect",
    "discover",
    "enrol",
    "list_devices",
    "logs",
    "probe",
    "push",
    "start",
    "status",
    "stop",
    "trust",
    "uninstall",
]


def _chosen(options: argparse.Namespace) -> tuple[Inventory, list[DeviceEntry]]:
    from deployment.errors import InventoryError
    from deployment.inventory import load_inventory

    inventory = load_inventory(options.inventory)
    devices = inventory.choose([*options.names, *options.device], options.group)
    if not devices:
        raise InventoryError(
            f"{inventory.path}: there are no devices in it; add some with `pocketfleet fleet discover`"
        )
    return inventory, devices


def _each(
    options: argparse.Namespace,
    operation: str,
    make_work: Callable[[Inventory], Callable[[Session], Any]],
    show: Callable[[Sequence[Outcome]], None],
    *,
    changes: bool = False,
    done: Callable[[Sequence[Outcome]], None] = lambda outcomes: None,
) -> int:
    """Do something to the chosen devices, and print what came of it.

    ``done`` gets those that went well, unless it was a dry run.
    """
    from deployment.fleet import Fleet as Runner
    from python_server.commands.fleet_watch import choose_watcher

    inventory, devices = _chosen(options)
    for device in devices:
        device.ask()
    with choose_watcher([device.name for device in devices], quiet=options.json) as watcher:
        runner: Runner = Runner(
            inventory,
            watcher=watcher,
            dry_run=options.dry_run,
            jobs=options.jobs,
            take_over=options.take_over,
        )
        outcomes = runner.each(devices, operation, make_work(inventory), changes=changes)
    good = [outcome for outcome in outcomes if not outcome.error]
    if good and not options.dry_run:
        done(good)
    if options.json:
        print(json.dumps([_as_json(outcome, options.dry_run) for outcome in outcomes], indent=1))
    elif options.dry_run:
        for outcome in outcomes:
            for line in outcome.planned:
                print(f"{outcome.device}: {line}")
            if not outcome.planned and not outcome.error:
                print(f"{outcome.device}: nothing to do")
    else:
        show([outcome for outcome in outcomes if not outcome.error])
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        print(f"pocketfleet: {outcome.error}", file=sys.stderr)
    if len(outcomes) > 1 and failed:
        print(f"pocketfleet: {len(failed)} of {len(outcomes)} devices failed", file=sys.stderr)
    return 1 if failed else 0


def _as_json(outcome: Outcome, dry_run: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "device": outcome.device,
        "error": outcome.error or None,
        "seconds": round(outcome.seconds, 3),
    }
    if dry_run:
        return {**told, "steps": list(outcome.planned)}
    value = outcome.value
    if value is not None and not isinstance(value, (dict, str)):
        value = asdict(value)
    return {**told, "steps": outcome.report.steps, "moved_bytes": outcome.report.moved_bytes, "value": value}


def _summary(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        report = outcome.report
        what = f"{report.steps} steps, {report.moved_bytes / 1e6:.1f} MB" if report.steps else "nothing to do"
        print(f"{outcome.device}: {what}, {outcome.seconds:.1f} s")


def list_devices(options: argparse.Namespace) -> int:
    """Print the inventory."""
    from deployment.inventory import Secret

    _, devices = _chosen(options)
    if options.json:
        print(json.dumps([asdict(device) for device in devices], indent=1, default=str))
        return 0
    rows = [
        (
            device.name,
            device.connect,
            device.address,
            ",".join(device.groups),
            device.profile or "-",
            _short(device.data),
        )
        for device in devices
    ]
    _print_table(("name", "by", "address", "groups", "profile", "data"), rows)
    asked = [device.name for device in devices if Secret(prompt=True) in (device.password, device.passphrase)]
    if asked:
        print(f"asked for: passwords of {', '.join(asked)}")
    return 0


def discover(options: argparse.Namespace) -> int:
    """Add hosts that answer to the inventory."""
    from deployment.adb import find_phones
    from deployment.discover import find_hosts
    from deployment.errors import InventoryError
    from deployment.inventory_edit import add_device

    if options.adb:
        found, silent = find_phones(options.hosts, options.inventory, options.key, options.group, _say)
    elif options.hosts:
        found, silent = find_hosts(options.hosts, options.inventory, options.user, options.key, options.group)
    else:
        raise InventoryError("name the hosts to look at, or say --adb for phones on USB")
    for device in found:
        add_device(options.inventory, device)
    if options.json:
        print(json.dumps({"added": [asdict(device) for device in found], "silent": silent}, indent=1, default=str))
    else:
        for device in found:
            action = "probe" if device.connect == "adb" else "trust"
            print(f"{device.name}: added to {options.inventory}; next: pocketfleet fleet {action} {device.name}")
        for line in silent:
            print(f"pocketfleet: {line}", file=sys.stderr)
        if options.adb and not found and not silent:
            _say(
                "pocketfleet: no further phone was found; is it plugged in, with USB debugging on? USB needs the "
                "server of the adb program (adb start-server) or libusb1 (pip install libusb1, apt install "
                "libusb-1.0-0)"
            )
    return 1 if silent else 0


def trust(options: argparse.Namespace) -> int:
    """Trust host keys."""
    from deployment.errors import DeployError

    inventory, devices = _chosen(options)
    trusted: list[dict[str, str]] = []
    failed: list[str] = []
    for device in devices:
        try:
            trusted += _trust(device, inventory, ask=not options.yes)
        except DeployError as error:  # it is off, say; the others are not
            failed.append(str(error))
    if options.json:
        print(json.dumps(trusted, indent=1))
    else:
        for each in trusted:
            print(f"{each['device']}: trusted {each['host']}")
    for line in failed:
        _say(f"pocketfleet: {line}")
    return 1 if failed else 0


def _trust(device: DeviceEntry, inventory: Inventory, *, ask: bool) -> list[dict[str, str]]:
    """Trust the keys that a device and its jump host show, and return which of them are new."""
    from deployment.known_hosts import KnownHosts, fingerprint
    from deployment.ssh_login import host_keys

    known = KnownHosts(inventory.known_hosts, device.name)
    trusted = []
    for host, key in host_keys(device, inventory.known_hosts) if device.connect == "ssh" else ():
        before = known.trusted(host)
        if key in before:
            continue
        _say(f"{device.name}: {host} shows {fingerprint(key)}")
        for old in before:
            _say(f"{device.name}: trusted so far was {fingerprint(old)}")
        if ask:
            _ask(device.name)
        known.trust(host, key)
        trusted.append({"device": device.name, "host": host, "fingerprint": fingerprint(key)})
    return trusted


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _ask(device: str) -> None:
    from deployment.errors import InventoryError

    if not sys.stdin.isatty():
        raise InventoryError(f"{device}: not trusted: nobody to ask; compare the fingerprint, then add --yes")
    if input("Is it the device's (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub on it)? [y/N] ").lower() != "y":
        raise InventoryError(f"{device}: not trusted")


def probe(options: argparse.Namespace) -> int:
    """Ask devices what they are, and note the profiles that fit in the inventory."""
    from deployment.inventory_edit import set_key
    from deployment.managed import managed

    profiles: dict[str, str] = {}

    def work(session: Session) -> dict[str, Any]:
        value = managed(session).probe()
        if not session.device.profile and value["profile"] != "generic":
            profiles[session.device.name] = value["profile"]
        return value

    def show(outcomes: Sequence[Outcome]) -> None:
        rows = []
        for outcome in outcomes:
            facts = outcome.value["facts"]
            memory = f"{int(facts.get('memory_kib', 0)) / 1e6:.1f} GB"
            what = facts.get("board") or facts.get("host_name", "")
            python = f"{facts.get('python', '')} {outcome.value['runtime']}".strip()
            machine, profile = facts.get("machine", ""), outcome.value["profile"]
            rows.append((outcome.device, what, facts.get("system", ""), machine, memory, python, profile))
        _print_table(("name", "board", "system", "machine", "memory", "python, runtime", "profile"), rows)

    code = _each(options, "probe", lambda inventory: work, show)
    for name, profile in sorted(profiles.items()):
        set_key(options.inventory, name, "profile", profile)
        _say(f"{name}: noted in {options.inventory}: profile = {profile!r}")
    return code


def push(options: argparse.Namespace) -> int:
    """Put releases on devices, or go back to the one before."""
    from deployment.managed import managed

    def make(inventory: Inventory) -> Callable[[Session], None]:
        return lambda session: managed(session).push(inventory.server, rollback=options.rollback)

    return _each(options, "push", make, _summary, changes=True)


def calibrate(options: argparse.Namespace) -> int:
    """Have devices measure how fast they train a bundle, and keep their figures beside the inventory."""
    from deployment import android
    from deployment.errors import PlatformError
    from deployment.operations.calibrate import bundle_file
    from deployment.operations.calibrate import calibrate as steps
    from model_export.bundle import Bundle
    from python_server.planner.calibrations import Calibrations, calibration_file

    loaded = Bundle.load(options.bundle)
    measured = loaded.manifest.costs.measured
    exported = {} if measured is None else {name: each.step_ms for name, each in measured.signatures.items()}
    bundle, kept = bundle_file(loaded), Calibrations(calibration_file(options.inventory))

    def work(session: Session) -> dict[str, Any]:
        if session.device.connect == "adb" and android.is_android(session.connector):
            raise PlatformError(
                session.device.name,
                "the app has no calibration",
                "plan from what its rounds took: pocketfleet plan EXPERIMENT.toml --observed RUN",
            )
        device = session.device
        found: dict[str, Any] = {"device": device.name, "processor": device.processor, "exported_ms": exported}
        session.carry_out(
            steps(
                session.connector,
                session.device,
                bundle,
                found,
                seconds=options.seconds,
                power_threads=options.power_threads,
            )
        )
        return found

    def show(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            measured, link = outcome.value["measured"], outcome.value["link"]
            step, hot = measured["steps"][""], measured["temperature_end_c"]
            time = f"step {step['ms']:.4g} ms ({step['low_ms']:.3g} to {step['high_ms']:.3g})"
            rate = f"{link['download_mbps']:.3g} Mbit/s down, {link['upload_mbps']:.3g} up"
            print(f"{outcome.device}: {time}, {rate}{'' if hot is None else f', {hot:g} °C at the end'}")

    return _each(
        options,
        "calibrate",
        lambda inventory: work,
        show,
        changes=True,
        done=lambda outcomes: kept.add(outcome.value for outcome in outcomes),
    )


def enrol(options: argparse.Namespace) -> int:
    """Enrol devices' keys."""
    from deployment.errors import DeployError
    from deployment.managed import managed
    from python_server.errors import IdentityError
    from python_server.experiment import load_experiment
    from python_server.identity import Identity

    directory = options.identity or Path("identity")
    if options.experiment:
        directory = load_experiment(options.experiment).server.identity
    identity = Identity(directory)

    def show(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            print(f"enrolled {outcome.device} ({outcome.value})")

    def work(session: Session) -> str:
        try:
            return identity.enrol(managed(session).public_key(), session.device.name)
        except IdentityError as error:
            raise DeployError(session.device.name, str(error)) from None

    return _each(options, "enrol", lambda inventory: work, show)


def start(options: argparse.Namespace) -> int:
    """Start clients."""
    from deployment.managed import managed

    return _each(options, "start", lambda inventory: lambda session: managed(session).start(), _summary, changes=True)


def stop(options: argparse.Namespace) -> int:
    """Stop clients."""
    from deployment.managed import managed

    return _each(options, "stop", lambda inventory: lambda session: managed(session).stop(), _summary, changes=True)


def status(options: argparse.Namespace) -> int:
    """Ask devices how they are."""
    from deployment.managed import managed

    def show(outcomes: Sequence[Outcome]) -> None:
        rows = []
        for outcome in outcomes:
            status = outcome.value
            running = status.running or "stopped"
            if status.running and status.running_release != status.release:
                running += " (older release)"
            hot = "-" if status.hottest_c is None else f"{status.hottest_c:.0f} °C"
            battery = "-" if status.battery_percent is None else f"{status.battery_percent} %"
            free = f"{status.free_bytes / 1e9:.1f} GB"
            rows.append((outcome.device, status.release or "-", running, hot, battery, free, status.last_line[:100]))
        _print_table(("name", "release", "client", "heat", "battery", "free", "last line"), rows)

    return _each(options, "status", lambda inventory: lambda session: managed(session).status(), show)


def logs(options: argparse.Namespace) -> int:
    """Print the end of the clients' logs."""
    from deployment.errors import plain_text
    from deployment.managed import managed

    def show(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            for line in map(plain_text, outcome.value.splitlines()):
                print(f"{outcome.device}: {line}" if len(outcomes) > 1 else line)

    return _each(options, "logs", lambda inventory: lambda session: managed(session).log(options.lines), show)


def collect(options: argparse.Namespace) -> int:
    """Fetch logs and states."""
    from deployment.managed import managed

    def show(outcomes: Sequence[Outcome]) -> None:
        _summary(outcomes)
        if outcomes:
            print(f"collected: {options.output}")

    return _each(options, "collect", lambda inventory: lambda session: managed(session).collect(options.output), show)


def uninstall(options: argparse.Namespace) -> int:
    """Remove what was put on devices."""
    from deployment.managed import managed

    def work(session: Session) -> None:
        managed(session).uninstall(forget_key=options.forget_key)

    return _each(options, "uninstall", lambda inventory: work, _summary, changes=True)


def _short(path: Path | None) -> str:
    return "-" if path is None else path.name


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from deployment.errors import plain_text

    lines = [titles, *([plain_text(text) for text in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for row in lines:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
