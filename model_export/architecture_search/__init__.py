"""Architectures for devices' budgets, by differentiable architecture compression (DAC).

Runs on every backend of Keras, and where TensorFlow is not installed.
"""

from __future__ import annotations

from model_export.without_tensorflow import tensorflow_optional

with tensorflow_optional():
    from model_export.architecture_search.budget import Budget, groups_of_equal_budget
    from model_export.architecture_search.dac import Reach, reach, search
    from model_export.architecture_search.found import Found, path_of, read_channels
    from model_export.architecture_search.options import SearchOptions

__all__ = [
    "Budget",
    "Found",
    "Reach",
    "SearchOptions",
    "groups_of_equal_budget",
    "path_of",
    "reach",
    "read_channels",
    "search",
]
