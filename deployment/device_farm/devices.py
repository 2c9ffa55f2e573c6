"""Which phones: rules that Device Farm understands, and a choice of one for every data file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployment.device_farm.errors import FarmPlanError
from deployment.device_farm.service import FarmService
from device_profiles.toml_tables import setting

__all__ = ["OLDEST_ANDROID", "DeviceRules", "FarmDevice", "check_rules", "choose_devices", "list_devices"]

OLDEST_ANDROID = "8.0.0"
_READY = ("HIGHLY_AVAILABLE", "AVAILABLE")


@dataclass(frozen=True)
class DeviceRules:
    """What phones are wanted; all rules have to hold.

    Attributes
    ----------
    arns
        These models and no others.
    pool
        ARN of a device pool that was made elsewhere.
    manufacturers, models
        Names as Device Farm has them, such as Google and "Google Pixel 8".
    model_contains
        A part of the model's name.
    oldest_android
        Oldest version; never older than the app itself runs on.
    form_factor
        ``phone``, ``tablet``, or empty for both.
    """

    arns: tuple[str, ...] = setting(())
    pool: str = setting("")
    manufacturers: tuple[str, ...] = setting(())
    models: tuple[str, ...] = setting(())
    model_contains: str = setting("")
    oldest_android: str = setting(OLDEST_ANDROID)
    form_factor: str = setting("", among=("phone", "tablet", ""))

    def filters(self) -> list[dict[str, Any]]:
        """Return the rules as ListDevices takes them."""
        oldest = max(self.oldest_android, OLDEST_ANDROID, key=_version)
        filters = [_filter("PLATFORM", "EQUALS", "ANDROID"), _filter("OS_VERSION", "GREATER_THAN_OR_EQUALS", oldest)]
        if self.arns:
            filters.append(_filter("ARN", "IN", *self.arns))
        if self.manufacturers:
            filters.append(_filter("MANUFACTURER", "IN", *self.manufacturers))
        if self.models:
            filters.append(_filter("MODEL", "IN", *self.models))
        if self.model_contains:
            filters.append(_filter("MODEL", "CONTAINS", self.model_contains))
        if self.form_factor:
            filters.append(_filter("FORM_FACTOR", "EQUALS", self.form_factor.upper()))
        return filters

    def __str__(self) -> str:
        rules = [f"{each['attribute']} {each['operator']} {', '.join(each['values'])}" for each in self.filters()]
        return "; ".join([*rules, *([f"in pool {self.pool}"] if self.pool else [])])


@dataclass(frozen=True)
class FarmDevice:
    """A model of phone at Device Farm, of which there may be several.

    Attributes
    ----------
    arn, name, manufacturer, model, os, form_factor
        As Device Farm has them.
    availability
        ``HIGHLY_AVAILABLE``, ``AVAILABLE``, ``BUSY`` or ``TEMPORARY_NOT_AVAILABLE``; empty: not told.
    """

    arn: str
    name: str
    manufacturer: str
    model: str
    os: str
    form_factor: str
    availability: str

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> FarmDevice:
        """Read one of ListDevices."""
        return cls(
            arn=raw["arn"],
            name=raw.get("name", raw["arn"]),
            manufacturer=raw.get("manufacturer", ""),
            model=raw.get("model", ""),
            os=raw.get("os", ""),
            form_factor=raw.get("formFactor", ""),
            availability=raw.get("availability", ""),
        )


def check_rules(rules: DeviceRules) -> None:
    """Refuse rules that Device Farm would not understand.

    Raises
    ------
    FarmPlanError
        A version or an ARN that makes no sense.
    """
    if not all(part.isdigit() and part for part in rules.oldest_android.split(".")):
        raise FarmPlanError(f"devices.oldest_android is {rules.oldest_android!r}; it has to be a version such as '10'")
    for arn in (*rules.arns, *([rules.pool] if rules.pool else [])):
        if not arn.startswith("arn:aws:devicefarm:"):
            raise FarmPlanError(f"{arn!r} is no ARN of Device Farm", "see: pocketfleet farm devices --json")


def list_devices(service: FarmService, rules: DeviceRules) -> list[FarmDevice]:
    """Return the phones that fit, the readiest first, then by name."""
    found = [FarmDevice.of(raw) for raw in service.pages("list_devices", "devices", filters=rules.filters())]
    if rules.pool:
        answer = service.call("get_device_pool_compatibility", devicePoolArn=rules.pool, testType="APPIUM_PYTHON")
        inside = {entry["device"]["arn"] for entry in answer.get("compatibleDevices", [])}
        found = [device for device in found if device.arn in inside]
    ranks = {word: rank for rank, word in enumerate(_READY)}
    return sorted(found, key=lambda device: (ranks.get(device.availability, len(ranks)), device.name))


def choose_devices(devices: Sequence[FarmDevice], count: int, rules: DeviceRules) -> list[FarmDevice]:
    """Return ``count`` phones: every model once before any comes twice.

    Phones that are busy are chosen only where no others fit; their runs wait.

    Raises
    ------
    FarmPlanError
        No phone fits the rules.
    """
    if not devices:
        raise FarmPlanError(f"no phone of Device Farm fits the rules ({rules})", "see: pocketfleet farm devices")
    ready = [device for device in devices if device.availability in (*_READY, "")] or list(devices)
    return [ready[index % len(ready)] for index in range(count)]


def _filter(attribute: str, operator: str, *values: str) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "values": list(values)}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
