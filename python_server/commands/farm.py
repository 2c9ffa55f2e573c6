"""``pocketfleet farm``: phones of AWS Device Farm."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from deployment.device_farm import (
    DeviceRules,
    FarmError,
    FarmOperation,
    FarmRecord,
    FarmService,
    PhoneRun,
    account,
    collect_phone,
    estimate,
    find_lost,
    follow,
    is_collected,
    list_devices,
    load_plan,
    merge_into_run,
    prepare,
    refresh,
    stop,
)
from deployment.steps import Step, carry_out
from python_server.commands.farm_words import Percent, phone_line, summary, table

__all__ = ["Farm"]


class Farm:
    """Train on phones of AWS Device Farm."""

    name = "farm"
    help = "train on phones of AWS Device Farm"
    description = (
        "Take phones of AWS Device Farm for some minutes, run the app on them, and fetch what they wrote. The server "
        "has to be on the internet, with TLS. Never run against AWS so far: see docs/device_farm.md."
    )
    examples = """\
examples:
  pocketfleet farm devices --manufacturer Google --oldest-android 12
  pocketfleet farm estimate farm.toml
  pocketfleet farm run farm.toml --dry-run
  pocketfleet farm run farm.toml --yes -o night-1
  pocketfleet farm status night-1 --json | jq '.[] | select(.result == "FAILED")'
  pocketfleet farm stop night-1
  pocketfleet farm collect night-1 --into runs/digits-20261121-220000
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the subcommands and their arguments."""
        actions = parser.add_subparsers(metavar="ACTION", required=True)
        devices = _action(actions, "devices", "list the phones that fit", self._devices)
        devices.add_argument("plan", nargs="?", type=Path, metavar="FARM.toml", help="take the rules of this plan")
        devices.add_argument("--manufacturer", action="append", default=[], metavar="NAME", help="may be given again")
        devices.add_argument("--model", default="", metavar="TEXT", help="a part of the model's name")
        devices.add_argument("--oldest-android", default="8", metavar="VERSION", help="default: %(default)s")
        cost = _action(actions, "estimate", "say what a run costs at most", self._estimate)
        run = _action(actions, "run", "upload, schedule, follow and fetch", self._run)
        for action in (cost, run):
            action.add_argument("plan", type=Path, metavar="FARM.toml", help="what to run")
        run.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: farm-runs/NAME")
        run.add_argument("--yes", action="store_true", help="do not ask before money is spent")
        run.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
        run.add_argument("--detach", action="store_true", help="return when all phones are scheduled")
        status = _action(actions, "status", "ask how the phones are", self._status)
        end = _action(actions, "stop", "end runs; what was done so far is kept", self._stop)
        collect = _action(actions, "collect", "fetch the results of phones that have ended", self._collect)
        for action in (status, end, collect):
            action.add_argument("folder", type=Path, metavar="DIR", help="output of `farm run`")
        end.add_argument("--phone", action="append", metavar="NAME", help="only this one; may be given again")
        collect.add_argument("--into", type=Path, metavar="RUN", help="also put them into a run directory of `train`")
        run.add_argument("--poll", type=_seconds, default=20.0, metavar="S", help="seconds between looks (%(default)g)")

    def run(self, options: argparse.Namespace) -> int:
        """Do what the subcommand says."""
        status: int = options.action(options)
        return status

    def _devices(self, options: argparse.Namespace) -> int:
        rules = DeviceRules(
            manufacturers=tuple(options.manufacturer),
            model_contains=options.model,
            oldest_android=options.oldest_android,
        )
        if options.plan:
            rules = load_plan(options.plan).devices
        found = list_devices(FarmService(options.aws_profile), rules)
        if options.json:
            print(json.dumps([asdict(device) for device in found], indent=2))
            return 0
        rows = [
            (each.name, f"Android {each.os}", each.form_factor.lower(), each.availability.lower().replace("_", " "))
            for each in found
        ]
        print(table(("phone", "system", "kind", "available"), rows) if rows else "no phone fits")
        return 0

    def _estimate(self, options: argparse.Namespace) -> int:
        plan = load_plan(options.plan)
        cost = estimate(len(plan.data_files), plan.minutes, account(FarmService(options.aws_profile)))
        print(json.dumps(cost.as_json(), indent=2) if options.json else cost)
        return 0

    def _run(self, options: argparse.Namespace) -> int:
        plan = load_plan(options.plan)
        service = FarmService(options.aws_profile)
        folder = options.output or Path("farm-runs") / plan.name
        say = _Say(options.json)
        with prepare(service, plan, folder, uploader_poll_s=min(2.0, options.poll)) as operation:
            steps = list(operation.steps())
            if options.dry_run:
                return _dry_run(operation, steps, options.json)
            if steps:
                say(str(operation.estimate))
                _confirm(options.yes)
            try:
                percent = Percent(sys.stderr)
                carry_out(steps, begin=lambda step: say(step.describe), progress=percent)
                for phone in operation.record.phones:
                    if not phone.scheduled:
                        say(phone_line(phone))
                if not options.detach:
                    _follow(operation, options.poll, say)
            except BaseException:
                # An error or Ctrl-C: what nobody watches must not go on costing money.
                with contextlib.suppress(FarmError):
                    operation.record = find_lost(service, operation.record)
                _stop_all(service, operation.record, folder, say)
                raise
        if options.json:
            _print_json(operation.record)
        _judge(operation.record, detached=options.detach)
        return 0

    def _status(self, options: argparse.Namespace) -> int:
        service, record = FarmService(options.aws_profile), FarmRecord.load(options.folder)
        record = replace(record, phones=tuple(refresh(service, phone) for phone in record.phones))
        record.save(options.folder)
        if options.json:
            _print_json(record)
        else:
            print(summary(record))
        return 0

    def _stop(self, options: argparse.Namespace) -> int:
        service, record = FarmService(options.aws_profile), FarmRecord.load(options.folder)
        names = {phone.name for phone in record.phones}
        for name in options.phone or ():
            if name not in names:
                raise FarmError(
                    f"there is no phone {name!r} in {options.folder}", f"there are: {', '.join(sorted(names))}"
                )
        chosen = [phone for phone in record.phones if not options.phone or phone.name in options.phone]
        record = _stop_all(service, record, options.folder, _Say(options.json), chosen)
        if options.json:
            _print_json(record)
        return 0

    def _collect(self, options: argparse.Namespace) -> int:
        service, record = FarmService(options.aws_profile), FarmRecord.load(options.folder)
        say = _Say(options.json)
        for phone in record.phones:
            now = refresh(service, phone)
            record = record.updated(now)
            record.save(options.folder)
            _fetch(service, now, options.folder, say)
            if options.into and is_collected(options.folder, now):
                merge_into_run(options.folder / phone.name, options.into)
        if options.json:
            _print_json(record)
        missing = [phone.name for phone in record.phones if phone.ended and not is_collected(options.folder, phone)]
        if missing:
            raise FarmError(f"results of {', '.join(missing)} are missing", "repeat the command")
        return 0


class _Say:
    """Prints lines, unless the output is JSON."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent

    def __call__(self, line: str) -> None:
        if not self._silent:
            print(line, flush=True)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str, what: object
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", allow_abbrev=False)
    parser.add_argument("--aws-profile", metavar="NAME", help="profile in ~/.aws (default: boto3's own rules)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(action=what)
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 1 to 600")
    return value


def _dry_run(operation: FarmOperation, steps: list[Step], as_json: bool) -> int:
    if as_json:
        lines = [step.describe for step in steps]
        print(json.dumps({"steps": lines, "estimate": operation.estimate.as_json()}, indent=2))
    else:
        print("\n".join([*(f"would {step.describe}" for step in steps), str(operation.estimate)]))
    return 0


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise FarmError("this spends money, and there is nobody to ask", "add --yes if you mean it")
    if input("spend it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise FarmError("nothing was started")


def _follow(operation: FarmOperation, poll_s: float, say: _Say) -> None:
    """Follow the phones to their end, and fetch the results of each as soon as it has ended."""
    for phone in operation.record.phones:
        _fetch(operation.service, phone, operation.folder, say)
    for record, phone in follow(operation.service, operation.record, poll_s=poll_s):
        operation.record = record
        record.save(operation.folder)
        say(phone_line(phone))
        _fetch(operation.service, phone, operation.folder, say)


def _fetch(service: FarmService, phone: PhoneRun, folder: Path, say: _Say) -> None:
    """Fetch one phone's results; what fails is said, and does not keep the others from coming."""
    if not phone.ended or is_collected(folder, phone):
        return
    try:
        moved = collect_phone(service, phone, folder, progress=Percent(sys.stderr))
        say(f"{phone.name}: fetched {moved / 1e6:.1f} MB into {folder / phone.name}")
    except FarmError as error:
        say(f"{phone.name}: {error}")


def _print_json(record: FarmRecord) -> None:
    print(json.dumps([asdict(phone) for phone in record.phones], indent=2))


def _stop_all(
    service: FarmService, record: FarmRecord, folder: Path, say: _Say, phones: list[PhoneRun] | None = None
) -> FarmRecord:
    for phone in record.phones if phones is None else phones:
        if phone.scheduled and not phone.ended:
            try:
                record = record.updated(stop(service, phone))
                say(f"{phone.name}: told to stop")
            except FarmError as error:
                say(f"{phone.name}: could not be told to stop: {error}")
    record.save(folder)
    return record


def _judge(record: FarmRecord, *, detached: bool) -> None:
    """Fail where a phone did."""
    bad = [phone for phone in record.phones if not (phone.passed or (detached and phone.scheduled))]
    if bad:
        words = "; ".join(phone_line(phone) for phone in bad)
        raise FarmError(f"{len(bad)} of {len(record.phones)} phones did not finish: {words}")
