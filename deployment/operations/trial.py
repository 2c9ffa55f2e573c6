"""Try a runtime on a board before it is put to use: one training step of the bundle, in a process of its own.

That a wheel can be installed does not say that its code suits the processor (docs/boards.md). A runtime that dies
there, or cannot be loaded, is noted on the board, and the next one is taken. Without a bundle there is nothing to try.
"""

from __future__ import annotations

import signal
from collections.abc import Generator

from deployment.connector import Connector, check, script
from deployment.errors import PlatformError
from deployment.inventory import DeviceEntry
from deployment.releases import Release
from deployment.steps import Step

__all__ = ["try_runtime", "unfit_runtimes"]

_LONGEST_S = 1800
_NO_RUNTIME = 3
_DEATHS = ("SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS")
"""What a runtime's own code does to its process; a lack of memory (SIGKILL) is none of its faults."""

_TRY = """
root=$(cd "$1" && pwd -P) release=$2 environment=$3 bundle=$4
shift 4
here=$root/releases/$release
export PYTHONPATH="$here/client" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
[ ! -e "$here/trust.pem" ] || set -- "$@" --trust "$here/trust.pem"
status=0
"$root/environments/$environment/bin/python" -m edge_client.trial "$here/$bundle" "$@" >&2 || status=$?
[ "$status" -ne 0 ] || : > "$root/environments/$environment/trained"
exit "$status"
"""
_NOTE = 'printf "%s\\n" "$3" > "$1/environments/$2.unfit"'
_UNFIT = """
for file in "$1"/environments/*.unfit; do
  [ ! -f "$file" ] || echo "$(basename "$file" .unfit) $(head -n 1 "$file")"
done
"""


def try_runtime(connector: Connector, device: DeviceEntry, release: Release) -> Generator[Step, None, bool]:
    """Yield the trial of a release that is unpacked; return whether it trains, as far as that was tried.

    Raises
    ------
    deployment.errors.PlatformError
        By the step: it does not train, and the runtime is not the cause.
    """
    why = ""

    def apply(progress: object) -> int:
        nonlocal why
        why = _try(connector, device, release)
        return 0

    def note(progress: object) -> int:
        check(connector, script(_NOTE, device.directory, release.runtime, why))
        return 0

    yield Step(f"take a training step with {release.runtime}", apply)
    if why:
        yield Step(f"do without {release.runtime}: it {why}", note)
    return not why


def unfit_runtimes(connector: Connector, directory: str) -> dict[str, str]:
    """Return the runtimes that were found not to train on a board, by name, and what they did."""
    lines = check(connector, script(_UNFIT, directory)).text.splitlines()
    return {name: why for name, _, why in (line.partition(" ") for line in lines)}


def _try(connector: Connector, device: DeviceEntry, release: Release) -> str:
    """Return what is wrong with a release's runtime; empty: nothing."""
    options = ["--threads", str(device.threads)] if device.threads else []
    words = script(_TRY, device.directory, release.id, release.environment, release.bundle, *options)
    completed = connector.run(words, timeout_s=_LONGEST_S)
    if completed.status == 0:
        return ""
    if completed.status == _NO_RUNTIME:
        return f"cannot be used: {completed.complaint}"
    for name in _DEATHS:
        if completed.status == 128 + signal.Signals[name]:
            return f"died of {name} in a training step"
    raise PlatformError(
        device.name,
        f"a training step with {release.runtime} failed with status {completed.status}: {completed.complaint}",
        "look at the bundle (pocketfleet inspect), and whether the device has the memory for it",
    )
