"""What a device can give to a network, and which devices share an architecture (Li and Sanyal, section 3)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from model_export.errors import ExportError
from model_export.size import Size

__all__ = ["Budget", "groups_of_equal_budget"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Budget:
    """What a network has to stay below; infinity: no limit.

    Attributes
    ----------
    macs, parameters
        The paper's Mᵢ and Pᵢ.
    feature_map
        Elements of the largest feature map. The paper only reports it; as a limit it is ours.
    """

    macs: float = math.inf
    parameters: float = math.inf
    feature_map: float = math.inf

    def __post_init__(self) -> None:
        for name, limit in asdict(self).items():
            if not limit > 0:
                raise ExportError(f"a budget of {limit} {name} is no budget; it has to be above 0")
        if math.inf == self.macs == self.parameters == self.feature_map:
            raise ExportError("a budget limits at least one of macs, parameters and feature_map")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``macs=20M,parameters=500k``.

        Raises
        ------
        ExportError
            It is not a budget.
        """
        limits: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            number = re.fullmatch(r"(\d+(?:\.\d*)?)([kMG]?)", value)
            if name not in Budget.__dataclass_fields__ or number is None or name in limits:
                raise ExportError(
                    f"{part.strip()!r} is no budget; give macs, parameters or feature_map, as in "
                    "macs=20M,parameters=500k"
                )
            limits[name] = float(number[1]) * _UNITS[number[2]]
        return cls(**limits)

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return ",".join(f"{name}={limit:.12g}" for name, limit in asdict(self).items() if limit < math.inf)

    def allows(self, size: Size) -> bool:
        """Tell whether a network of this size is below all limits."""
        return all(getattr(size, name) < limit for name, limit in asdict(self).items())


def groups_of_equal_budget(budgets: Mapping[str, Budget]) -> dict[Budget, tuple[str, ...]]:
    """Cluster devices by budget: those of one cluster train the same architecture (section 3.1, step iii of figure 1).

    Parameters
    ----------
    budgets
        Budget of each device by its name.

    Returns
    -------
    dict
        Names of the devices of each budget, in the order in which they were given.
    """
    groups: dict[Budget, tuple[str, ...]] = {}
    for name, budget in budgets.items():
        groups[budget] = (*groups.get(budget, ()), name)
    return groups
