"""What a training step costs, and the largest part of a network that a device can afford. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from model_export.errors import DoesNotFitError

__all__ = ["Costs", "Measured", "Measurement", "StepSize", "largest_that_fits"]

MB = 10**6


@dataclass(frozen=True)
class StepSize:
    """What a training signature works on, counted from the layers.

    Attributes
    ----------
    trained_parameters
        Elements of the variables that the optimizer updates.
    activation_bytes
        Outputs of the layers from the first trained one on, and the tensors that enter them, for one batch: what a
        backward pass that frees nothing early would keep.
    """

    trained_parameters: int
    activation_bytes: int


@dataclass(frozen=True)
class Measured:
    """What one step of a training signature took.

    Attributes
    ----------
    memory_bytes
        Highest resident memory of a process that loads the model and takes steps, less what the process held before
        it loaded the model: model, variables and the runtime's buffers.
    step_ms
        Median time of a step in milliseconds.
    """

    memory_bytes: int
    step_ms: float


@dataclass(frozen=True)
class Measurement:
    """Measurements of all training signatures, and where they were made.

    Attributes
    ----------
    runtime
        Name and version of the TensorFlow Lite runtime.
    threads
        Its number of threads.
    machine
        Processor of the machine that exported.
    loaded_bytes
        Memory of the loaded model before any step. It is part of each step's ``memory_bytes``, whatever is trained.
    signatures
        Figures by the name of the signature.
    """

    runtime: str
    threads: int
    machine: str
    loaded_bytes: int
    signatures: Mapping[str, Measured]


@dataclass(frozen=True)
class Costs:
    """Costs of each training signature; ``measured`` is None if the export did not measure."""

    signatures: Mapping[str, StepSize]
    measured: Optional[Measurement]


def largest_that_fits(
    costs: Costs,
    choices: Sequence[tuple[Optional[str], str]],
    *,
    memory_mb: Optional[float],
    step_ms: Optional[float],
    times_slower: float,
) -> Optional[str]:
    """Choose how much of a network to train; `model_export.manifest.Manifest.cut_for` explains the rest.

    Parameters
    ----------
    costs
        Costs of the signatures.
    choices
        Cut (None: all that the bundle trains) and signature of each choice, the largest part first.
    memory_mb, step_ms, times_slower
        See `model_export.manifest.Manifest.cut_for`.

    Raises
    ------
    DoesNotFitError
        The bundle was not measured, or nothing fits.
    ValueError
        A limit is not above 0.
    """
    limits = {"memory_mb": memory_mb, "step_ms": step_ms, "times_slower": times_slower}
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} is {limit}; it has to be above 0")
    if costs.measured is None:
        raise DoesNotFitError(
            "the bundle does not say what its steps cost: it was exported without measuring; export it again with "
            "measure=True (on the command line: without --no-measure)"
        )
    found = costs.measured.signatures
    for cut, signature in choices:
        step = found[signature]
        enough_memory = memory_mb is None or step.memory_bytes <= memory_mb * MB
        if enough_memory and (step_ms is None or step.step_ms * times_slower <= step_ms):
            return cut
    leanest = min((found[signature].memory_bytes, cut) for cut, signature in _named(choices))
    fastest = min((found[signature].step_ms * times_slower, cut) for cut, signature in _named(choices))
    raise DoesNotFitError(
        f"no part of the network trains within {_limits(memory_mb, step_ms)}: the least memory is "
        f"{leanest[0] / MB:.1f} MB ({leanest[1]}), the least time of a step {fastest[0]:.3g} ms ({fastest[1]}); "
        "export with a cut nearer to the end, a smaller batch, or train='head'"
    )


def _named(choices: Sequence[tuple[Optional[str], str]]) -> list[tuple[str, str]]:
    return [(f"from {cut} on" if cut else "all that the bundle trains", signature) for cut, signature in choices]


def _limits(memory_mb: Optional[float], step_ms: Optional[float]) -> str:
    limits = [f"{memory_mb:g} MB"] if memory_mb is not None else []
    return " and ".join([*limits, *([f"{step_ms:g} ms a step"] if step_ms is not None else [])])
