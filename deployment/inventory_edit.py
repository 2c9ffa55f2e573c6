"""Changes to ``fleet.toml`` that leave everything else in it, comments too, as it is."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomllib

from deployment.errors import InventoryError
from deployment.inventory import DeviceEntry, Secret, load_inventory
from model_export.files import write_atomically

__all__ = ["add_device", "set_key"]


def add_device(path: Path, device: DeviceEntry) -> None:
    """Append a device to an inventory file, which is made if it is not there.

    Raises
    ------
    InventoryError
        The file would not be right any more; it is unchanged.
    """
    lines = ["[[devices]]"]
    for item in dataclasses.fields(device):
        value = getattr(device, item.name)
        if value not in (item.default, None, "", ()) or item.name in ("name", "connect"):
            lines.append(f"{item.name} = {_toml(value)}")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _replace(path, f"{text.rstrip()}\n\n" * bool(text.strip()) + "\n".join(lines) + "\n")


def set_key(path: Path, device: str, key: str, value: object) -> None:
    """Set one key of a device in an inventory file; all else in it, comments too, stays as it is.

    Raises
    ------
    InventoryError
        There is no such device, or the file would not be right any more; it is unchanged.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    starts = [index for index, line in enumerate(lines) if re.match(r"\s*\[", line)]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        table = lines[start:end]
        if not re.match(r"\s*\[\[\s*devices\s*\]\]", table[0]) or _table_name(table) != device:
            continue
        written = f"{key} = {_toml(value)}"
        for offset, line in enumerate(table):
            if re.match(rf"\s*{re.escape(key)}\s*=", line):
                comment = re.search(r"\s+#[^\"']*$", line)
                lines[start + offset] = written + (comment.group() if comment else "")
                break
        else:
            last = max(
                offset for offset, line in enumerate(table) if line.strip() and not line.lstrip().startswith("#")
            )
            lines.insert(start + last + 1, written)
        _replace(path, "\n".join(lines) + "\n")
        return
    raise InventoryError(f"{path}: no table [[devices]] of {device!r} to write {key} into")


def _table_name(lines: Sequence[str]) -> object:
    try:
        return tomllib.loads("\n".join(lines))["devices"][0].get("name")
    except tomllib.TOMLDecodeError:
        return None


def _toml(value: Any) -> str:
    if isinstance(value, Secret):
        return "{ prompt = true }" if value.prompt else f"{{ env = {_toml(value.env)} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)


def _replace(path: Path, text: str) -> None:
    """Write an inventory that can be loaded, or leave the old one."""
    trial = path.with_name(f".{path.name}.new")
    try:
        write_atomically(trial, text.encode())
        load_inventory(trial)
        trial.replace(path)
    except InventoryError as error:
        trial.unlink(missing_ok=True)
        raise InventoryError(str(error).replace(str(trial), str(path))) from None
    except OSError as error:
        raise InventoryError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
