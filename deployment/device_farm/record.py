"""What was scheduled, on disk: so that another command, or the same one after a crash, finds its runs again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deployment.device_farm.errors import FarmPlanError
from model_export.files import write_atomically

__all__ = ["FILE", "FarmRecord", "PhoneRun"]

FILE = "farm.json"
_VERSION = 1


@dataclass(frozen=True)
class PhoneRun:
    """One phone's run.

    Attributes
    ----------
    name
        The phone's, in reports.
    data
        Its data file, as it was given.
    device, device_name
        ARN and name of the model.
    run
        ARN of the run; empty: not scheduled yet.
    status, result
        As Device Farm tells them (``RUNNING``, ``PENDING``, ...).
    message
        What Device Farm says to it.
    minutes
        Device-minutes used so far.
    """

    name: str
    data: str
    device: str
    device_name: str
    run: str = ""
    status: str = ""
    result: str = ""
    message: str = ""
    minutes: float = 0.0

    @property
    def scheduled(self) -> bool:
        """Whether Device Farm has it."""
        return bool(self.run)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status == "COMPLETED"

    @property
    def passed(self) -> bool:
        """Whether it ended well."""
        return self.ended and self.result in ("PASSED", "WARNED")


@dataclass(frozen=True)
class FarmRecord:
    """All phones of one run, in their order; kept in ``farm.json`` of its folder.

    Attributes
    ----------
    name
        The plan's.
    project
        ARN of the project.
    phones
        In their order.
    token
        In the names of its runs at Device Farm, so that one whose answer was lost is known again.
    """

    name: str
    project: str
    phones: tuple[PhoneRun, ...]
    token: str = ""

    def updated(self, phone: PhoneRun) -> FarmRecord:
        """Return a record in which one phone is replaced by ``phone``."""
        return replace(self, phones=tuple(phone if each.name == phone.name else each for each in self.phones))

    def run_name(self, phone: PhoneRun) -> str:
        """Return what a phone's run is called at Device Farm."""
        return f"{phone.name} {self.token}".rstrip()

    def save(self, folder: Path) -> None:
        """Write it to a folder, which is made.

        Raises
        ------
        FarmPlanError
            It cannot be written.
        """
        raw = {
            "version": _VERSION,
            "name": self.name,
            "project": self.project,
            "token": self.token,
            "phones": _rows(self.phones),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / FILE, json.dumps(raw, indent=2).encode())
        except OSError as error:
            raise FarmPlanError(f"{folder}: cannot be written: {(error.strerror or str(error)).lower()}") from None

    @classmethod
    def load(cls, folder: Path) -> FarmRecord:
        """Read it.

        Raises
        ------
        FarmPlanError
            There is none, or it is of another version.
        """
        try:
            raw = json.loads((folder / FILE).read_bytes())
            if raw["version"] != _VERSION:
                raise FarmPlanError(f"{folder / FILE} was written by another version of pocketfleet")
            phones = tuple(PhoneRun(**phone) for phone in raw["phones"])
            return cls(raw["name"], raw["project"], phones, raw.get("token", ""))
        except FileNotFoundError:
            raise FarmPlanError(f"{folder} is no folder of `pocketfleet farm run`: it has no {FILE}") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise FarmPlanError(f"{folder / FILE} cannot be read") from None


def _rows(phones: Iterable[PhoneRun]) -> list[dict[str, Any]]:
    return [asdict(phone) for phone in phones]
