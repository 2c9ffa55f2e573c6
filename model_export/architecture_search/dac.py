"""Differentiable architecture compression: algorithm 1 of Li and Sanyal, "Heterogeneous Federated Learning with
Differentiable Architecture Compression".

A network is trained on reference data with a weight for each channel that enters a depthwise convolution. The loss
drives these weights apart (equations 1 to 3); channels whose weight ends at 0.1 or below are removed, and the smaller
network is trained on, until its costs are below every budget.

What the paper leaves open, and what is done here:

* Weights begin at 1 and are trained with the network's, by Adam, at a rate of their own (`ChannelWeights`).
* "Train Net on D" is a fixed number of epochs. After a pass that removed channels, the weights of those that stay begin
  at 1 again: weights that ended at 1 are held there by both losses, and no more would ever fall.
* The paper removes all channels at or below the threshold at once. Here each budget gets the architecture with just
  enough of them removed, smallest weights first, so that one search serves many budgets, from the top down.
* The last channel of a layer stays. A pass after which no weight is at the threshold removes none, and the next pass
  goes on with its weights; a limit on passes ends a search that does not get there.
* Batch norm behind a depthwise convolution makes a channel independent of the scale of its input, so cross entropy says
  little about a positive weight: which channels fall is decided early, by little. ``docs/papers.md`` has the figures.
"""  # noqa: D205

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np

from model_export.architecture_search.budget import Budget
from model_export.architecture_search.found import Found, read_found, write_found
from model_export.architecture_search.options import SearchOptions
from model_export.architecture_search.search_network import candidates, fold, slot_weights, weighted, weights_before
from model_export.architecture_search.state import State, fingerprint, load, save
from model_export.compression.channels import ChannelMap, channel_map
from model_export.errors import DoesNotFitError, ExportError
from model_export.network import Network, read_network
from model_export.size import Size, size_of, size_without
from model_export.width import cut

