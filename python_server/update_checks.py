"""What an update has to be before it is added to a mean: each check raises `UpdateError` that names the variable."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Optional

import numpy as np

from python_server.errors import UpdateError
from python_server.parts import Index
from python_server.team import BLOCK, Team

__all__ = ["check_finite", "check_names", "check_values"]


def check_names(
    update: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    names: Optional[Collection[str]],
    where: Mapping[str, Index],
) -> None:
    """Refuse variables that the model does not have, or that are not among ``names``, and missing ones."""
    for name in update:
        own = reference.get(name)
        if own is None or (names is not None and name not in names):
            known = "which the model does not have" if own is None else "which it was not asked to train"
            raise UpdateError(f"it sent {name!r}, {known}")
    missing = [name for name in names or () if name not in update]
    if missing:
        raise UpdateError(f"{missing[0]!r} is missing" + (f", and {len(missing) - 1} more" if missing[1:] else ""))
    unknown = [name for name in where if name not in update]
    if unknown:
        raise UpdateError(f"a part is given for {unknown[0]!r}, which the update does not hold")


def check_values(
    update: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse other shapes than the model's, or those given for parts, and dtypes that do not become the model's."""
    for name, value in update.items():
        own = reference[name]
        expected = shapes.get(name, own.shape)
        if value.shape != expected:
            raise UpdateError(f"{name!r} has shape {list(value.shape)} instead of {list(expected)}")
        if value.dtype != own.dtype and not np.can_cast(value.dtype, own.dtype, "same_kind"):
            raise UpdateError(f"{name!r} has dtype {value.dtype} instead of {own.dtype}")


def check_finite(update: Mapping[str, np.ndarray], values: list[np.ndarray], team: Team) -> None:
    """Look for NaN in all values, which are the update's, maybe joined; name the variable that has one."""
    bad: list[bool] = []

    def look(block: np.ndarray) -> None:
        if not np.isfinite(block).all():
            bad.append(True)

    flat = [each.reshape(-1) for each in values if each.dtype.kind == "f"]
    team.do(look, [each[low : low + BLOCK] for each in flat for low in range(0, each.size, BLOCK)])
    if bad:
        name = next(name for name, value in update.items() if not np.isfinite(value).all())
        what = "NaN" if np.isnan(update[name]).any() else "an infinite value"
        raise UpdateError(f"{name!r} holds {what}")
