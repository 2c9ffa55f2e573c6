"""A device's power model from its own measurements: least squares of power over busy cores, with the error shown.

Power while a share of the cores is busy is close to a straight line on small processors, so the model is
P = idle + busy · (processor seconds ÷ seconds). The fit is ordinary least squares over the samples' mean powers;
standard errors are those of simple linear regression (Draper and Smith, "Applied Regression Analysis", 3rd ed. 1998,
section 1.4). They say how well a line describes these samples, not how right the sensor is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from device_profiles.profile import PowerModel

__all__ = ["PowerFit", "PowerFitError", "Sample", "fit_power"]

_LEAST_SPREAD = 0.05
"""Busy cores that the samples have to lie apart: a line through one place has no slope."""


class PowerFitError(ValueError):
    """The samples do not make a power model; the message says why."""


@dataclass(frozen=True)
class Sample:
    """An interval: its length, the processor time in it (all cores together), and the joules of the device."""

    wall_s: float
    cpu_s: float
    energy_j: float

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.energy_j / self.wall_s

    @property
    def busy_cores(self) -> float:
        """Cores that were busy, on average."""
        return self.cpu_s / self.wall_s


@dataclass(frozen=True)
class PowerFit:
    """A power model with how well it fits.

    Attributes
    ----------
    power
        The model.
    idle_error_w, busy_error_w
        Standard errors of its two numbers; None with two samples, through which any line goes.
    rms_w
        Root mean square of what the model is off by at the samples, in watts.
    samples
        How many there were.
    """

    power: PowerModel
    idle_error_w: Optional[float]
    busy_error_w: Optional[float]
    rms_w: float
    samples: int

    def __str__(self) -> str:
        power = self.power
        if self.idle_error_w is None or self.busy_error_w is None:
            return f"{power.idle_w:.3g} W + {power.busy_w_per_core:.3g} W a core (two samples: no error can be told)"
        return (
            f"{power.idle_w:.3g} ± {self.idle_error_w:.2g} W + {power.busy_w_per_core:.3g} ± {self.busy_error_w:.2g} W "
            f"a core, off by {self.rms_w:.2g} W at {self.samples} samples"
        )


def fit_power(samples: Sequence[Sample], source: str) -> PowerFit:
    """Fit a power model.

    Parameters
    ----------
    samples
        Two at least, of different load.
    source
        What measured them, in words; goes into the model's source.

    Raises
    ------
    PowerFitError
        There are too few samples, they are of one load, or the line through them has a negative power.
    """
    for sample in samples:
        if not (sample.wall_s > 0 and sample.cpu_s >= 0 and math.isfinite(sample.energy_j) and sample.energy_j >= 0):
            raise PowerFitError(f"a sample of {sample.energy_j:g} J in {sample.wall_s:g} s makes no sense")
    count = len(samples)
    if count < 2:
        raise PowerFitError(f"{count} samples of power; a model needs two of different load")
    cores, watts = [sample.busy_cores for sample in samples], [sample.watts for sample in samples]
    if max(cores) - min(cores) < _LEAST_SPREAD:
        raise PowerFitError(
            f"all samples of power are of about {cores[0]:.2g} busy cores; a model needs different load"
        )
    mean_x, mean_y = math.fsum(cores) / count, math.fsum(watts) / count
    spread = math.fsum((x - mean_x) ** 2 for x in cores)
    busy = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(cores, watts)) / spread
    idle = mean_y - busy * mean_x
    if busy < 0 or idle < 0:
        raise PowerFitError(
            f"the samples of power make {idle:.3g} W idle and {busy:.3g} W a core, which cannot be; something else was "
            "running, or the sensor does not cover the processor"
        )
    squares = math.fsum((y - idle - busy * x) ** 2 for x, y in zip(cores, watts))
    idle_error = busy_error = None
    if count > 2:
        variance = squares / (count - 2)
        busy_error = math.sqrt(variance / spread)
        idle_error = math.sqrt(variance * (1 / count + mean_x**2 / spread))
    model = PowerModel(idle, busy, f"fitted to {count} samples of {source}")
    return PowerFit(model, idle_error, busy_error, math.sqrt(squares / count), count)
