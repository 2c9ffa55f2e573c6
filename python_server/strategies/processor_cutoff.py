"""FedAvg with a cutoff time for each class of processor.

Mathur, Beutel, de Gusmão, Fernandez-Marques, Topal, Qiu, Parcollet, Gao and Lane, "On-device Federated Learning with
Flower" (2021), section 5: "each client device is assigned a cutoff time (τ) after which it must send its model
parameters to the server, irrespective of whether it has finished its local epochs or not"; τ is chosen by processor,
and τ = 0 is no cutoff (Table 3: a CPU given the GPU's round time ends its round with it, for a few points of accuracy).

What differs: τ is counted from the start of local training, in seconds, so that it does not depend on the network; a
client always finishes the step it is in. Partial updates count in full by default, as in the paper;
``weight_by = "work"`` lets them count for what was done, and ``proximal_mu`` makes it FedProx, which the paper likens
it to.
"""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from python_server.groups import Choice
from python_server.strategies.base import Device, Plan
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting

__all__ = ["ProcessorCutoff", "ProcessorCutoffOptions"]


@dataclass(frozen=True)
class ProcessorCutoffOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and the cutoffs.

    Attributes
    ----------
    cutoff_s
        Seconds of local training by class of processor, such as ``{ cpu = 120, gpu = 0 }``; 0: no cutoff.
    default_cutoff_s
        For processors that ``cutoff_s`` does not name.
    """

    cutoff_s: dict[str, float] = setting({}, least=0)
    default_cutoff_s: float = setting(0.0, least=0)


class ProcessorCutoff(FedAvg):
    """FedAvg whose plans carry the cutoff of the device's processor."""

    name = "processor_cutoff"
    options: ProcessorCutoffOptions

    def plan(self, number: int, device: Device, choice: Choice, random: np.random.Generator) -> Plan:
        """Return the plan with the device's cutoff; a group's own goes first."""
        plan = super().plan(number, device, choice, random)
        cutoff_s = self.options.cutoff_s.get(device.processor, self.options.default_cutoff_s)
        return plan if plan.cutoff_s else replace(plan, cutoff_s=cutoff_s)
