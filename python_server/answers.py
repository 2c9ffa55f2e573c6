"""Turn a device's answer into a row of the store, trusting none of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from edge_client.records import (
    DOWNLOAD_BYTES,
    DOWNLOAD_S,
    ENERGY_METHOD,
    ENERGY_SOURCE,
    PREVIOUS_UPLOAD_BYTES,
    PREVIOUS_UPLOAD_ROUND,
    PREVIOUS_UPLOAD_S,
)
from python_server.errors import UpdateError
from python_server.reported_energy import energy_rows, number_in, upload_energy_row, words_in
from python_server.run_rows import ACCURACY_OF, ENERGY, DeviceRoundRow, MeasurementRow
from python_server.store import Upload
from python_server.strategies.base import Contribution, Device, Plan
from python_server.tasks import Answer

__all__ = [
    "Figures",
    "add_evaluation",
    "architecture_accuracies",
    "contribution",
    "reported_upload",
    "train_row",
]

_MOST_EXAMPLES = 2**29
"""Larger counts would not be summed exactly, and no device holds so many."""


@dataclass(frozen=True)
class Figures:
    """The numbers of an answer; what is missing, negative, not finite or no number is None."""

    values: Mapping[str, Any]

    def number(self, key: str) -> Optional[float]:
        """Return a figure as a float."""
        return number_in(self.values, key)

    def whole(self, key: str) -> Optional[int]:
        """Return a figure as a whole number."""
        value = self.number(key)
        return None if value is None or value > 2**62 else int(value)


def contribution(device: Device, plan: Plan, answer: Answer) -> Contribution:
    """Return what an answer says about the work behind it.

    Raises
    ------
    UpdateError
        A count is missing or cannot be true.
    """
    figures = Figures(answer.metrics)
    counts = {}
    for key in ("num-examples", "examples-processed", "steps", "planned-steps"):
        value = figures.whole(key)
        if value is None:
            value = _stock_default(key, figures, plan)
        counts[key] = value
    examples, processed = counts["num-examples"], counts["examples-processed"]
    if not 1 <= examples <= _MOST_EXAMPLES:
        raise UpdateError(f"it says that it holds {examples} examples")
    if processed > examples * (plan.steps or plan.epochs):
        length = f"{plan.steps} steps" if plan.steps else f"{plan.epochs} epochs"
        raise UpdateError(f"it says that {processed} examples were processed, of {examples} in {length}")
    return Contribution(device, examples, processed, counts["steps"], counts["planned-steps"], plan.submodel)


def train_row(number: int, device: Device, plan: Plan, answer: Answer) -> DeviceRoundRow:
    """Return the row of a train answer before it is known whether it can be used."""
    figures, info = Figures(answer.metrics), answer.info
    energies = energy_rows(number, device.device, answer, "train")
    energy = next((each for each in energies if each.quantity == ENERGY and each.info["phase"] == "train"), None)
    return DeviceRoundRow(
        round=number,
        device=device.device,
        name=device.name,
        outcome="late" if answer.late else "error",
        reason=_one_line(answer.problem),
        plan=plan.to_row(),
        num_examples=figures.whole("num-examples"),
        examples_processed=figures.whole("examples-processed"),
        steps=figures.whole("steps"),
        planned_steps=figures.whole("planned-steps"),
        train_loss=figures.number("train-loss"),
        download_s=figures.number(DOWNLOAD_S),
        prepare_s=figures.number("prepare-s"),
        train_s=figures.number("train-s"),
        sent_after_s=answer.sent_after_s,
        replied_after_s=answer.replied_after_s,
        read_after_s=answer.read_after_s,
        download_bytes=figures.whole(DOWNLOAD_BYTES),
        upload_bytes=answer.bytes or None,
        energy_j=energy.value if energy else None,
        energy_idle_j=energy.info["idle_j"] if energy else None,
        energy_source=words_in(info, ENERGY_SOURCE),
        energy_method=words_in(info, ENERGY_METHOD),
        cpu_s=figures.number("cpu-s"),
        peak_memory_bytes=figures.whole("peak-memory-bytes"),
        info={key: value for key, value in info.items() if isinstance(value, (str, int, float, bool))},
    )


def add_evaluation(row: DeviceRoundRow, answer: Answer) -> DeviceRoundRow:
    """Return the row with what the device found on its own test data."""
    figures = Figures(answer.metrics)
    return replace(
        row,
        eval_loss=figures.number("eval-loss"),
        eval_accuracy=figures.number("eval-accuracy"),
        eval_examples=figures.whole("num-examples"),
        evaluate_s=figures.number("evaluate-s"),
    )


def architecture_accuracies(number: int, evaluations: Mapping[str, tuple[float, float, int]]) -> list[MeasurementRow]:
    """Return the accuracy of each architecture after round ``number``, where a run has models of several.

    Parameters
    ----------
    number
        The round.
    evaluations
        Loss, accuracy and examples by the architecture's name, which is empty for the whole model.
    """
    if not any(evaluations):
        return []
    return [
        MeasurementRow(number, "", f"{ACCURACY_OF}{name or 'the whole model'}", accuracy, "", "test data", "measured")
        for name, (_, accuracy, _) in evaluations.items()
    ]


def reported_upload(device: str, answer: Answer) -> Optional[Upload]:
    """Return what an answer says about the upload before it."""
    figures = Figures(answer.metrics)
    number, seconds = figures.whole(PREVIOUS_UPLOAD_ROUND), figures.number(PREVIOUS_UPLOAD_S)
    if not number or seconds is None:
        return None
    energy = upload_energy_row(number, device, answer)
    return Upload(number, device, seconds, figures.whole(PREVIOUS_UPLOAD_BYTES), (energy,) if energy else ())


def _stock_default(key: str, figures: Figures, plan: Plan) -> int:
    """Fill in for clients of other makers, which report the number of their examples at most."""
    examples = figures.whole("num-examples")
    if examples is None:
        raise UpdateError("it does not say how many examples it holds (num-examples)")
    return examples * plan.epochs if key == "examples-processed" else 1


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
