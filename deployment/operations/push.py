"""Put a release on a board: what it has already does not travel, and nothing is used before it was checked there."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from deployment.client_files import write_folder_archive
from deployment.connector import Connector, Progress, check, script
from deployment.errors import CommandError, DeployError, DeploymentError, NoSpaceError, PlatformError
from deployment.inventory import DeviceEntry
from deployment.operations.trial import try_runtime
from deployment.releases import Part, Release
from deployment.service import SUPERVISOR
from deployment.steps import Step
from deployment.transfer import SHA256, file_sha256

__all__ = ["push", "push_first", "roll_back"]

_UNPACKED = 4
"""Wheels take about so many times their size when they are installed."""

_LOOK = """
root=$1
if [ ! -d "$root/blobs" ]; then
  for name in releases environments logs run current previous; do [ ! -e "$root/$name" ] || echo "foreign $name"; done
fi
link() { [ ! -L "$root/$1" ] || basename "$(readlink "$root/$1")"; }
echo "current $(link current)"
echo "previous $(link previous)"
for file in "$root"/blobs/*; do [ ! -f "$file" ] || echo "blob $(basename "$file") $(wc -c < "$file")"; done
for place in "$root"/environments/*; do
  for word in ready trained; do [ ! -f "$place/$word" ] || echo "$word $(basename "$place")"; done
done
for place in "$root"/releases/*; do [ ! -f "$place/run.sh" ] || echo "release $(basename "$place")"; done
"""

_CHECK = (
    SHA256
    + """
check() {
  [ "$(sha256 < "$root/blobs/$1")" = "$1" ] || {
    rm -f "$root/blobs/$1"
    echo "$2 is damaged on the device, and was removed" >&2
    exit 9
  }
}
"""
)

# Lines of standard input: sha256, name.
_ENVIRONMENT = (
    'root=$(cd "$1" && pwd -P) id=$2 python=$3'
    + _CHECK
    + """
place=$root/environments/$id
rm -rf "$place" "$place.wheels"
mkdir -p "$place.wheels/home"
while read -r sha name; do
  check "$sha" "$name"
  ln -s "$root/blobs/$sha" "$place.wheels/$name"
done
"$python" -m venv --without-pip "$place" >&2
pip=$(ls "$place.wheels"/pip-*.whl)
cd "$place.wheels"
rest=$(ls ./*.whl | grep -v "/pip-[^/]*$")
# Wheels' names hold no blanks, directories' may. The user's settings of pip are not ours; nothing is left in the home.
export HOME="$place.wheels/home" PIP_CONFIG_FILE=/dev/null
"$place/bin/python" "$pip/pip" install --quiet --no-index --no-deps --no-cache-dir --disable-pip-version-check $rest >&2
cd "$root"
rm -rf "$place.wheels"
: > "$place/ready"
"""
)

# Lines of standard input: sha256, whether to unpack, name.
_UNPACK = (
    'root=$(cd "$1" && pwd -P) id=$2 python=$3 run=$4 key=$5 supervise=$6 blobs=$7'
    + _CHECK
    + """
place=$root/releases/$id
rm -rf "$place" "$place.new"
mkdir -p "$place.new" "$root/state" "$root/logs" "$root/run"
chmod 700 "$root/state" "$root/blobs" "$root/releases" "$root/logs"  # others on the board need not see the data
while read -r sha unpack name; do
  check "$sha" "$name"
  if [ "$unpack" = yes ]; then "$python" -m zipfile -e "$root/blobs/$sha" "$place.new/$name"
  else ln -s "../../blobs/$sha" "$place.new/$name"; fi
done
printf %s "$run" > "$place.new/run.sh"
printf %s "$key" > "$place.new/key.sh"
printf %s "$supervise" > "$place.new/supervise.sh"
printf %s "$blobs" > "$place.new/blobs"
mv "$place.new" "$place"
"""
)

_SWITCH = """
root=$1
old=$(readlink "$root/current" 2> /dev/null || true)
if [ -n "$old" ] && [ "$old" != "releases/$2" ]; then
  ln -sfn "$old" "$root/previous.new"
  "$3" -c 'import os, sys; os.replace(*sys.argv[1:])' "$root/previous.new" "$root/previous"
fi
ln -sfn "releases/$2" "$root/current.new"
"$3" -c 'import os, sys; os.replace(*sys.argv[1:])' "$root/current.new" "$root/current"
"""

_TIDY = """
root=$1
current=$(basename "$(readlink "$root/current")")
previous=$(basename "$(readlink "$root/previous" 2> /dev/null || true)")
running=$(basename "$(cat "$root/run/release" 2> /dev/null || true)")
rm -rf "$root"/releases/*.new "$root"/environments/*.wheels
for release in "$root"/releases/*; do
  case $(basename "$release") in "$current" | "$previous" | "$running") ;; *) rm -rf "$release" ;; esac
done
for environment in "$root"/environments/*; do
  [ -d "$environment" ] || continue
  grep -q "environments/$(basename "$environment")/" "$root"/releases/*/run.sh || rm -rf "$environment"
done
for blob in "$root"/blobs/*; do
  name=$(basename "$blob")
  grep -qx "${name%.part}" "$root"/releases/*/blobs || rm -f "$blob"
