"""FedAvg under a budget of energy: who trains in a round, and for how many epochs, to learn most for the joules.

An epoch of a device is worth its examples; with the option ``diminishing`` p, the e-th epoch of a round examples ÷ e^p,
as later ones may teach less (table 2a of Mathur et al., "On-device Federated Learning with Flower", 2021: E = 1, 5, 10
give 0.48, 0.64, 0.67 of accuracy for 1, 5 and 10 times the joules). Values never rise and add up, so epochs are bought
greedily, the most value per joule first, until no further one fits the budget: the usual greedy rule for a concave
knapsack (Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, chapter 2). Who was passed over gains in value
with every round that it waits, so that devices that need many joules come too, only less often.

What an epoch takes is learnt from the rounds before, or known from a calibration. A device of which nothing is known is
tried for one epoch.
"""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from device_profiles import ProfileError, load_profile
from edge_client.records import BATTERY_WH
from python_server.errors import ExperimentError
from python_server.groups import GroupSettings
from python_server.planner.calibrations import Calibrations
from python_server.run_rows import DeviceRoundRow
from python_server.strategies.base import Device, Plan, StrategyState, TrainSettings
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting
from python_server.variants import Variant

__all__ = ["EnergyAware", "EnergyAwareOptions", "Offer", "allocate"]

_NEWEST = 0.5
"""Weight of a round's figures beside those of all rounds before it."""
_FORGETTING = 0.9
"""Times of a device that is not asked shrink by a tenth a round, so that it is tried again; joules do not, as a budget
is not to be tried."""


