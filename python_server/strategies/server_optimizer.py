"""Server optimizers: the mean's difference to the global weights as a pseudo-gradient.

Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar and McMahan, "Adaptive Federated Optimization" (ICLR 2021),
algorithm 2: Δ_t is the mean minus the global weights, m_t = β₁ m_{t-1} + (1 − β₁) Δ_t, v_t by FedAdagrad, FedYogi or
FedAdam, and x_{t+1} = x_t + η m_t / (√v_t + τ). Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data
Distribution for Federated Visual Classification" (2019), section 4.2: FedAvgM, v ← β v + Δ, w ← w + η v.

v starts at τ² (the paper asks for v_{-1} ≥ τ²); there is no bias correction, as in the paper. Any strategy can be used
with any of them. They move trained variables alone: batch-norm statistics are no parameters and take their mean. What
no device trained in a round, a variable or those of its coordinates that only absent devices hold, stays, with its
moments: a momentum over rounds that it was not part of would move it where no data led.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from python_server.parts import Index, places_of
from python_server.strategies.base import Arrays, Contribution, StrategyState
from python_server.toml_tables import setting

__all__ = ["ServerOptimizer", "ServerOptimizerOptions"]


@dataclass(frozen=True)
class ServerOptimizerOptions:
    """Keys of ``[strategy]`` that every strategy has.

    Attributes
    ----------
    server_optimizer
        ``none``: the mean becomes the global weights. ``sgd``: with learning rate η and momentum (FedAvgM). ``adam``,
        ``yogi``, ``adagrad``: FedAdam, FedYogi, FedAdagrad.
    server_learning_rate
        η.
    server_momentum
        β of FedAvgM, β₁ of the others.
    server_beta2
        β₂ of FedAdam and FedYogi.
    server_tau
        τ, the adaptivity.
    """

    server_optimizer: str = setting("none", among=("none", "sgd", "adam", "yogi", "adagrad"))
    server_learning_rate: float = setting(1.0, above=0)
    server_momentum: float = setting(0.9, least=0, most=0.9999)
    server_beta2: float = setting(0.99, least=0, most=0.9999)
    server_tau: float = setting(1e-3, above=0)


class ServerOptimizer:
    """Turns a mean into new global weights.

    Parameters
    ----------
    options
        Which optimizer.
    trained
        The variables that are trained; None: all floating-point variables are taken for trained.
    """

    def __init__(self, options: ServerOptimizerOptions, trained: Optional[Collection[str]] = None) -> None:
        self._options = options
        self._trained = None if trained is None else frozenset(trained)

    def step(
        self, state: StrategyState, before: Arrays, mean: dict[str, np.ndarray], used: Sequence[Contribution] = ()
    ) -> tuple[StrategyState, dict[str, np.ndarray]]:
        """Return the new state and weights.

        Parameters
        ----------
        state
            Its arrays hold the moments: ``server-m/<path>`` and ``server-v/<path>``, float32 like the weights.
        before, mean
            The global weights, and the mean of the updates.
        used
            The updates: which coordinates they reached. Empty: all of every variable that changed.
        """
        if self._options.server_optimizer == "none":
            return state, mean
        arrays, weights, unreached = dict(state.arrays), {}, _unreached(before, used)
        for path, value in mean.items():
            moves = value.dtype.kind == "f" and (self._trained is None or path in self._trained)
            if not moves or np.array_equal(value, before[path]):
                weights[path] = value
                continue
            step = self._move(arrays, path, value - before[path], unreached.get(path))
            weights[path] = (before[path] + step).astype(value.dtype)
        return StrategyState(state.values, arrays), weights

    def _move(
        self, arrays: dict[str, np.ndarray], path: str, delta: np.ndarray, rest: Optional[np.ndarray]
    ) -> np.ndarray:
        """Bring a variable's moments up to date in ``arrays`` and return what to add to it; ``rest`` is left alone."""
        options = self._options
        rate, beta = delta.dtype.type(options.server_learning_rate), delta.dtype.type(options.server_momentum)
        m_key, v_key = f"server-m/{path}", f"server-v/{path}"
        m = arrays.get(m_key, np.zeros_like(delta))
        if options.server_optimizer == "sgd":
            arrays[m_key] = _but(rest, beta * m + delta, m)
            return _but(rest, rate * arrays[m_key], np.zeros_like(delta))
        beta2, tau = delta.dtype.type(options.server_beta2), delta.dtype.type(options.server_tau)
        v = arrays.get(v_key, np.full_like(delta, tau * tau))
        square = delta * delta
        arrays[m_key] = _but(rest, beta * m + (1 - beta) * delta, m)
        if options.server_optimizer == "adam":
            moved = beta2 * v + (1 - beta2) * square
        elif options.server_optimizer == "yogi":
            moved = v - (1 - beta2) * square * np.sign(v - square)
        else:
            moved = v + square
        arrays[v_key] = _but(rest, moved, v)
        return _but(rest, rate * arrays[m_key] / (np.sqrt(arrays[v_key]) + tau), np.zeros_like(delta))


def _but(rest: Optional[np.ndarray], values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return values, but others where ``rest`` says."""
    return np.asarray(values) if rest is None else np.where(rest, others, values)


def _unreached(before: Arrays, used: Sequence[Contribution]) -> dict[str, np.ndarray]:
    """Return the coordinates that no update reached, bool, of variables that are in none of them as a whole."""
    kinds = {(part.submodel, frozenset(part.variables)) for part in used}
    reached: dict[str, list[Optional[Index]]] = {}
    for submodel, variables in kinds:
        for path, index in submodel.reach(variables).items():
            reached.setdefault(path, []).append(index)
    found = {}
    for path, indices in reached.items():
        if any(index is None for index in indices):
            continue
        found[path] = np.ones(before[path].shape, bool)
        for index in indices:
            assert index is not None
            found[path][places_of(index, before[path].shape)] = False
    return found