done
"""


@dataclass(frozen=True)
class _There:
    """What a board has."""

    current: str
    previous: str
    foreign: str
    blobs: dict[str, int]
    environments: frozenset[str]
    trained: frozenset[str]
    releases: frozenset[str]


def push_first(connector: Connector, device: DeviceEntry, releases: Iterable[Release]) -> Iterator[Step]:
    """Yield what is left to do until a device uses the first of several releases that trains on it."""
    for release in releases:
        if (yield from push(connector, device, release)):
            return


def push(connector: Connector, device: DeviceEntry, release: Release) -> Generator[Step, None, bool]:
    """Yield what is left to do until a device uses a release.

    Returns
    -------
    bool
        False: its runtime does not train on the device, which uses what it used before.

    Raises
    ------
    deployment.errors.NoSpaceError
        What is missing does not fit; nothing was sent.
    """
    there = _look(connector, device.directory)
    if there.foreign:
        raise DeployError(
            connector.name,
            f"{device.directory} has a {there.foreign} in it that we did not make",
            "name a `directory` of its own in its table: what we find in ours we remove",
        )
    missing = [part for part in release.blobs if there.blobs.get(part.sha256) != part.size_bytes]
    new_environment = bool(release.environment) and release.environment not in there.environments
    new_release = release.id not in there.releases
    if not missing and not new_environment and not new_release and there.current == release.id:
        return True
    _check_space(connector, device, there, missing, release if new_environment else None)
    for part in missing:
        yield Step(f"send {part.name} ({_size(part.size_bytes)})", _sender(connector, device, part), part.size_bytes)
    if new_environment:
        yield Step(
            f"make environment {release.environment} from {len(release.wheels)} wheels",
            lambda progress: _make_environment(connector, device, release),
        )
    if new_release:
        yield Step(f"check and unpack release {release.id}", lambda progress: _unpack(connector, device, release))
    if there.current != release.id:
        if release.environment and release.bundle and release.environment not in there.trained:
            trains = yield from try_runtime(connector, device, release)
            if not trains:
                return False
        was = f" (was {there.current})" if there.current else ""
        yield Step(f"switch to release {release.id}{was}", lambda progress: _switch(connector, device, release.id))
    yield Step("remove what no release needs", lambda progress: _done(connector, script(_TIDY, device.directory)))
    return True


def roll_back(connector: Connector, device: DeviceEntry) -> Iterator[Step]:
    """Yield what is left to do until a device uses the release before its current one.

    Raises
    ------
    deployment.errors.PlatformError
        There is none.
    """
    there = _look(connector, device.directory)
    if there.previous not in there.releases:
        raise PlatformError(connector.name, "there is no earlier release on it", "push the one that you want")
    yield Step(
        f"switch back to release {there.previous} (was {there.current})",
        lambda progress: _switch(connector, device, there.previous),
    )


def _look(connector: Connector, directory: str) -> _There:
    found: dict[str, list[list[str]]] = {}
    for line in check(connector, script(_LOOK, directory)).text.splitlines():
        kind, *words = line.split()
        found.setdefault(kind, []).append(words)

    def link(kind: str) -> str:
        return next((word for words in found.get(kind, []) for word in words), "")

    return _There(
        link("current"),
        link("previous"),
        link("foreign"),
        {sha: int(size) for sha, size in found.get("blob", [])},
        frozenset(name for (name,) in found.get("ready", [])),
        frozenset(name for (name,) in found.get("trained", [])),
        frozenset(name for (name,) in found.get("release", [])),
    )


def _check_space(
    connector: Connector, device: DeviceEntry, there: _There, missing: Sequence[Part], new: Release | None
) -> None:
    needed = sum(part.size_bytes * (2 if part.unpack else 1) for part in missing)
    needed -= sum(min(there.blobs.get(f"{part.sha256}.part", 0), part.size_bytes) for part in missing)
    if new is not None:
        needed += _UNPACKED * sum(part.size_bytes for part in new.wheels)
    free = connector.free_bytes(device.directory)
    if needed > free:
        raise NoSpaceError(
            connector.name,
            f"the release needs {_size(needed)} and {_size(free)} are free",
            "make room on it, or name a `directory` on a larger storage",
        )


def _sender(connector: Connector, device: DeviceEntry, part: Part) -> Callable[[Progress], int]:
    def send(progress: Progress) -> int:
        target = f"{device.directory}/{part.blob}"
        if isinstance(part.content, Path) and not part.unpack:
            return connector.put(part.content, target, progress=progress)
        with tempfile.NamedTemporaryFile(prefix="pocketfleet-") as file:
            if isinstance(part.content, Path):
                write_folder_archive(part.content, file.write)
            else:
                file.write(part.content)
            file.flush()
            if file_sha256(Path(file.name)) != part.sha256:
                raise DeploymentError(f"{device.name}: {part.name} changed while it was read; run this again")
            return connector.put(Path(file.name), target, progress=progress)

    return send


def _make_environment(connector: Connector, device: DeviceEntry, release: Release) -> int:
    lines = "".join(f"{part.sha256} {part.name}\n" for part in release.wheels)
    words = script(_ENVIRONMENT, device.directory, release.environment, device.python)
    try:
        check(connector, words, timeout_s=1800, stdin=lines.encode())
    except CommandError as error:
        raise PlatformError(
            connector.name,
            f"its Python cannot make the client's environment: {error.what}",
            'does `python3 -m venv --without-pip` work on it? Or set install = "none" and a Python that has all',
        ) from None
    return 0


def _unpack(connector: Connector, device: DeviceEntry, release: Release) -> int:
    blobs = "".join(f"{part.sha256}\n" for part in release.blobs)
    lines = "".join(f"{part.sha256} {'yes' if part.unpack else 'no'} {part.name}\n" for part in release.parts)
    texts = (release.run, release.key, SUPERVISOR, blobs)
    words = script(_UNPACK, device.directory, release.id, device.python, *texts)
    check(connector, words, timeout_s=900, stdin=lines.encode())
    return 0


def _switch(connector: Connector, device: DeviceEntry, release: str) -> int:
    return _done(connector, script(_SWITCH, device.directory, release, device.python))


def _done(connector: Connector, words: Sequence[str]) -> int:
    check(connector, words)
    return 0


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"
