"""Device profiles: what is known of each kind of device, one TOML file each in ``catalog/``.

No number is there without a source; what no source says is left out. So every field but name and title may be empty.
"""

from __future__ import annotations

import fnmatch
import functools
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Cluster",
    "EnergySource",
    "Identity",
    "PowerModel",
    "Profile",
    "ProfileError",
    "Published",
    "catalog",
    "load_profile",
    "match",
]

_CATALOG = Path(__file__).with_name("catalog")
GENERIC = "generic"
"""The profile of a device that nothing is known of; its power model stands in where a profile has none."""

KINDS = ("phone", "tablet", "board", "unknown")
SYSTEMS = ("android", "linux", "")
ENERGY_KINDS = ("battery", "rails", "ina3221", "pmic")
COVERAGE = ("device", "module", "parts")


class ProfileError(ValueError):
    """There is no such profile, or its file is malformed; the message names it."""


@dataclass(frozen=True)
class PowerModel:
    """Power as idle power plus a share for every busy core, in watts; ``source`` says where the numbers come from."""

    idle_w: float
    busy_w_per_core: float
    source: str

    def energy_j(self, wall_s: float, cpu_s: float) -> float:
        """Return the modelled joules of a device that was on for ``wall_s`` and computed for ``cpu_s`` core seconds."""
        return self.idle_w * wall_s + self.busy_w_per_core * cpu_s


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind: their name, how many, and the highest clock in GHz (None: no source says)."""

    core: str
    count: int
    max_ghz: Optional[float] = None


@dataclass(frozen=True)
class EnergySource:
    """Something on the device that measures energy.

    Attributes
    ----------
    kind
        ``battery`` (the gauge, by Android's BatteryManager), ``rails`` (Android's on-device power rails monitor),
        ``ina3221`` (Jetson's monitor chip, in sysfs) or ``pmic`` (Raspberry Pi 5's power chip, by ``vcgencmd``).
    covers
        ``device``: all of it; ``module``: the module without its carrier board; ``parts``: no total is measured.
    rails
        Names of the rails that make up the figure; empty where there is nothing to choose.
    """

    kind: str
    covers: str
    rails: tuple[str, ...] = ()


@dataclass(frozen=True)
class Identity:
    """How devices of this kind name themselves; a device matches when one pattern does.

    Attributes
    ----------
    compatible
        Patterns (``*``, ``?``, ``[...]``) for an entry of the device tree's ``compatible``.
    model, device
        Patterns for Android's ``ro.product.model`` and ``ro.product.device``.
    """

    compatible: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    device: tuple[str, ...] = ()

    def fits(self, facts: Mapping[str, str]) -> bool:
        """Whether a device with these facts (as for `match`) is of this kind."""
        entries = facts.get("device_tree_compatible", "").replace("\0", "\n").replace(" ", "\n").splitlines()
        return (
            _any(self.compatible, entries)
            or _any(self.model, [facts.get("ro.product.model", "")])
            or _any(self.device, [facts.get("ro.product.device", "")])
        )


@dataclass(frozen=True)
class Published:
    """Training on the device as somebody measured it; good for that experiment only.

    Attributes
    ----------
    experiment
        What was trained.
    processor
        On which, as devices call it.
    epoch_s
        Seconds of a local epoch.
    round_s
        What a round took beside training.
    power_w
        While training, as the source's energies imply; None: it gives none.
    source
        Where it was read, and how the figures follow.
    """

    experiment: str
    processor: str
    epoch_s: float
    round_s: float
    power_w: Optional[float]
    source: str


@dataclass(frozen=True)
class Profile:
    """One kind of device.

    Attributes
    ----------
    name, title
        Its file's name, and what people call it.
    power
        Model for devices without a sensor; that of ``generic`` where nobody has published one.
    kind, system
        One of `KINDS` and of `SYSTEMS`.
    soc
        System on chip.
    abis
        What native code is installed for, best first, as the system calls it.
    clusters
        Its cores, the fastest first. Modules that are sold with fewer list the largest one.
    memory_gb
        Sizes that it is sold with.
    first_system, last_system
        Oldest and newest system of its maker, as far as a source says.
    energy
        What on it measures energy, best first.
    identity
        How it names itself.
    sources
        Where all this was read.
    battery_wh
        Capacity of its battery; None: it has none, or no source says.
    published
        What others measured of training on it.
    notes
        What else a user has to know.
    """

    name: str
    title: str
    power: PowerModel
    kind: str = "unknown"
    system: str = ""
    soc: str = ""
    abis: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    memory_gb: tuple[float, ...] = ()
    first_system: str = ""
    last_system: str = ""
    energy: tuple[EnergySource, ...] = ()
    identity: Identity = Identity()
    sources: tuple[str, ...] = ()
    battery_wh: Optional[float] = None
    published: tuple[Published, ...] = ()
    notes: str = ""

    @property
    def cores(self) -> int:
        """Cores in all; 0: not known."""
        return sum(cluster.count for cluster in self.clusters)


def catalog() -> list[str]:
    """Return the names of all profiles."""
    return sorted(path.stem for path in _CATALOG.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """Load a profile by name.

    Raises
    ------
    ProfileError
        There is no such profile, or its file is malformed.
    """
    if name not in catalog():
        raise ProfileError(f"no device profile {name!r}; there are: {', '.join(catalog())}")
    return _of_catalog(name)


@functools.cache
def _of_catalog(name: str) -> Profile:
    return read_profile(_CATALOG / f"{name}.toml")


def match(facts: Mapping[str, str]) -> Profile:
    """Return the profile of the device that has these facts; `generic` where none fits.

    Parameters
    ----------
    facts
        Those of ``device_tree_compatible`` (``/proc/device-tree/compatible`` as it is, or one entry a line),
        ``ro.product.model`` and ``ro.product.device`` (Android) that are known. Others are not looked at.

    Raises
    ------
    ProfileError
        Several profiles fit: the catalog is wrong.
    """
    fitting = [profile for name in catalog() if (profile := load_profile(name)).identity.fits(facts)]
    if len(fitting) > 1:
        raise ProfileError(f"several device profiles fit: {', '.join(profile.name for profile in fitting)}")
    return fitting[0] if fitting else load_profile(GENERIC)


def read_profile(path: Path) -> Profile:
    """Read one profile's file; as `load_profile`."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        profile = _profile(raw)
        if raw:
            raise ValueError(f"unknown key {next(iter(raw))!r}")
        if profile.name != path.stem:
            raise ValueError(f"its name is {profile.name!r}")
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"{path}: malformed device profile: {error}") from None
    return profile


