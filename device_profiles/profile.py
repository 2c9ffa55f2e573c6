"""Device profiles: what is known of each kind of device, one TOML file each in ``catalog/``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["PowerModel", "Profile", "ProfileError", "catalog", "load_profile"]

_CATALOG = Path(__file__).with_name("catalog")


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
class Profile:
    """One kind of device."""

    name: str
    title: str
    power: PowerModel


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
    path = _CATALOG / f"{name}.toml"
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        power = raw["power"]
        model = PowerModel(float(power["idle_w"]), float(power["busy_w_per_core"]), str(power["source"]))
        return Profile(str(raw["name"]), str(raw["title"]), model)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"{path}: malformed device profile: {error}") from None
