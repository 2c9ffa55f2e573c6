"""The tensor type, and names for the shapes of backward passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Backward", "Tensor"]

Tensor: TypeAlias = Any
"""A ``tf.Tensor`` with a fully known shape, or a NumPy array where the value is a constant of the graph.

TensorFlow ships no types; the alias keeps signatures readable.
"""

Backward: TypeAlias = Callable[[Tensor], Tensor]
"""Gradient with respect to an op's output → gradient with respect to its input."""
