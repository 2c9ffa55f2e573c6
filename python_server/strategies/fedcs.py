"""FedCS: choose as many devices as can finish within a deadline.

Nishio and Yonetani, "Client Selection for Federated Learning with Heterogeneous Resources in Mobile Edge" (ICC 2019),
section IV and algorithm 3: of a random share of the devices, add greedily the one that adds the least to the round,
t_UL + max(0, t_UD − Θ), where t_UD is a device's time to update, t_UL its time to upload, uploads come one after the
other, and Θ is when those chosen so far are through; leave out whoever would bring the round beyond the deadline.

What differs: devices do not announce their resources. Times are those of the rounds before, by the server's clock:
download and training are the update, the rest the upload. A device that was never seen costs nothing, so it is tried;
one that came too late is taken for as slow as the deadline, and the times of those not asked shrink by a tenth a round,
so that a device that was slow once is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from python_server.run_rows import DeviceRoundRow
from python_server.strategies.base import Device, StrategyState
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting

__all__ = ["FedCS", "FedCSOptions", "greedy"]

_FORGETTING = 0.9

Times = tuple[float, float]
"""Seconds of update and upload."""


@dataclass(frozen=True)
class FedCSOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and the deadline. ``fraction`` is the share that is looked at.

    Attributes
    ----------
    deadline_s
        Seconds that a round's training may take. It only chooses; ``[server] round_deadline_s`` is what is enforced.
    """

    deadline_s: float = setting(180.0, above=0)


class FedCS(FedAvg):
    """FedAvg among the devices that can finish in time."""

    name = "fedcs"
    options: FedCSOptions

    def choose(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> list[Device]:
        """Choose as many as fit before the deadline; the fastest alone if none does."""
        offered = super().choose(state, number, devices, random)
        known = state.values.get("times", {})
        times = {device.device: tuple(known.get(device.device, (0.0, 0.0))) for device in offered}
        chosen = greedy(times, self.options.deadline_s)
        return [device for device in offered if device.device in chosen]

    def observe(self, state: StrategyState, number: int, rows: Sequence[DeviceRoundRow]) -> StrategyState:
        """Remember how long each device took."""
        known: dict[str, list[float]] = dict(state.values.get("times", {}))
        asked = {row.device for row in rows}
        times = {
            device: pair if device in asked else [each * _FORGETTING for each in pair] for device, pair in known.items()
        }
        for row in sorted(rows, key=lambda row: row.device):
            if row.outcome == "late":
                update_s, upload_s = known.get(row.device, [0.0, 0.0])
                times[row.device] = [max(update_s, self.options.deadline_s), upload_s]
            elif row.read_after_s is not None:
                total_s = max(0.0, row.read_after_s - (row.sent_after_s or 0.0))
                own_s = (row.download_s or 0.0) + (row.prepare_s or 0.0) + (row.train_s or 0.0)
                update_s = min(own_s, total_s)
                times[row.device] = [update_s, total_s - update_s]
        return StrategyState({**state.values, "times": times}, state.arrays)


def greedy(times: Mapping[str, Times], deadline_s: float) -> set[str]:
    """Choose devices by algorithm 3 of the paper.

    Parameters
    ----------
    times
        Seconds of update and upload of each device.
    deadline_s
        When the last upload has to be through.

    Returns
    -------
    set of str
        At least one device, if there are any.
    """
    left, chosen, through_s = dict(times), set[str](), 0.0
    while left:
        added = {name: upload + max(0.0, update - through_s) for name, (update, upload) in left.items()}
        name = min(added, key=lambda each: (added[each], each))
        del left[name]
        if through_s + added[name] < deadline_s:
            chosen.add(name)
            through_s += added[name]
    if times and not chosen:
        chosen.add(min(times, key=lambda each: (sum(times[each]), each)))
    return chosen