__all__ = ["Reach", "reach", "search"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Reach:
    """Costs of the whole model, and of the smallest that a search could come to: one channel of each group."""

    whole: Size
    least: Size


def reach(model: Any) -> Reach:
    """Count what a search on ``model`` begins with, and what it could end with.

    Raises
    ------
    ExportError
        The model has no depthwise convolution whose channels could be removed.
    """
    network = read_network(model)
    channels = channel_map(network)
    slots = {slot: 0.0 for axis in candidates(network, channels).values() for slot in axis.tolist()}
    return Reach(size_of(network), size_without(network, channels, frozenset(_removable(channels, slots, frozenset()))))


def search(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    budgets: Sequence[Budget],
    *,
    options: SearchOptions = SearchOptions(),  # noqa: B008 (immutable)
    folder: Optional[Path] = None,
    progress: Progress = lambda line: None,
) -> list[Found]:
    """Find an architecture for each budget.

    Parameters
    ----------
    model
        A Keras model with depthwise convolutions, of layers that can be exported; it is not changed. The search begins
        with its weights.
    x
        Reference data: ``[n, …]`` float32, as the model takes them.
    y
        ``[n]``: labels.
    budgets
        What the devices have.
    options
        Of the training.
    folder
        Where the search keeps its state after every epoch, to go on when it is called again, and what it found;
        None: nowhere.
    progress
        Called with a line after every epoch and pass.

    Returns
    -------
    list of Found
        In the order of ``budgets``.

    Raises
    ------
    DoesNotFitError
        A budget is below what the search can come to, or it did not get there within the passes.
    ExportError
        The model has nothing to remove, the data do not fit it, training diverges, or ``folder`` holds the state of
        another search, or of one that has passed a budget which it was not given before.
    """
    bounds = reach(model)
    for budget in budgets:
        if not budget.allows(bounds.least):
            raise DoesNotFitError(
                f"no architecture stays below {budget}: the smallest that the search could come to has {bounds.least}; "
                "raise the budget, or begin with a narrower model"
            )
    run = _Search(model, options)
    _check_data(run.network, x, y)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    book = _Book(folder, fingerprint(options, run.network, x, y))
    run.state = book.resume(run.state)
    met = [budget for budget in budgets if not book.holds(budget) and budget.allows(run.size())]
    if met and run.state.removed:
        raise ExportError(
            f"the search in {folder} stands at {run.size()}, and no longer has the larger architecture that {met[0]} "
            "affords; choose another folder for this budget"
        )
    for budget in met:
        book.note(run.found(budget, frozenset()))
    while missing := [budget for budget in budgets if not book.holds(budget)]:
        if run.state.passes == options.most_passes:
            raise DoesNotFitError(
                f"after {options.most_passes} passes no architecture stays below {missing[0]}; the search stands at "
                f"{run.size()}. Allow more passes or epochs, or a higher threshold"
            )
        run.train(x, y, book.keep, progress)
        falling = run.falling()
        for budget in missing:
            enough = run.enough(budget, falling)
            if enough is not None:
                book.note(run.found(budget, frozenset(falling[:enough])))
        run.end_pass(falling)
        book.keep(run.state)
        progress(f"pass {run.state.passes}: {len(falling)} channels removed; {run.size()} left")
    return [book.found[budget] for budget in budgets]


class _Book:
    """What was found, and where the search stands; in a folder if there is one."""

    def __init__(self, folder: Optional[Path], mark: str) -> None:
        self.found: dict[Budget, Found] = {}
        self._folder, self._mark = folder, mark

    def resume(self, start: State) -> State:
        """Return where the search stood, or ``start``."""
        state = None if self._folder is None else load(self._folder, self._mark)
        if state is None:
            self.keep(start)  # what is found in the folder from now on is this search's
        return state or start

    def keep(self, state: State) -> None:
        """Keep where the search stands."""
        if self._folder is not None:
            save(self._folder, state, self._mark)

    def holds(self, budget: Budget) -> bool:
        """Tell whether an architecture for the budget was found, now or before."""
        known = None if budget in self.found or self._folder is None else read_found(self._folder, budget, self._mark)
        if known is not None:
            self.found[budget] = known
        return budget in self.found

    def note(self, found: Found) -> None:
        """Keep an architecture."""
        self.found[found.budget] = found
        if self._folder is not None:
            write_found(self._folder, found, self._mark)


class _Search:
    """The whole model, flat, to whose variables each pass returns what it trained."""

    def __init__(self, model: Any, options: SearchOptions) -> None:
        self.options = options
        network = read_network(model)
        copied = cut(model, network, channel_map(network), frozenset()).model
        self._whole = weighted(read_network(copied), ())
        self.network: Network = read_network(self._whole)
        self._channels: ChannelMap = channel_map(self.network)
        self._slots = candidates(self.network, self._channels)
        self._variables = {path: v for node in self.network.nodes for path, v in node.variables.items()}
        self._kernels = {
            node.name: f"{node.layer.name}/kernel" for node in self.network.nodes if node.name in self._slots
        }
        self.state = State(
            variables={path: variable.numpy() for path, variable in self._variables.items()},
            scaled={name: np.full(len(axis), 1 / options.rate, np.float32) for name, axis in self._slots.items()},
        )

    def size(self) -> Size:
        """Count what the network costs that is left."""
        return size_without(self.network, self._channels, self.state.removed)

    def train(
        self, x: np.ndarray, y: np.ndarray, keep: Callable[[State], None], progress: Callable[[str], None]
    ) -> None:
        """Train what is left for a pass, or for the rest of one, calling ``keep`` after each epoch."""
        state, options = self.state, self.options
        piece = self._cut(frozenset())
        network = read_network(piece.model)
        kept = {name: piece.parts[kernel][2] for name, kernel in self._kernels.items()}
        model = weighted(
            network,
            self._slots,
            entropy_factor=options.entropy_factor,
            bound_factor=options.bound_factor,
            rate=options.rate,
        )
        for name, indices in kept.items():
            weights_before(model, name).scaled.assign(state.scaled[name][indices])
        _compile(model, network, options)
        for variable, value in zip(model.optimizer.variables, state.optimizer):
            variable.assign(value)
        for epoch in range(state.epoch, options.epochs):
            order = np.random.default_rng([options.seed, state.passes, epoch]).permutation(len(x))
            order = order[: max(len(order) // options.batch_size, 1) * options.batch_size]
            figures = model.fit(x[order], y[order], batch_size=options.batch_size, shuffle=False, verbose=0).history
            if not math.isfinite(figures["loss"][0]):
                raise ExportError(
                    f"the loss is {figures['loss'][0]} in pass {state.passes + 1}, epoch {epoch + 1}; lower the "
                    "learning rate, or the rate of the channel weights"
                )
            for node in network.nodes:
                for path, variable in node.variables.items():
                    state.variables[path][np.ix_(*piece.parts[path])] = variable.numpy()
            for name, indices in kept.items():
                state.scaled[name][indices] = weights_before(model, name).scaled.numpy()
            state.epoch = epoch + 1
            state.optimizer = [np.asarray(variable.numpy()) for variable in model.optimizer.variables]
            keep(state)
            progress(
                f"pass {state.passes + 1}, epoch {epoch + 1} of {options.epochs}: "
                f"loss {figures['loss'][0]:.3f}, accuracy {figures['accuracy'][0]:.3f}"
            )

    def falling(self) -> list[int]:
        """Return the slots whose weights are at or below the threshold, the smallest first, but for last ones."""
        weights = slot_weights(self._slots, self._weights())
        low = {slot: weight for slot, weight in weights.items() if weight <= self.options.threshold}
        return _removable(self._channels, low, self.state.removed)

    def enough(self, budget: Budget, falling: Sequence[int]) -> Optional[int]:
        """Return how many of ``falling`` have to go for the budget; None if all of them are not enough."""

        def allowed(count: int) -> bool:
            removed = self.state.removed.union(falling[:count])
            return budget.allows(size_without(self.network, self._channels, removed))

        if not allowed(len(falling)):
            return None
        low, high = 0, len(falling)
        while low < high:  # costs only fall as more is removed
            middle = (low + high) // 2
            low, high = (low, middle) if allowed(middle) else (middle + 1, high)
        return low

    def end_pass(self, falling: Sequence[int]) -> None:
        """Remove slots, and begin the next pass."""
        state = self.state
        state.removed = state.removed.union(falling)
        state.passes, state.epoch, state.optimizer = state.passes + 1, 0, []
        if falling:
            for scaled in state.scaled.values():
                scaled[:] = 1 / self.options.rate

    def found(self, budget: Budget, more: frozenset[int]) -> Found:
        """Return the architecture without what is gone and ``more``."""
        piece = self._cut(more)
        fold(piece, self._kernels, self._weights())
        removed = np.array(sorted(self.state.removed | more), np.int64)
        channels: dict[str, list[int]] = {}
        for group in self._channels.groups:
            if set(group.slots) & set(removed.tolist()):
                axis = next(axis for axis in self._channels.outputs[group.layers[0]] if axis is not None)
                channels[group.layers[0]] = np.flatnonzero(~np.isin(axis, removed)).tolist()
        size = size_of(read_network(piece.model))
        return Found(budget, size, channels, self.state.passes + 1 if removed.size else 0, piece.model)

    def _weights(self) -> dict[str, np.ndarray]:
        return {name: scaled * np.float32(self.options.rate) for name, scaled in self.state.scaled.items()}

    def _cut(self, more: frozenset[int]) -> Any:
        for path, variable in self._variables.items():
            variable.assign(self.state.variables[path])
        return cut(self._whole, self.network, self._channels, self.state.removed | more)


def _compile(model: Any, network: Network, options: SearchOptions) -> None:
    last = network.nodes[network.index(network.logits)].layer
    ends = last if isinstance(last, keras.layers.Softmax) else getattr(last, "activation", None)
    softmax = ends is last or ends is keras.activations.softmax
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(keras.optimizers.Adam(options.learning_rate), loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)


def _removable(channels: ChannelMap, weights: dict[int, float], removed: frozenset[int]) -> list[int]:
    """Return slots in the order of their weights, but for those that are gone, and the last ones of their groups."""
    order = sorted((slot for slot in weights if slot and slot not in removed), key=lambda slot: (weights[slot], slot))
    found: list[int] = []
    left = {group: len(set(group.slots) - removed) for group in channels.groups}
    group_of = {slot: group for group in channels.groups for slot in group.slots}
    for slot in order:
        group = group_of[slot]
        if left[group] > 1:
            left[group] -= 1
            found.append(slot)
    return found


def _check_data(network: Network, x: np.ndarray, y: np.ndarray) -> None:
    if x.shape[1:] != network.input_shape or not len(x):
        raise ExportError(f"the samples are {list(x.shape)}; the model takes {['n', *network.input_shape]}")
    if x.dtype.kind not in "biuf" or not np.isfinite(x).all():
        raise ExportError("the samples hold values that are infinite or not a number")
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise ExportError(f"the labels are {list(y.shape)} {y.dtype}; they have to be one whole number for each sample")
    if y.min() < 0 or y.max() >= network.classes:
        raise ExportError(f"the labels are {y.min()} to {y.max()}; the model has classes 0 to {network.classes - 1}")