def _profile(raw: dict[str, Any]) -> Profile:
    """Take a profile's keys out of its table."""
    power = raw.pop("power", None)
    return Profile(
        name=str(raw.pop("name")),
        title=str(raw.pop("title")),
        power=PowerModel(float(power.pop("idle_w")), float(power.pop("busy_w_per_core")), str(power.pop("source")))
        if power
        else load_profile(GENERIC).power,
        kind=_among(raw.pop("kind", "unknown"), KINDS, "kind"),
        system=_among(raw.pop("system", ""), SYSTEMS, "system"),
        soc=str(raw.pop("soc", "")),
        abis=_texts(raw.pop("abis", ())),
        clusters=tuple(_cluster(**entry) for entry in raw.pop("clusters", ())),
        memory_gb=tuple(float(size) for size in raw.pop("memory_gb", ())),
        first_system=str(raw.pop("first_system", "")),
        last_system=str(raw.pop("last_system", "")),
        energy=tuple(_energy(**entry) for entry in raw.pop("energy", ())),
        identity=Identity(**{key: _texts(patterns) for key, patterns in raw.pop("identity", {}).items()}),
        sources=_texts(raw.pop("sources", ())),
        battery_wh=float(raw.pop("battery_wh")) if "battery_wh" in raw else None,
        published=tuple(_published(**entry) for entry in raw.pop("published", ())),
        notes=" ".join(str(raw.pop("notes", "")).split()),
    )


def _cluster(core: str, count: int, max_ghz: Optional[float] = None) -> Cluster:
    return Cluster(str(core), int(count), None if max_ghz is None else float(max_ghz))


def _energy(kind: str, covers: str, rails: Iterable[str] = ()) -> EnergySource:
    return EnergySource(
        _among(kind, ENERGY_KINDS, "energy.kind"), _among(covers, COVERAGE, "energy.covers"), _texts(rails)
    )


def _published(
    experiment: str, processor: str, epoch_s: float, round_s: float, source: str, power_w: Optional[float] = None
) -> Published:
    power = None if power_w is None else float(power_w)
    return Published(str(experiment), str(processor), float(epoch_s), float(round_s), power, str(source))


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"{values!r} has to be a list of texts")
    return tuple(str(value) for value in values)


def _among(value: str, allowed: tuple[str, ...], key: str) -> str:
    if value not in allowed:
        raise ValueError(f"{key} is {value!r}; it may be {', '.join(word for word in allowed if word)}")
    return value


def _any(patterns: Iterable[str], values: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns for value in values if value)
