"""Strategies, one a file: who trains what in a round, what each update weighs, what becomes of the mean."""

from __future__ import annotations

from typing import Any, Callable

from python_server.strategies.base import Contribution, Device, Plan, Strategy, StrategyState, TrainSettings
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.strategies.fedlama import FedLama, FedLamaOptions
from python_server.strategies.processor_cutoff import ProcessorCutoff, ProcessorCutoffOptions

__all__ = [
    "OPTIONS",
    "STRATEGIES",
    "Contribution",
    "Device",
    "FedAvg",
    "FedAvgOptions",
    "FedLama",
    "FedLamaOptions",
    "Plan",
    "ProcessorCutoff",
    "ProcessorCutoffOptions",
    "Strategy",
    "StrategyState",
    "TrainSettings",
]

STRATEGIES: dict[str, Callable[[Any, TrainSettings], Strategy]] = {
    "fedavg": FedAvg,
    "fedlama": FedLama,
    "processor_cutoff": ProcessorCutoff,
}
"""What ``[strategy] name`` may be."""

OPTIONS: dict[str, type] = {
    "fedavg": FedAvgOptions,
    "fedlama": FedLamaOptions,
    "processor_cutoff": ProcessorCutoffOptions,
}
"""The other keys of ``[strategy]``, by its name."""
