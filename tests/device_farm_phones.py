"""The phones of the Device Farm on the loopback, and the rules that choose among them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.device_farm_model import Refusal

__all__ = ["all_phones", "fits"]

_DEVICES = (
    ("Google Pixel 8", "Google", "14", "HIGHLY_AVAILABLE"),
    ("Google Pixel 4", "Google", "10", "AVAILABLE"),
    ("Samsung Galaxy Tab S6 (WiFi)", "Samsung", "9", "AVAILABLE"),
    ("Google Pixel 2", "Google", "8.0.0", "BUSY"),
    ("Samsung Galaxy S6", "Samsung", "7.0", "HIGHLY_AVAILABLE"),
    ("Apple iPhone 15", "Apple", "17.0", "HIGHLY_AVAILABLE"),
)


def all_phones() -> list[dict[str, Any]]:
    """Return them as ListDevices shows them."""
    return [_device(*phone) for phone in _DEVICES]


def _device(name: str, maker: str, version: str, availability: str) -> dict[str, Any]:
    return {
        "arn": f"arn:aws:devicefarm:us-west-2::device:{hashlib.sha256(name.encode()).hexdigest()[:32]}",
        "name": name,
        "manufacturer": maker,
        "model": name,
        "formFactor": "TABLET" if "Tab" in name else "PHONE",
        "platform": "IOS" if maker == "Apple" else "ANDROID",
        "os": version,
        "memory": 128_000_000_000,
        "availability": availability,
    }


_FIELDS = {
    "ARN": "arn",
    "PLATFORM": "platform",
    "OS_VERSION": "os",
    "MODEL": "model",
    "MANUFACTURER": "manufacturer",
    "FORM_FACTOR": "formFactor",
}
_OPERATORS = {
    "ARN": ("EQUALS", "IN", "NOT_IN"),
    "PLATFORM": ("EQUALS",),
    "FORM_FACTOR": ("EQUALS",),
    "MANUFACTURER": ("EQUALS", "IN", "NOT_IN"),
    "MODEL": ("EQUALS", "IN", "NOT_IN", "CONTAINS"),
    "OS_VERSION": (
        "EQUALS",
        "IN",
        "NOT_IN",
        "LESS_THAN",
        "GREATER_THAN",
        "LESS_THAN_OR_EQUALS",
        "GREATER_THAN_OR_EQUALS",
    ),
}
"""From the documentation in the model: which operator goes with which attribute."""


def fits(device: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule chooses a phone."""
    attribute, operator, values = rule["attribute"], rule["operator"], rule["values"]
    if operator not in _OPERATORS[attribute] or (len(values) != 1 and operator not in ("IN", "NOT_IN")):
        raise Refusal("ArgumentException", f"{operator} is no operator for {attribute}")
    value = device[_FIELDS[attribute]]
    if operator == "CONTAINS":
        return bool(values[0] in value)
    if operator == "GREATER_THAN_OR_EQUALS":
        return _version(value) >= _version(values[0])
    return value in values


def _version(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(".")]
    return numbers + [0] * (3 - len(numbers))
