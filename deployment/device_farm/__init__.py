"""AWS Device Farm: phones that nobody has to own, for as many minutes as are paid for.

Never run against AWS: the tests' service checks every request and answer against botocore's own model of the API.
"""

from __future__ import annotations

from deployment.device_farm.artifacts import collect_phone, is_collected, merge_into_run
from deployment.device_farm.cost import Estimate, estimate
from deployment.device_farm.devices import DeviceRules, FarmDevice, list_devices
from deployment.device_farm.errors import FarmError
from deployment.device_farm.operation import FarmOperation, account, prepare
from deployment.device_farm.plan import FarmPlan, load_plan
from deployment.device_farm.record import FarmRecord, PhoneRun
from deployment.device_farm.runs import find_lost, follow, refresh, stop
from deployment.device_farm.service import FarmService

__all__ = [
    "DeviceRules",
    "Estimate",
    "FarmDevice",
    "FarmError",
    "FarmOperation",
    "FarmPlan",
    "FarmRecord",
    "FarmService",
    "PhoneRun",
    "account",
    "collect_phone",
    "estimate",
    "find_lost",
    "follow",
    "is_collected",
    "list_devices",
    "load_plan",
    "merge_into_run",
    "prepare",
    "refresh",
    "stop",
]
