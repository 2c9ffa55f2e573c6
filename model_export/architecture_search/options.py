"""How the search trains."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from model_export.errors import ExportError

__all__ = ["SearchOptions"]

_MAY_BE_ZERO = ("entropy_factor", "bound_factor", "seed")


@dataclass(frozen=True)
class SearchOptions:
    """Settings of algorithm 1; the first three are the paper's (section 4.1 and the algorithm).

    Attributes
    ----------
    entropy_factor, bound_factor
        λ₁ and λ₂ of equation 3.
    threshold
        Channels whose weight is at or below it are removed.
    epochs
        Epochs of each pass ("Train Net on D").
    batch_size, learning_rate
        Of the training, by Adam.
    rate
        How many times faster than the other variables the channel weights move.
    most_passes
        After which the search gives up.
    seed
        Of the order of the samples.
    """

    entropy_factor: float = 0.1
    bound_factor: float = 0.01
    threshold: float = 0.1
    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-3
    rate: float = 10.0
    most_passes: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = "at least 0" if name in _MAY_BE_ZERO else "above 0"
            if not math.isfinite(value) or value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
                raise ExportError(f"{name} is {value}; it has to be {least}")
        if self.threshold >= 1:
            raise ExportError(f"threshold is {self.threshold}; weights begin at 1, so it has to be below")
