"""``farm run`` as steps: what a dry run prints, and a real one carries out."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from deployment.connector import Progress
from deployment.device_farm.address import check_reachable
from deployment.device_farm.cost import Account, Estimate, estimate
from deployment.device_farm.devices import choose_devices, list_devices
from deployment.device_farm.errors import FarmLimitError, FarmPlanError, FarmRequestError
from deployment.device_farm.package import PACKAGE_KIND, SPEC_KIND, data_name, test_spec, write_package
from deployment.device_farm.plan import SETUP_MINUTES, FarmPlan
from deployment.device_farm.record import FILE, FarmRecord, PhoneRun
from deployment.device_farm.runs import find_lost, schedule
from deployment.device_farm.service import FarmService
from deployment.device_farm.uploads import Uploader
from deployment.errors import InventoryError
from deployment.steps import Step

__all__ = ["FarmOperation", "account", "prepare"]

APP_KIND = "ANDROID_APP"


@dataclass
class FarmOperation:
    """A run that is prepared: nothing was sent or paid for yet.

    Attributes
    ----------
    plan
        What was asked for.
    folder
        Where its record is, and its results will be.
    record
        The phones; saved after each of them is scheduled.
    estimate
        What those that are not scheduled yet cost at most.
    """

    plan: FarmPlan
    folder: Path
    record: FarmRecord
    estimate: Estimate
    service: FarmService
    ticket: str
    data: Sequence[Path]
    package: Path
    uploader_poll_s: float = 2.0
    _arns: dict[str, str] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """Yield what is left to do: a rerun schedules only the phones that have no run yet."""
        waiting = [phone for phone in self.record.phones if not phone.scheduled]
        if not waiting:
            return
        if not self.record.project:
            yield Step(f"make the project {self.plan.project!r} at Device Farm", self._make_project)
        yield self._upload("the app", self.plan.apk, APP_KIND)
        yield self._upload(f"the test package with {len(self.data)} data files", self.package, PACKAGE_KIND)
        yield self._upload("the test specification", test_spec(), SPEC_KIND)
        for phone in waiting:
            yield Step(
                f"schedule {phone.name} on {phone.device_name} with {Path(phone.data).name} "
                f"for at most {self.plan.minutes} min",
                lambda progress, phone=phone: self._schedule(phone),  # type: ignore[misc]
            )

    def environment(self, phone: PhoneRun) -> dict[str, str]:
        """Return the variables of a phone's test host; the ticket, if there is one, is the only secret."""
        index = [each.name for each in self.record.phones].index(phone.name)
        variables = {
            "POCKETFLEET_PHONE": phone.name,
            "POCKETFLEET_DATA": data_name(index),
            "POCKETFLEET_ROUNDS": str(self.plan.rounds),
            "POCKETFLEET_MINUTES": str(self.plan.minutes - SETUP_MINUTES),
        }
        return {**variables, **({"POCKETFLEET_TICKET": self.ticket} if self.ticket else {})}

    def _upload(self, what: str, file: Path, kind: str) -> Step:
        size = file.stat().st_size

        def apply(progress: Progress) -> int:
            uploader = Uploader(self.service, self.record.project, poll_s=self.uploader_poll_s)
            uploaded = uploader.upload(file, kind, progress=progress)
            self._arns[kind] = uploaded.arn
            return uploaded.moved_bytes

        return Step(f"upload {what} ({size / 1e6:.1f} MB) unless Device Farm has it", apply, size)

    def _make_project(self, progress: Progress) -> int:
        arn = self.service.call("create_project", name=self.plan.project)["project"]["arn"]
        self.record = replace(self.record, project=arn)
        self.record.save(self.folder)
        return 0

    def _schedule(self, phone: PhoneRun) -> int:
        self.record.save(self.folder)  # its token, before anything has its name
        try:
            scheduled = schedule(
                self.service,
                self.record,
                phone,
                app=self._arns[APP_KIND],
                package=self._arns[PACKAGE_KIND],
                spec=self._arns[SPEC_KIND],
                minutes=self.plan.minutes,
                billing=self.estimate.billing,
                environment=self.environment(phone),
            )
        except (FarmLimitError, FarmRequestError) as error:
            # The others may be accepted all the same; a rerun tries this one again.
            scheduled = replace(phone, message=str(error))
        self.record = self.record.updated(scheduled)
        self.record.save(self.folder)
        return 0


@contextmanager
def prepare(
    service: FarmService, plan: FarmPlan, folder: Path, *, check_server: bool = True, uploader_poll_s: float = 2.0
) -> Iterator[FarmOperation]:
    """Look at everything that can be looked at without sending or paying, and yield the operation.

    Parameters
    ----------
    service
        The API.
    plan
        What to run.
    folder
        Where record and results go; one that has a record is gone on with.
    check_server
        Refuse a server that phones of the farm cannot reach.
    uploader_poll_s
        Seconds between two looks at the service's check of a file.

    Raises
    ------
    FarmError
        The plan, its files, its server, the account or its devices do not fit.
    """
    data = plan.data_files
    if check_server:
        check_reachable(plan.server)
    ticket = _ticket(plan)
    owned = account(service)
    if plan.minutes > owned.longest_minutes:
        raise FarmPlanError(
            f"{plan.path}: minutes is {plan.minutes}; this account's runs last {owned.longest_minutes} at most"
        )
    record = _record(service, plan, folder, data)
    waiting = sum(not phone.scheduled for phone in record.phones)
    with tempfile.TemporaryDirectory(prefix="pocketfleet-") as scratch:
        package = write_package(plan, data, Path(scratch) / f"{plan.name}.zip")
        yield FarmOperation(
            plan=plan,
            folder=folder,
            record=record,
            estimate=estimate(waiting, plan.minutes, owned),
            service=service,
            ticket=ticket,
            data=data,
            package=package,
            uploader_poll_s=uploader_poll_s,
        )


def account(service: FarmService) -> Account:
    """Ask what the account has."""
    return Account.of(service.call("get_account_settings").get("accountSettings", {}))


def _ticket(plan: FarmPlan) -> str:
    if plan.ticket is None:
        return ""
    try:
        ticket = plan.ticket.reveal(plan.name, "ticket")
    except InventoryError as error:
        raise FarmPlanError(str(error)) from None
    if not ticket.strip() or len(ticket) > 256:
        raise FarmPlanError(f"{plan.path}: ticket: the environment variable {plan.ticket.env} holds no ticket")
    return ticket.strip()


def _record(service: FarmService, plan: FarmPlan, folder: Path, data: Sequence[Path]) -> FarmRecord:
    """Return the record of a folder, or a new one with phones chosen for every data file."""
    if (folder / FILE).exists():
        record = FarmRecord.load(folder)
        if record.name != plan.name or [phone.data for phone in record.phones] != [str(file) for file in data]:
            raise FarmPlanError(
                f"{folder} belongs to another run ({record.name}, {len(record.phones)} phones)", "use -o"
            )
        return find_lost(service, record)
    projects = service.pages("list_projects", "projects")
    project = next((each["arn"] for each in projects if each.get("name") == plan.project), "")
    chosen = choose_devices(list_devices(service, plan.devices), len(data), plan.devices)
    phones = tuple(
        PhoneRun(name=plan.phone(index), data=str(file), device=device.arn, device_name=device.name)
        for index, (file, device) in enumerate(zip(data, chosen))
    )
    return FarmRecord(plan.name, project, phones, secrets.token_hex(4))
