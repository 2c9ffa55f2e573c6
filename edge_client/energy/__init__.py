"""Where joules come from: a sensor or counter of the device where one can be read, else a labelled model.

A figure without a source does not exist: every `Energy` says how it was obtained, and what was wrong with it.
"""

from __future__ import annotations

from edge_client.energy.figure import COVERS, EXCLUDED, METHODS, Energy
from edge_client.energy.find import AUTO, KINDS, Candidate, find_meter, survey
from edge_client.energy.meter import Baseline, EnergyMeter, SampledMeter
from edge_client.energy.phases import Phases
from edge_client.energy.source import About, Accuracy, PowerSource, ReadingError

__all__ = [
    "AUTO",
    "COVERS",
    "EXCLUDED",
    "KINDS",
    "METHODS",
    "About",
    "Accuracy",
    "Baseline",
    "Candidate",
    "Energy",
    "EnergyMeter",
    "Phases",
    "PowerSource",
    "ReadingError",
    "SampledMeter",
    "find_meter",
    "survey",
]
