"""Many devices at once: each goes its own way, and none stops the others."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from deployment.connect import open_connector
from deployment.connector import Connector
from deployment.errors import DeploymentError, LostLinkError, UnreachableError
from deployment.inventory import DeviceEntry, Inventory
from deployment.journal import Journal
from deployment.lease import Lease
from deployment.steps import Report, Step, carry_out

__all__ = ["Fleet", "Outcome", "Session", "Watcher"]

_TRIES = 3
_WAIT_S = 3.0
_SLOWEST_LINK_BYTES_PER_S = 50_000
"""For the time that a device is reserved while something large travels."""
_LONGEST_STEP_S = 1800


class Watcher:
    """Hears what happens to each device, from several threads; this one says nothing."""

    def began(self, device: str, step: Step) -> None:
        """Hear that a step begins."""

    def moved(self, device: str, done: int, total: int) -> None:
        """Hear how far a file is."""

    def ended(self, device: str, step: Step, moved: int) -> None:
        """Hear that a step is done."""

    def trouble(self, device: str, text: str) -> None:
        """Hear that a device is tried again."""

    def finished(self, outcome: Outcome) -> None:
        """Hear what came of a device."""


@dataclass(frozen=True)
class Outcome:
    """What came of an operation on one device.

    Attributes
    ----------
    device
        Its name.
    error
        One line; empty: it went well.
    report
        Steps and bytes, those of broken-off tries too.
    value
        What the operation returned.
    seconds
        Wall time.
    planned
        What a dry run would have done.
    """

    device: str
    error: str = ""
    report: Report = field(default_factory=Report)
    value: Any = None
    seconds: float = 0.0
    planned: tuple[str, ...] = ()


class _InterruptedError(Exception):
    """Ctrl-C: this device stops at the next block or step."""


class Session:
    """One device while it is worked on.

    Attributes
    ----------
    device
        Its entry.
    connector
        The open connection.
    report
        What was done so far.
    planned
        In a dry run: what would have been done.
    """

    def __init__(
        self, fleet: Fleet, device: DeviceEntry, connector: Connector, operation: str, lease: Lease | None
    ) -> None:
        self.device = device
        self.connector = connector
        self.report = Report()
        self.planned: list[str] = []
        self._fleet = fleet
        self._operation = operation
        self._lease = lease

    def carry_out(self, steps: Iterable[Step]) -> None:
        """Carry out steps, or in a dry run write them down."""
        if self._fleet.dry_run:
            self.planned += [step.describe for step in steps]
            return
        carry_out(steps, begin=self._begin, done=self._done, progress=self._progress)

    def _begin(self, step: Step) -> None:
        self._fleet.check_interrupted()
        if self._lease is not None:
            self._lease.keep_for(step.payload_bytes / _SLOWEST_LINK_BYTES_PER_S or _LONGEST_STEP_S)
        self._fleet.watcher.began(self.device.name, step)

    def _done(self, step: Step, moved: int) -> None:
        self.report = Report(self.report.steps + 1, self.report.moved_bytes + moved)
        self._fleet.watcher.ended(self.device.name, step, moved)
        self._fleet.journal.add(self.device.name, self._operation, "step", {"step": step.describe, "bytes": moved})

    def _progress(self, done: int, total: int) -> None:
        self._fleet.check_interrupted()
        self._fleet.watcher.moved(self.device.name, done, total)


class Fleet:
    """Runs operations on devices of an inventory.

    Parameters
    ----------
    inventory
        The inventory.
    watcher
        Hears what happens.
    dry_run
        Look, and say what would be done; change nothing.
    jobs
        Devices at once.
    take_over
        Take devices from whoever has reserved them.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        watcher: Watcher | None = None,
        dry_run: bool = False,
        jobs: int = 16,
        take_over: bool = False,
    ) -> None:
        self.inventory = inventory
        self.watcher = watcher or Watcher()
        self.dry_run = dry_run
        self.journal = Journal(inventory.state / "journal.jsonl")
        self._jobs = jobs
        self._take_over = take_over
        self._interrupted = threading.Event()
        self._open: set[Connector] = set()
        self._lock = threading.Lock()
        self._token = uuid.uuid4().hex

    def each(
        self,
        devices: Sequence[DeviceEntry],
        operation: str,
        work: Callable[[Session], Any],
        *,
        changes: bool = True,
    ) -> list[Outcome]:
        """Do something to every device.

        A broken link is tried anew; operations go on where they stopped. On Ctrl-C, open connections are closed and
        nothing more is begun.

        Parameters
        ----------
        devices
            Which.
        operation
            Its name, for the journal.
        work
            Does it, in a thread of its own for each device; it may be called again after a broken link.
        changes
            It changes the device: reserve it, and write it into the journal.

        Returns
        -------
        list of Outcome
            In the order of ``devices``.
        """
        reserve = changes and not self.dry_run
        with ThreadPoolExecutor(max_workers=max(1, min(self._jobs, len(devices)))) as pool:
            futures = [pool.submit(self._one, device, operation, work, reserve) for device in devices]
            try:
                for future in as_completed(futures):
                    self.watcher.finished(future.result())
            except BaseException:
                self._interrupted.set()
                pool.shutdown(wait=False, cancel_futures=True)
                self._close_all()
                raise
            return [future.result() for future in futures]

    def check_interrupted(self) -> None:
        """Raise in a device's thread if the user wants an end."""
        if self._interrupted.is_set():
            raise _InterruptedError

    def _one(self, device: DeviceEntry, operation: str, work: Callable[[Session], Any], reserve: bool) -> Outcome:
        start = time.monotonic()
        report, value, error = Report(), None, ""
        planned: tuple[str, ...] = ()
        if reserve:
            self.journal.add(device.name, operation, "begin", {})
        for attempt in range(1, _TRIES + 1):
            session: list[Session] = []
            try:
                value = self._attempt(device, operation, work, reserve, session)
                error = ""
            except (DeploymentError, _InterruptedError) as raised:
                error = str(raised) or f"{device.name}: interrupted"
                # A device that never answered is off; one whose link broke may be back in a moment.
                again = isinstance(raised, LostLinkError) or (isinstance(raised, UnreachableError) and attempt > 1)
            except Exception as raised:
                error, again = f"{device.name}: unexpected {type(raised).__name__}: {raised}", False
            for done in session:
                report = Report(report.steps + done.report.steps, report.moved_bytes + done.report.moved_bytes)
                planned = tuple(done.planned)
            if not error or not again or attempt == _TRIES or self._interrupted.is_set():
                break
            self.watcher.trouble(device.name, f"{error.partition(';')[0]}; trying again")
            self._interrupted.wait(_WAIT_S * attempt)
        if reserve:
            details: Mapping[str, Any] = {"steps": report.steps, "bytes": report.moved_bytes}
            self.journal.add(device.name, operation, "failed" if error else "done", {**details, "error": error})
        return Outcome(device.name, error, report, value, time.monotonic() - start, planned)

    def _attempt(
        self,
        device: DeviceEntry,
        operation: str,
        work: Callable[[Session], Any],
        reserve: bool,
        sessions: list[Session],
    ) -> Any:
        self.check_interrupted()
        connector = open_connector(device, self.inventory)
        with self._lock:
            self._open.add(connector)
        try:
            lease = (
                Lease(connector, device.directory, token=self._token, take_over=self._take_over) if reserve else None
            )
            with lease or nullcontext():
                session = Session(self, device, connector, operation, lease)
                sessions.append(session)
                return work(session)
        finally:
            with self._lock:
                self._open.discard(connector)
            connector.close()

    def _close_all(self) -> None:
        with self._lock:
            connectors = list(self._open)
        for connector in connectors:
            connector.close()
