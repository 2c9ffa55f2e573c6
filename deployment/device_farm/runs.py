"""Runs: one for each phone, with environment variables of its own; followed to their end, or stopped.

A run per phone costs the same as one run of many, and lets each phone have its own name and data, be stopped alone, and
be chosen twice of one model. Device Farm works at as many at once as the account allows (five, if nothing else was
agreed), and the others wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from deployment.device_farm.errors import FarmRequestError, FarmUnreachableError
from deployment.device_farm.package import TEST_KIND
from deployment.device_farm.record import FarmRecord, PhoneRun
from deployment.device_farm.service import FarmService

__all__ = ["find_lost", "follow", "refresh", "schedule", "stop"]

_PATIENCE_TRIES = 10


def schedule(
    service: FarmService,
    record: FarmRecord,
    phone: PhoneRun,
    *,
    app: str,
    package: str,
    spec: str,
    minutes: int,
    billing: str,
    environment: dict[str, str],
) -> PhoneRun:
    """Schedule one phone's run.

    Where the answer is lost, Device Farm is asked whether it has the run before another is scheduled.

    Parameters
    ----------
    record
        That of all phones, as it is on disk.
    phone
        Not scheduled yet.
    app, package, spec
        ARNs.
    minutes
        After which Device Farm ends it.
    billing
        ``METERED`` or ``UNMETERED``.
    environment
        Variables of the test host. They are readable for whoever may see the account's runs.

    Raises
    ------
    FarmUnreachableError
        It is unknown whether it was scheduled; `find_lost` tells later.
    FarmError
        It was refused; nothing was scheduled.
    """

    def ask() -> PhoneRun:
        answer = service.call(
            "schedule_run",
            projectArn=record.project,
            appArn=app,
            name=record.run_name(phone),
            deviceSelectionConfiguration={
                "filters": [{"attribute": "ARN", "operator": "IN", "values": [phone.device]}],
                "maxDevices": 1,
            },
            test={"type": TEST_KIND, "testPackageArn": package, "testSpecArn": spec},
            configuration={
                "billingMethod": billing,
                "environmentVariables": [{"name": name, "value": value} for name, value in environment.items()],
            },
            # A video costs processor time on the phone, and a login that others left is nothing to us.
            executionConfiguration={"jobTimeoutMinutes": minutes, "videoCapture": False, "accountsCleanup": True},
        )
        return _with(phone, answer["run"])

    for wait_s in (5, 10):
        try:
            return ask()
        except FarmUnreachableError:
            time.sleep(wait_s)
            found = next(each for each in find_lost(service, record).phones if each.name == phone.name)
            if found.scheduled:
                return found
    return ask()


def find_lost(service: FarmService, record: FarmRecord) -> FarmRecord:
    """Return a record with the runs that Device Farm has and we never heard of, by their names."""
    missing = {record.run_name(phone): phone for phone in record.phones if not phone.scheduled}
    if record.token and record.project and missing:
        for run in service.pages("list_runs", "runs", arn=record.project):
            if run.get("name") in missing:
                record = record.updated(_with(missing[run["name"]], run))
    return record


def refresh(service: FarmService, phone: PhoneRun) -> PhoneRun:
    """Return the phone with the state that its run has now.

    Raises
    ------
    FarmError
        The service cannot be asked.
    """
    if not phone.scheduled or phone.ended:
        return phone
    return _with(phone, service.call("get_run", arn=phone.run)["run"])


def stop(service: FarmService, phone: PhoneRun) -> PhoneRun:
    """End a run; what the phone has done so far is kept by Device Farm, and costs."""
    if not phone.scheduled or phone.ended:
        return phone
    answer = service.call("stop_run", arn=phone.run)
    return _with(phone, answer.get("run", {}))


def follow(
    service: FarmService,
    record: FarmRecord,
    *,
    poll_s: float = 20.0,
) -> Iterator[tuple[FarmRecord, PhoneRun]]:
    """Yield the record and the phone whenever a phone's state changes, until all have ended.

    A passing fault of the connection is waited out: the phones go on without us.

    Raises
    ------
    FarmError
        Credentials expired, or the service could not be asked for long.
    """
    misses = 0
    while any(phone.scheduled and not phone.ended for phone in record.phones):
        for phone in record.phones:
            try:
                now = refresh(service, phone)
                misses = 0
            except FarmUnreachableError:
                misses += 1
                if misses >= _PATIENCE_TRIES:
                    raise
                break
            except FarmRequestError as error:  # somebody deleted it
                now = replace(phone, status="COMPLETED", result="ERRORED", message=str(error))
            if now != phone:
                record = record.updated(now)
                if (now.status, now.result) != (phone.status, phone.result):
                    yield record, now
        if any(phone.scheduled and not phone.ended for phone in record.phones):
            time.sleep(poll_s)


def _with(phone: PhoneRun, run: dict[str, Any]) -> PhoneRun:
    code = str(run.get("resultCode", ""))
    message = " ".join(text for text in (code, str(run.get("message", ""))) if text)
    return replace(
        phone,
        run=run.get("arn", phone.run),
        status=run.get("status", phone.status),
        result=run.get("result", phone.result),
        message=message or phone.message,
        minutes=float(run.get("deviceMinutes", {}).get("total", phone.minutes)),
    )
