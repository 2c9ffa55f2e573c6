"""Strategies, one a file: who trains what in a round, what each update weighs, what becomes of the mean."""

from __future__ import annotations

from typing import Any, Callable

from python_server.strategies.base import Contribution, Device, Plan, Strategy, StrategyState, TrainSettings
from python_server.strategies.dac import Dac, DacOptions
from python_server.strategies.drop_weak import DropWeak
from python_server.strategies.energy_aware import EnergyAware, EnergyAwareOptions
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.strategies.fedcs import FedCS, FedCSOptions
from python_server.strategies.fedlama import FedLama, FedLamaOptions
from python_server.strategies.fedprox import FedProx, FedProxOptions
from python_server.strategies.fjord import Fjord
from python_server.strategies.heterofl import HeteroFL, HeteroFLOptions
from python_server.strategies.mixed_compression import MixedCompression, MixedCompressionOptions
from python_server.strategies.partial_training import PartialTraining
from python_server.strategies.processor_cutoff import ProcessorCutoff, ProcessorCutoffOptions
from python_server.strategies.smallest import Smallest

__all__ = [
    "OPTIONS",
    "STRATEGIES",
    "Contribution",
    "Dac",
    "DacOptions",
    "Device",
    "DropWeak",
    "EnergyAware",
    "EnergyAwareOptions",
    "FedAvg",
    "FedAvgOptions",
    "FedCS",
    "FedCSOptions",
    "FedLama",
    "FedLamaOptions",
    "FedProx",
    "FedProxOptions",
    "Fjord",
    "HeteroFL",
    "HeteroFLOptions",
    "MixedCompression",
    "MixedCompressionOptions",
    "PartialTraining",
    "Plan",
    "ProcessorCutoff",
    "ProcessorCutoffOptions",
    "Smallest",
    "Strategy",
    "StrategyState",
    "TrainSettings",
]

STRATEGIES: dict[str, Callable[[Any, TrainSettings], Strategy]] = {
    "dac": Dac,
    "drop_weak": DropWeak,
    "energy_aware": EnergyAware,
    "fedavg": FedAvg,
    "fedcs": FedCS,
    "fedlama": FedLama,
    "fedprox": FedProx,
    "fjord": Fjord,
    "heterofl": HeteroFL,
    "mixed_compression": MixedCompression,
    "partial_training": PartialTraining,
    "processor_cutoff": ProcessorCutoff,
    "smallest": Smallest,
}
"""What ``[strategy] name`` may be."""

OPTIONS: dict[str, type] = {
    **dict.fromkeys(STRATEGIES, FedAvgOptions),
    "dac": DacOptions,
    "energy_aware": EnergyAwareOptions,
    "fedcs": FedCSOptions,
    "fedlama": FedLamaOptions,
    "fedprox": FedProxOptions,
    **dict.fromkeys(("heterofl", "fjord"), HeteroFLOptions),
    "mixed_compression": MixedCompressionOptions,
    "processor_cutoff": ProcessorCutoffOptions,
}
"""The other keys of ``[strategy]``, by its name."""
