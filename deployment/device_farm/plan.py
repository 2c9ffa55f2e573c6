"""``farm.toml``: what to run at Device Farm.

A phone's address is not known beforehand, so there is no entry per device as in ``fleet.toml``: one phone is taken for
every data file.
"""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

import glob
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import tomllib

from deployment.device_farm.devices import DeviceRules, check_rules
from deployment.device_farm.errors import FarmPlanError
from deployment.inventory import Secret
from device_profiles.toml_tables import TableError, read_table, setting

__all__ = ["LONGEST_MINUTES", "SETUP_MINUTES", "FarmPlan", "load_plan"]

LONGEST_MINUTES = 150
"""Device Farm ends every run after so long."""
SETUP_MINUTES = 5
"""Of a phone's time, what goes into installing, configuring and fetching results."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_MAX_PHONES = 250
_MAX_DATA_BYTES = 3 << 30


def _secret(raw: object, name: str) -> Secret:
    if isinstance(raw, dict) and set(raw) == {"env"} and isinstance(raw["env"], str) and raw["env"]:
        return Secret(env=raw["env"])
    raise TableError(f'{name} must not stand in the file; name it: {name} = {{ env = "VARIABLE" }}')


@dataclass(frozen=True)
class FarmPlan:
    """A plan.

    Attributes
    ----------
    name
        Prefix of the phones' names in reports: ``name-000``, ``name-001``, ...
    project
        Project at Device Farm, made where there is none.
    apk
        The Android app, a release.
    invitation
        What `pocketfleet invite` wrote.
    data
        Training data: patterns of ``.npz`` files, one phone each.
    minutes
        A phone's time in all, its setting up included.
    rounds
        Training rounds after which a phone ends; 0: when its time is over, or the server's run.
    ticket
        Environment variable with the ticket that lets the phones enrol (`pocketfleet ticket`); without one the
        experiment has to admit devices that are not enrolled.
    devices
        Which phones.
    path
        The file.
    """

    name: str = setting()
    apk: Path = setting()
    invitation: Path = setting()
    data: tuple[str, ...] = setting()
    project: str = setting("pocketfleet")
    minutes: int = setting(30, least=SETUP_MINUTES + 1, most=LONGEST_MINUTES)
    rounds: int = setting(0, least=0, most=1_000_000)
    ticket: Secret | None = setting(None, read=_secret)
    devices: DeviceRules = setting(DeviceRules())
    path: Path = field(default=Path("farm.toml"), init=False)

    @property
    def data_files(self) -> list[Path]:
        """The data files, in the order of their names (numbers in them count as numbers).

        Raises
        ------
        FarmPlanError
            A pattern fits no file, or there are too many or too large files.
        """
        files: list[Path] = []
        for pattern in self.data:
            found = sorted(map(Path, glob.glob(str(self.path.parent / Path(pattern).expanduser()))), key=_natural)
            if not found:
                raise FarmPlanError(f"{self.path}: data: no file fits {pattern!r}")
            files += found
        if len(files) > _MAX_PHONES:
            raise FarmPlanError(
                f"{self.path}: data: {len(files)} files; Device Farm takes {_MAX_PHONES} phones in all at once"
            )
        size = sum(file.stat().st_size for file in files)
        if size > _MAX_DATA_BYTES:
            raise FarmPlanError(f"{self.path}: data: {size / 1e9:.1f} GB in all; a test package has room for 3 GiB")
        return files

    @property
    def server(self) -> str:
        """``HOST:PORT`` of the invitation.

        Raises
        ------
        FarmPlanError
            The file is no invitation.
        """
        try:
            server = json.loads(self.invitation.read_bytes())["server"]
        except OSError as error:
            raise FarmPlanError(
                f"{self.path}: invitation: {self.invitation}: cannot be read: {(error.strerror or str(error)).lower()}",
                "make it with: pocketfleet invite EXPERIMENT.toml --address HOST",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise FarmPlanError(f"{self.path}: invitation: {self.invitation} is not an invitation") from None
        return str(server)

    def phone(self, index: int) -> str:
        """Return the name of a phone."""
        return f"{self.name}-{index:03d}"


def load_plan(path: Path) -> FarmPlan:
    """Read and check a plan.

    Raises
    ------
    FarmPlanError
        Something in it is wrong; the message names the file and the key.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FarmPlanError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FarmPlanError(f"{path}: not TOML: {error}") from None
    try:
        if isinstance(raw.get("data"), str):
            raw["data"] = [raw["data"]]
        plan = read_table(FarmPlan, raw, "", path.parent)
    except TableError as error:
        raise FarmPlanError(f"{path}: {error}") from None
    if not _NAME.fullmatch(plan.name):
        raise FarmPlanError(f"{path}: name is {plan.name!r}; use letters, digits, '.', '_' and '-', at most 40")
    if not plan.apk.is_file():
        raise FarmPlanError(f"{path}: apk: there is no {plan.apk}", "build it with: android_app/build_apk release")
    if not plan.data:
        raise FarmPlanError(f"{path}: data: name at least one .npz file; one phone is taken for each")
    check_rules(plan.devices)
    object.__setattr__(plan, "path", path)
    return plan


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by which shard_10 comes after shard_9."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
