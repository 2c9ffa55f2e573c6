"""Which source a machine's joules come from: what the profile says is best, of what is really there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from device_profiles import EnergySource, Profile, load_profile
from edge_client.energy.battery import find_battery
from edge_client.energy.ina2xx import find_ina2xx
from edge_client.energy.ina3221 import find_ina3221
from edge_client.energy.meter import SampledMeter
from edge_client.energy.model import ModelSource
from edge_client.energy.pmic import find_pmic
from edge_client.energy.rapl import find_rapl
from edge_client.energy.source import PowerSource, ReadingError
from edge_client.energy.tegrastats import find_tegrastats
from edge_client.energy.usb_meter import find_usb_meter
from edge_client.errors import SettingsError

__all__ = ["AUTO", "KINDS", "USB_METER", "Candidate", "find_meter", "survey"]

AUTO = "auto"
USB_METER = "usb-meter"
"""With its serial port, as in ``usb-meter:/dev/rfcomm0``: no other kind of source has to be told where it is."""
ROOT = Path("/")


@dataclass(frozen=True)
class _Kind:
    """A kind of source: how to find it, which of a profile's ``energy.kind`` it is, and whether to take it unasked."""

    find: Callable[[Path, Optional[EnergySource]], PowerSource]
    profile_kind: str = ""
    automatic: Callable[[Profile], bool] = lambda profile: True


def _without_sensor(profile: Profile) -> bool:
    """Whether a chip in the supply line was put there for us: elsewhere it may measure anything."""
    return profile.kind == "board" and not profile.energy


_FINDERS = {
    "ina3221": _Kind(find_ina3221, "ina3221"),
    "tegrastats": _Kind(find_tegrastats, "ina3221"),
    "pmic": _Kind(find_pmic, "pmic"),
    "ina2xx": _Kind(lambda root, known: find_ina2xx(root), automatic=_without_sensor),
    "rapl": _Kind(lambda root, known: find_rapl(root)),
    "battery": _Kind(lambda root, known: find_battery(root), "battery"),
    # Without a port it says that one has to be named.
    USB_METER: _Kind(lambda root, known: find_usb_meter(""), automatic=lambda profile: False),
}
KINDS = (*_FINDERS, "model")
"""What ``--energy`` takes beside `AUTO`, the best first where a profile prefers none."""


@dataclass(frozen=True)
class Candidate:
    """A kind of source on this machine.

    Attributes
    ----------
    kind
        One of `KINDS`.
    source
        The source; None: it is not there.
    problem
        Why it is not there, in words.
    automatic
        Whether it is taken unasked.
    preferred
        Whether the device's profile names it.
    """

    kind: str
    source: Optional[PowerSource]
    problem: str = ""
    automatic: bool = True
    preferred: bool = False


def survey(profile: str = "generic", *, root: Path = ROOT) -> list[Candidate]:
    """Return all kinds of sources, those that the profile names first, then as in `KINDS`; the model is the last.

    Parameters
    ----------
    profile
        Name of the device's profile.
    root
        Where ``sys`` and ``proc`` are.

    Raises
    ------
    device_profiles.ProfileError
        There is no such profile.
    """
    return list(_candidates(load_profile(profile), root))


def find_meter(profile: str = "generic", *, source: str = AUTO, root: Path = ROOT) -> SampledMeter:
    """Return the best meter that this machine offers, or the one that is asked for.

    Parameters
    ----------
    profile
        Name of the device's profile; its model is the last resort.
    source
        `AUTO`, one of `KINDS`, or `USB_METER` with a colon and its serial port.
    root
        Where ``sys`` and ``proc`` are.

    Raises
    ------
    edge_client.errors.SettingsError
        What is asked for is not there; the message says why.
    device_profiles.ProfileError
        There is no such profile.
    """
    if source != AUTO:
        return SampledMeter(_asked_for(source, load_profile(profile), root), why="asked for")
    for chosen in _candidates(load_profile(profile), root):
        if chosen.source is not None and chosen.automatic:
            break
        if chosen.source is not None:
            chosen.source.close()
    assert chosen.source is not None, "the model is always there"
    if chosen.kind == "model":
        why = "nothing on this machine can be read"
    elif chosen.preferred:
        why = f"profile {profile} names it"
    else:
        why = "the best that can be read here"
    return SampledMeter(chosen.source, why=why)


def _asked_for(source: str, profile: Profile, root: Path) -> PowerSource:
    kind, _, port = source.partition(":")
    if source == "model":
        return ModelSource(profile.power)
    try:
        if kind == USB_METER:
            return find_usb_meter(port)
        if source not in _FINDERS:
            raise ReadingError(f"there are {AUTO}, {', '.join(KINDS)}")
        found = _look(source, profile, root)
    except ReadingError as error:
        raise SettingsError(f"--energy {source}: {error}") from None
    if found.source is None:
        raise SettingsError(f"--energy {source}: {found.problem}")
    return found.source


def _candidates(profile: Profile, root: Path) -> Iterator[Candidate]:
    """Look for one kind after the other, the best first; a look may start a process, so none is taken in vain."""
    order = sorted(_FINDERS, key=lambda kind: (_rank(profile, kind), list(_FINDERS).index(kind)))
    for kind in order:
        yield _look(kind, profile, root)
    yield Candidate("model", ModelSource(profile.power))


def _look(kind: str, profile: Profile, root: Path) -> Candidate:
    finder = _FINDERS[kind]
    known = next((each for each in profile.energy if each.kind == finder.profile_kind), None)
    try:
        source = finder.find(root, known)
    except ReadingError as error:
        return Candidate(kind, None, str(error), preferred=known is not None)
    return Candidate(kind, source, "", finder.automatic(profile), known is not None)


def _rank(profile: Profile, kind: str) -> int:
    """Return the place of a kind among those that a profile names, best first; behind them if it names it not."""
    kinds = [each.kind for each in profile.energy]
    name = _FINDERS[kind].profile_kind
    return kinds.index(name) if name in kinds else len(kinds)