@dataclass(frozen=True)
class EnergyAwareOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and the budgets; ``[train] epochs`` is the most that a device does.

    Attributes
    ----------
    joules
        Of all devices' training in a round; 0: any.
    device_joules
        Of each device's training in a round; 0: any.
    battery_percent
        Of each device's battery, that training in a round may take of its capacity; 0: any.
    deadline_s
        Seconds that a device may take for a round; 0: any.
    energy
        ``gross``, or ``above idle``: what counts.
    diminishing
        Exponent p by which later epochs of a round are worth less; 0: all the same.
    calibration
        File that ``pocketfleet fleet calibrate`` wrote, for the first rounds.
    """

    joules: float = setting(0.0, least=0)
    device_joules: float = setting(0.0, least=0)
    battery_percent: float = setting(0.0, least=0, most=100)
    deadline_s: float = setting(0.0, least=0)
    energy: str = setting("gross", among=("gross", "above idle"))
    diminishing: float = setting(0.0, least=0, most=10)
    calibration: Optional[Path] = setting(None)


@dataclass(frozen=True)
class Offer:
    """What a device could do in a round.

    Attributes
    ----------
    value
        Of its first epoch.
    epoch_j
        Joules of an epoch; None: not known.
    most_epochs
        That its own budgets and the deadline allow; 0: none.
    words
        What an epoch takes and where that is known from, or why it can do none.
    """

    value: float
    epoch_j: Optional[float]
    most_epochs: int
    words: str


class EnergyAware(FedAvg):
    """FedAvg among devices, and for epochs, that a budget of energy allows."""

    name = "energy_aware"
    options: EnergyAwareOptions

    def __init__(self, options: EnergyAwareOptions, train: TrainSettings) -> None:
        super().__init__(options, train)
        self._calibrations: Optional[Calibrations] = None
        self._variant: Optional[Variant] = None

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> EnergyAware:
        """Return the strategy for these bundles, with what the calibration says.

        Raises
        ------
        ExperimentError
            There is no budget, epochs are not what is counted in, or the calibration is not there.
        """
        options = self.options
        if not (options.joules or options.device_joules or options.battery_percent or options.deadline_s):
            raise ExperimentError(
                "strategy 'energy_aware' needs a budget: joules, device_joules, battery_percent or deadline_s"
            )
        if self.train.steps:
            raise ExperimentError("train.steps is given, but strategy 'energy_aware' chooses epochs; leave it out")
        bound = super().bind(variants, groups)
        assert isinstance(bound, EnergyAware)
        bound._variant = variants.get("")
        if options.calibration is not None:
            if not options.calibration.exists():
                raise ExperimentError(f"strategy.calibration: there is no {options.calibration}")
            bound._calibrations = Calibrations(options.calibration)
        return bound

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose devices and their epochs, and give each the plan with the reason."""
        offered = self.choose(state, number, devices, random)
        offers = self._offers(state, number, offered)
        chosen = allocate(offers, self.options.joules, self.options.diminishing)
        plans = {}
        for device in offered:
            epochs = chosen.get(device.device, 0)
            if epochs:
                plan = self.plan(number, device, self.choice(device, random), random)
                words = f"{epochs} of {plan.epochs} epochs: {offers[device.device].words}"
                reason = f"{plan.reason}; {words}" if plan.reason else words
                plans[device.device] = replace(plan, epochs=min(epochs, plan.epochs), reason=reason)
        return plans

    def passed_over(
        self, state: StrategyState, number: int, devices: Sequence[Device], plans: Mapping[str, Plan]
    ) -> dict[str, str]:
        """Return why devices that could take part have no plan, by device id; none who was not drawn at all."""
        left = [device for device in devices if device.device not in plans]
        reasons = {}
        for device in left:
            offer = self._offers(state, number, [device])[device.device]
            if not offer.most_epochs:
                reasons[device.device] = offer.words
            elif self.options.joules and self.options.fraction == 1:
                words = f"the round's {self.options.joules:g} J went to others"
                reasons[device.device] = f"{words}, who do more for a joule; {offer.words}"
        return reasons

    def observe(self, state: StrategyState, number: int, rows: Sequence[DeviceRoundRow]) -> StrategyState:
        """Remember what an epoch took on each device, and who took part."""
        costs: dict[str, dict[str, float]] = {
            device: {key: value * (_FORGETTING if key.endswith("_s") else 1.0) for key, value in each.items()}
            for device, each in state.values.get("costs", {}).items()
        }
        before, last = state.values.get("costs", {}), dict(state.values.get("last", {}))
        for row in sorted(rows, key=lambda row: row.device):
            last[row.device] = number
            epochs = int(row.plan.get("epochs", 0)) or 1
            known = dict(before.get(row.device, {}))
            if row.outcome == "late" and self.options.deadline_s:
                known["epoch_s"] = max(known.get("epoch_s", 0.0), 1.01 * self.options.deadline_s / epochs)
            for key, value in self._seen(row, epochs).items():
                known[key] = value if key not in known else _NEWEST * value + (1 - _NEWEST) * known[key]
            if known:
                costs[row.device] = known
        return StrategyState({**state.values, "costs": costs, "last": last}, state.arrays)

    def _seen(self, row: DeviceRoundRow, epochs: int) -> dict[str, float]:
        """Return seconds and joules of an epoch, and seconds beside training, as far as a row tells them."""
        if not row.steps or not row.planned_steps or row.train_s is None:
            return {}
        scale = row.planned_steps / row.steps / epochs
        seen = {"epoch_s": row.train_s * scale}
        if row.read_after_s is not None:
            seen["beside_s"] = max(0.0, row.read_after_s - (row.sent_after_s or 0.0) - row.train_s)
        if row.energy_j is not None:
            idle_j = (row.energy_idle_j or 0.0) if self.options.energy == "above idle" else 0.0
            seen["epoch_j"] = max(0.0, row.energy_j - idle_j) * scale
        return seen

    def _offers(self, state: StrategyState, number: int, devices: Sequence[Device]) -> dict[str, Offer]:
        last: dict[str, int] = state.values.get("last", {})
        return {
            device.device: self._offer(
                device, self._costs(state, device), waited=max(0, number - 1 - last.get(device.device, 0))
            )
            for device in devices
        }

    def _costs(self, state: StrategyState, device: Device) -> tuple[dict[str, float], str]:
        """Return what an epoch takes on a device, and where that is known from."""
        known: dict[str, float] = dict(state.values.get("costs", {}).get(device.device, {}))
        if known:
            return known, "as in the rounds before"
        found = self._calibrations.of(device.name) if self._calibrations else []
        own = next((each for each in found if self._variant and each.bundle == self._variant.sha256), None)
        if own is None or self._variant is None:
            return {}, ""
        steps = math.ceil(device.examples / self._variant.manifest.batch_size)
        epoch_s = steps * own.step_ms.get(self.train.cut, own.step_ms[""]) / 1000
        known = {"epoch_s": epoch_s, "beside_s": own.prepare_s}
        busy = [each for each in own.power if each["threads"] and not each.get("excluded")]
        if busy:
            gross_w = busy[0]["energy_j"] / busy[0]["wall_s"]
            idle_w = (busy[0]["idle_j"] or 0.0) / busy[0]["wall_s"] if self.options.energy == "above idle" else 0.0
            known["epoch_j"] = max(0.0, gross_w - idle_w) * epoch_s
        return known, f"as calibrated {own.when}"

    def _offer(self, device: Device, costs: tuple[dict[str, float], str], *, waited: int) -> Offer:
        known, whence = costs
        value = max(1, device.examples) * (1 + waited)
        if not known:
            return Offer(value, None, 1, "nothing is known of it yet, so it is tried")
        most, epoch_s, epoch_j = self.train.epochs, known.get("epoch_s", 0.0), known.get("epoch_j")
        words = f"an epoch takes {epoch_s:.3g} s" + ("" if epoch_j is None else f" and {epoch_j:.3g} J") + f", {whence}"
        options, limits = self.options, []
        if epoch_j is None and (options.joules or options.device_joules):
            most, words = 1, f"{words}; it tells no joules, so one epoch at the others' usual price"
        if options.deadline_s and epoch_s:
            limits.append(((options.deadline_s - known.get("beside_s", 0.0)) / epoch_s, f"{options.deadline_s:g} s"))
        if epoch_j:
            limits += [(share_j / epoch_j, what) for share_j, what in self._device_budgets(device)]
        for epochs, what in limits:
            if epochs < 1:
                return Offer(value, epoch_j, 0, f"not one epoch keeps within {what}: {words}")
            most = min(most, int(epochs))
        return Offer(value, epoch_j, most, words)

    def _device_budgets(self, device: Device) -> list[tuple[float, str]]:
        """Return joules that a device may use in a round, with what they are in words."""
        options, budgets = self.options, []
        if options.device_joules:
            budgets.append((options.device_joules, f"its {options.device_joules:g} J"))
        capacity_wh = _capacity_wh(device.facts)
        if options.battery_percent and capacity_wh:
            share_j = 36 * options.battery_percent * capacity_wh
            budgets.append((share_j, f"{options.battery_percent:g} % of its battery ({share_j:.3g} J)"))
        return budgets


