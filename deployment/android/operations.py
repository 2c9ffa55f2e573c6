"""Operations on phones with the app: what to put where, what to start. Each looks at the phone and yields its steps.

Steps are yielded only where something has to be done, so a second push of the same does nothing. The app's files have
their content's sha256 in their names: what a running client uses is never changed under it, and the switch to new files
is the app's own `CONFIGURE`, which takes all settings or none.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployment import transfer
from deployment.android import app, packages
from deployment.connector import Completed, Connector, Progress, check, script
from deployment.errors import InventoryError, NotThereError, PlatformError
from deployment.steps import Step
from model_export.bundle import Bundle
from model_export.errors import BundleError
from model_export.files import write_atomically

__all__ = ["AppPlan", "collect", "collected", "logs", "push", "start", "stop", "uninstall"]

_FOLDER = f"{app.FILES}/fleet"
_CONFIGURED = f"{_FOLDER}/configured.json"
_TIDY = 'rm -rf "$1" /data/local/tmp/pocketfleet-*.apk /data/local/tmp/pocketfleet-*.apk.part'
_RESULT_FILES = ("rounds.jsonl", "decisions.jsonl", "events.jsonl", "summary.json")


@dataclass(frozen=True)
class AppPlan:
    """What a phone shall have.

    Attributes
    ----------
    apk
        The app; None: as it is installed.
    settings
        Settings that are words, by the names in docs/android.md: ``server``, ``insecure``, ``name``, ``gate``, ...
    files
        Settings that are files of this computer: ``invitation``, ``ca``, ``trust``, ``data``, ``test-data``,
        ``bundle`` (a directory or its zip).
    """

    apk: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


def push(connector: Connector, plan: AppPlan) -> Iterator[Step]:
    """Install the app, and give it files and settings.

    Raises
    ------
    deployment.errors.DeploymentError
        A file of the plan is not there, or of the wrong kind; nothing was done.
    """
    files = {name: _Local(connector, name, path) for name, path in plan.files.items()}
    apk = plan.apk
    if apk is not None:
        packages.abis_of(apk)
        if packages.installed_sha256(connector) != transfer.file_sha256(apk):
            packages.check_fits(connector, apk)
            size = apk.stat().st_size
            yield Step(
                f"install {apk.name} ({size / 1e6:.1f} MB)",
                lambda progress: packages.install(connector, apk, progress),
                size,
            )
    if files and connector.run(["test", "-d", app.FILES]).status != 0:
        yield Step("let the app make its folder", _doing(lambda: app.status(connector)))
    there = set(connector.run(["ls", _FOLDER]).text.split())
    for local in files.values():
        # The name is the content's: a file that is there is whole, as it got its name after its check.
        if local.name not in there:
            yield Step(f"push {local.path.name} as {local.setting} ({local.size / 1e6:.1f} MB)", local.put, local.size)
    wanted = {**plan.settings, **{name: local.target for name, local in files.items()}}
    if wanted and _configured(connector) != wanted:
        yield Step(
            "configure the app: " + ", ".join(f"{name}={_short(value)}" for name, value in sorted(wanted.items())),
            _doing(lambda: _configure(connector, wanted)),
        )
    used = {local.name for local in files.values()} | {_CONFIGURED.rpartition("/")[2]}
    if old := sorted(name for name in there if name.removesuffix(".part") not in used):
        paths = [f"{_FOLDER}/{name}" for name in old]
        yield Step(f"remove {', '.join(old)}", _doing(lambda: check(connector, ["rm", "-f", *paths])))


def start(connector: Connector, limits: Mapping[str, str] | None = None) -> Iterator[Step]:
    """Start the client, unless it runs.

    Parameters
    ----------
    limits
        ``rounds``, ``minutes``, ``out`` of this start.
    """
    words = "".join(f" {name}={value}" for name, value in (limits or {}).items())
    if not _running(connector):
        yield Step(f"start the client{words}", _doing(lambda: app.start(connector, limits or {})))


def stop(connector: Connector) -> Iterator[Step]:
    """Stop the client, if it runs."""
    if _running(connector):
        yield Step("stop the client", _doing(lambda: app.stop(connector)))


def uninstall(connector: Connector) -> Iterator[Step]:
    """Remove the app with all that it holds, its key included; results that were not collected are lost."""
    if packages.installed_sha256(connector) is not None:
        yield Step("uninstall the app, its key and its results", _doing(lambda: _remove(connector)))


def collect(
    connector: Connector, target: Path, state: Callable[[], Mapping[str, object]] | None = None
) -> Iterator[Step]:
    """Copy the results of the last start into a folder of this computer.

    Parameters
    ----------
    state
        Returns the state that the phone is in, for ``facts.json``.

    Raises
    ------
    deployment.errors.NotThereError
        There are none.
    """
    folder = app.status(connector).results
    names = [name for name in _look(connector, folder, ["ls", folder]).text.split("\n") if name in _RESULT_FILES]
    if not names:
        raise NotThereError(connector.name, f"there are no results in {folder} yet", "has it taken part in a round?")
    for name in sorted(names):
        yield Step(f"fetch {name}", _fetch(connector, f"{folder}/{name}", target / name))
    if state is not None:
        written = state
        yield Step("write down its state (facts.json)", _doing(lambda: _write_state(target, written())))


def collected(target: Path) -> dict[str, object]:
    """Return the summary among results that were collected; empty where there is none or it cannot be read."""
    try:
        summary = json.loads((target / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def logs(connector: Connector, lines: int = 100) -> str:
    """Return the last lines of the client's log, or of Android's own log of the app where it has none yet."""
    folder = app.status(connector).results
    own = _look(connector, folder, ["tail", "-n", str(lines), f"{folder}/events.jsonl"])
    if own.status == 0 and own.stdout.strip():
        return "\n".join(_log_line(line) for line in own.text.splitlines())
    text = f'logcat -d -t "$1" --pid "$(pidof {shlex.quote(app.PACKAGE)})"'
    return connector.run(script(text, str(lines))).text


class _Local:
    """A file of this computer, and what it is called on the phone."""

    def __init__(self, connector: Connector, setting: str, path: Path) -> None:
        self._connector, self.setting, self.path = connector, setting, path
        self._zip: bytes | None = None
        try:
            if setting == "bundle" and path.is_dir():
                self._zip = Bundle.load(path).zipped()
                digest, self.size, suffix = hashlib.sha256(self._zip).hexdigest(), len(self._zip), ".zip"
            else:
                digest, self.size, suffix = transfer.file_sha256(path), path.stat().st_size, path.suffix
        except BundleError as error:
            raise InventoryError(str(error)) from None
        except IsADirectoryError:
            raise InventoryError(f"{path}: {setting} of a phone has to be one file, as .npz") from None
        except OSError as error:
            raise InventoryError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
        self.name = f"{setting}-{digest[:16]}{suffix}"
        self.target = f"{_FOLDER}/{self.name}"

    def put(self, progress: Progress) -> int:
        """Copy it."""
        if self._zip is None:
            return self._connector.put(self.path, self.target, progress=progress)
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(self._zip)
            file.flush()
            return self._connector.put(Path(file.name), self.target, progress=progress)


def _look(connector: Connector, folder: str, words: Sequence[str]) -> Completed:
    """Run a command in a folder of the app's; a private one only the app itself may enter.

    Raises
    ------
    deployment.errors.PlatformError
        The folder is private, and the app is a release, which lets nobody in.
    """
    if not folder.startswith("/data/"):
        return connector.run(words)
    completed = connector.run(["run-as", app.PACKAGE, *words])
    if completed.status != 0 and "run-as: " in completed.complaint:
        raise PlatformError(
            connector.name,
            f"it has no shared storage, and its app keeps its results to itself ({completed.complaint})",
            "share them from the app's screen, or install a debug build",
        )
    return completed


def _fetch(connector: Connector, source: str, target: Path) -> Callable[[Progress], int]:
    def apply(progress: Progress) -> int:
        if not source.startswith("/data/"):
            return connector.get(source, target, progress=progress)
        content = _look(connector, source, ["cat", source]).stdout
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
        return len(content)

    return apply


def _write_state(target: Path, state: Mapping[str, object]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    write_atomically(target / "facts.json", json.dumps({"collected": now, **state}, indent=1).encode())


def _running(connector: Connector) -> bool:
    try:
        return app.status(connector).running
    except NotThereError:
        return False


def _configured(connector: Connector) -> object:
    """Return the settings of the last push; None where there was none."""
    found = connector.run(["cat", _CONFIGURED])
    try:
        return json.loads(found.stdout) if found.status == 0 else None
    except ValueError:
        return None


def _configure(connector: Connector, wanted: Mapping[str, str]) -> None:
    check(connector, ["rm", "-f", _CONFIGURED])  # whatever comes of it, it is not as it was
    app.broadcast(connector, "CONFIGURE", wanted)
    check(connector, script('cat > "$1"', _CONFIGURED), stdin=json.dumps(dict(wanted)).encode())


def _remove(connector: Connector) -> None:
    packages.uninstall(connector)
    check(connector, script(_TIDY, f"/sdcard/Android/data/{app.PACKAGE}"))


def _short(value: str) -> str:
    return value.rpartition("/")[2] if value.startswith(_FOLDER) else value


def _log_line(line: str) -> str:
    try:
        entry = json.loads(line)
        return f"{entry['time-ms'] / 1000:.3f} {entry['level']} {entry['text']}"
    except (ValueError, KeyError, TypeError):
        return line


def _doing(action: Callable[[], object]) -> Callable[[Progress], int]:
    """Make a step's action of something that moves no files."""

    def apply(progress: Progress) -> int:
        action()
        return 0

    return apply
