"""Read tables of a TOML file into dataclasses, with messages that name the key, its table and what was expected.

A field's type is what the key may hold; its metadata (see `setting`) bounds the value. Unknown keys are refused with
the nearest valid one, so that a typing error never falls back to a default in silence.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

__all__ = ["TableError", "read_table", "setting"]

Table = TypeVar("Table")


class TableError(ValueError):
    """A key is unknown or missing, or its value makes no sense; the message names it."""


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path as text"}


def setting(
    default: Any = dataclasses.MISSING,
    *,
    least: Optional[float] = None,
    above: Optional[float] = None,
    most: Optional[float] = None,
    among: Optional[tuple[str, ...]] = None,
    read: Optional[Callable[[object, str], object]] = None,
) -> Any:
    """Declare a field of a table.

    Parameters
    ----------
    default
        Value when the key is not given; without one the key is required.
    least, above, most
        Bounds of a number: inclusive lower, exclusive lower, inclusive upper.
    among
        The only texts allowed.
    read
        Reads values of a kind of their own: gets the raw value and the key's full name.
    """
    metadata = {"least": least, "above": above, "most": most, "among": among, "read": read}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def read_table(kind: type[Table], raw: object, where: str, base: Path, *, whole: str = "the file") -> Table:
    """Turn a table into the dataclass ``kind``.

    Parameters
    ----------
    kind
        A dataclass whose fields were declared with `setting`; fields that are dataclasses are tables of the table.
    raw
        What the TOML parser gave.
    where
        Name of the table for messages; empty for the file itself.
    base
        Paths are relative to this directory.
    whole
        What to call the file itself in messages.

    Raises
    ------
    TableError
        A key is unknown or missing, or its value makes no sense.
    """
    if not isinstance(raw, Mapping):
        raise TableError(f"{where} has to be a table, as in [{where}]")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for key in raw:
        if key not in fields:
            raise TableError(_unknown(str(key), list(fields), where, whole))
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in raw:
            values[name] = _value(hints[name], field.metadata, raw[name], _dotted(where, name), base)
        elif dataclasses.is_dataclass(hints[name]) and field.default_factory is not dataclasses.MISSING:
            continue
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise TableError(f"{_dotted(where, name)} is missing")
    return kind(**values)


def _unknown(key: str, known: list[str], where: str, whole: str) -> str:
    place = f"[{where}]" if where else whole
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it may have: {', '.join(sorted(known))}"
    return f"unknown key {key!r} in {place}; {hint}"


def _dotted(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _value(hint: Any, bounds: Mapping[str, Any], raw: object, name: str, base: Path) -> object:
    if bounds.get("read"):
        return bounds["read"](raw, name)
    if typing.get_origin(hint) is Union:
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return read_table(hint, raw, name, base)
    origin = typing.get_origin(hint)
    if origin in (tuple, list):
        if not isinstance(raw, list):
            raise TableError(f"{name} has to be a list, as in [...]; it is {raw!r}")
        kind = typing.get_args(hint)[0]
        items = [_value(kind, bounds, item, f"{name}[{index}]", base) for index, item in enumerate(raw)]
        return origin(items)
    if origin is dict:
        if not isinstance(raw, Mapping):
            raise TableError(f"{name} has to be a table, as in [{name}]; it is {raw!r}")
        kind = typing.get_args(hint)[1]
        return {str(key): _value(kind, bounds, item, f"{name}.{key}", base) for key, item in raw.items()}
    return _scalar(hint, bounds, raw, name, base)


def _scalar(kind: type, bounds: Mapping[str, Any], raw: object, name: str, base: Path) -> object:
    expected = str if kind is Path else kind
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        raw = float(raw)
    if not isinstance(raw, expected) or (kind is int and isinstance(raw, bool)):
        raise TableError(f"{name} has to be {_WORDS[kind]}; it is {raw!r}")
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        _check_bounds(raw, bounds, name)
    if bounds.get("among") and raw not in bounds["among"]:
        near = difflib.get_close_matches(str(raw), bounds["among"], n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TableError(f"{name} is {raw!r}; it may be {' or '.join(map(repr, bounds['among']))}{hint}")
    return (base / Path(str(raw)).expanduser()).resolve() if kind is Path else raw


def _check_bounds(value: float, bounds: Mapping[str, Any], name: str) -> None:
    least, above, most = bounds.get("least"), bounds.get("above"), bounds.get("most")
    problems = [
        (not math.isfinite(value), "a finite number"),
        (least is not None and value < least, f"at least {least}"),
        (above is not None and value <= above, f"greater than {above}"),
        (most is not None and value > most, f"at most {most}"),
    ]
    for wrong, rule in problems:
        if wrong:
            raise TableError(f"{name} is {value}; it has to be {rule}")
