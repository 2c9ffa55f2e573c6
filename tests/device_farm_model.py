"""What botocore's model of Device Farm's API allows: botocore checks no enums, no patterns, and no answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import botocore.loaders
import botocore.model

__all__ = ["MODEL", "Refusal", "violations"]

MODEL = botocore.model.ServiceModel(
    botocore.loaders.Loader().load_service_model("devicefarm", "service-2"), "devicefarm"
)
_NUMBER = (int, float)
_TYPES: dict[str, Any] = {"string": str, "integer": int, "long": int, "boolean": bool, "map": dict, "structure": dict}
_TYPES |= {"list": list, "double": _NUMBER, "float": _NUMBER, "timestamp": _NUMBER}


def violations(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Yield what is wrong with a value, by the model's shape of it."""
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (kind != "boolean" and isinstance(value, bool)):
        yield f"{where} is {value!r}, no {kind}"
        return
    yield from _scalar_violations(value, shape, where)
    if kind == "structure":
        yield from (f"{where}.{name} is missing" for name in shape.required_members if name not in value)
        for name, item in value.items():
            if name not in shape.members:
                yield f"{where}.{name} is unknown"
            else:
                yield from violations(item, shape.members[name], f"{where}.{name}")
    elif kind == "list":
        for index, item in enumerate(value):
            yield from violations(item, shape.member, f"{where}[{index}]")
    elif kind == "map":
        for name, item in value.items():
            yield from violations(name, shape.key, f"{where} key")
            yield from violations(item, shape.value, f"{where}.{name}")


def _scalar_violations(value: Any, shape: Any, where: str) -> Iterator[str]:
    if getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{where} is {value!r}, which is not one of its enum"
    pattern = shape.metadata.get("pattern")
    if pattern and not re.search(pattern, value):
        yield f"{where} is {value!r}, which does not fit {pattern}"
    if shape.type_name not in ("integer", "long", "string", "list"):
        return
    size = value if isinstance(value, int) else len(value)
    if not shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size):
        yield f"{where} has {size}, outside {shape.metadata.get('min')} to {shape.metadata.get('max')}"


class Refusal(Exception):
    """An error of the service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