def allocate(offers: Mapping[str, Offer], joules: float, diminishing: float = 0.0) -> dict[str, int]:
    """Buy epochs for joules, the most value per joule first.

    Parameters
    ----------
    offers
        By device.
    joules
        The budget; 0: any.
    diminishing
        The e-th epoch is worth the first one's value ÷ e to this power.

    Returns
    -------
    dict
        Epochs of each device that gets some. Of a device whose joules are not known one epoch is bought, at the median
        price of the others.
    """
    able = {device: offer for device, offer in offers.items() if offer.most_epochs}
    if not joules:
        return {device: offer.most_epochs for device, offer in able.items()}
    usual_j = statistics.median([offer.epoch_j for offer in able.values() if offer.epoch_j is not None] or [0.0])
    bought: dict[str, int] = {}
    left = joules
    heap = [(-_density(offer, usual_j), device) for device, offer in able.items()]
    heapq.heapify(heap)
    while heap:
        _, device = heapq.heappop(heap)
        offer = able[device]
        price = usual_j if offer.epoch_j is None else offer.epoch_j
        if price > left * (1 + 1e-9):
            continue  # a cheaper device's epoch may still fit
        left -= price
        bought[device] = epochs = bought.get(device, 0) + 1
        if epochs < offer.most_epochs:
            share = (epochs + 1) ** -diminishing
            heapq.heappush(heap, (-_density(offer, usual_j) * share, device))
    return bought


def _density(offer: Offer, usual_j: float) -> float:
    """Return the value of a device's first epoch per joule."""
    price = usual_j if offer.epoch_j is None else offer.epoch_j
    return offer.value / price if price else math.inf


def _capacity_wh(facts: Mapping[str, Any]) -> float:
    """Return the capacity of a device's battery in watt-hours; 0: it has none, or it is not known."""
    told = facts.get(BATTERY_WH)
    if isinstance(told, (int, float)) and not isinstance(told, bool) and 0 < told < math.inf:
        return float(told)
    try:
        return load_profile(str(facts.get("profile", "generic"))).battery_wh or 0.0
    except ProfileError:
        return 0.0
