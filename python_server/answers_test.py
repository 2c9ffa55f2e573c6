from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from edge_client.records import PREVIOUS_UPLOAD_BYTES, PREVIOUS_UPLOAD_ROUND, PREVIOUS_UPLOAD_S
from python_server.answers import (
    Figures,
    add_evaluation,
    contribution,
    reported_upload,
    train_row,
)
from python_server.errors import UpdateError
from python_server.fetch import Answer
from python_server.store import Upload
from python_server.strategies.base import Device, Plan

DEVICE = Device("sha256:1", "pi", "cpu", 10)
PLAN = Plan(epochs=2, learning_rate=0.1, cutoff_s=5.0)
METRICS = {"num-examples": 10, "examples-processed": 20, "steps": 4, "planned-steps": 4}


def answer(**changes: Any) -> Answer:
    return Answer(1, metrics={**METRICS, **changes})


@pytest.mark.parametrize("value", [None, True, "3", -1, -0.5, math.nan, math.inf, [1]])
def test_figures_that_are_none(value: object) -> None:
    assert Figures({"x": value}).number("x") is None
    assert Figures({"x": value}).whole("x") is None


def test_figures() -> None:
    figures = Figures({"x": 2.5, "huge": 1e300})
    assert (figures.number("x"), figures.whole("x")) == (2.5, 2)
    assert figures.whole("huge") is None
    assert figures.number("missing") is None


def test_contribution() -> None:
    part = contribution(DEVICE, PLAN, answer())
    assert (part.num_examples, part.examples_processed, part.steps, part.planned_steps) == (10, 20, 4, 4)


def test_a_client_of_another_maker_needs_only_its_examples() -> None:
    part = contribution(DEVICE, PLAN, Answer(1, metrics={"num-examples": 10}))
    assert (part.num_examples, part.examples_processed, part.steps, part.planned_steps) == (10, 20, 1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num-examples": 0}, "it holds 0 examples"),
        ({"num-examples": 2**40}, "it holds 1099511627776 examples"),
        ({"num-examples": "ten"}, "num-examples"),
        ({"examples-processed": 21}, "21 examples were processed, of 10 in 2 epochs"),
    ],
)
def test_counts_that_cannot_be_true(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UpdateError, match=message):
        contribution(DEVICE, PLAN, answer(**changes))


def test_row_and_energy() -> None:
    reply = Answer(
        1,
        metrics={**METRICS, "train-s": 1.5, "energy-j": 3.0, "energy-idle-j": -1.0},
        info={"energy-source": "RAPL", "energy-method": "measured", "blob": b"x"},
        bytes=99,
        sent_after_s=0.1,
    )
    row = train_row(3, DEVICE, PLAN, reply)
    assert (row.round, row.device, row.name, row.train_s, row.upload_bytes) == (3, "sha256:1", "pi", 1.5, 99)
    assert (row.energy_j, row.energy_idle_j, row.energy_source) == (3.0, None, "RAPL")
    assert row.plan["cutoff_s"] == 5.0
    assert "blob" not in row.info
    assert train_row(3, DEVICE, PLAN, answer(**{"energy-j": 3.0})).energy_j is None, "a figure needs a source"


def test_problems_become_one_line() -> None:
    late = train_row(1, DEVICE, PLAN, Answer(1, "no answer within 3 s", late=True))
    broken = train_row(1, DEVICE, PLAN, Answer(1, "Error:\n  it\tbroke" + "!" * 1000))
    assert (late.outcome, late.reason) == ("late", "no answer within 3 s")
    assert broken.outcome == "error"
    assert broken.reason.startswith("Error: it broke!")
    assert len(broken.reason) == 500


def test_evaluation_and_upload() -> None:
    row = add_evaluation(
        train_row(1, DEVICE, PLAN, answer()),
        Answer(1, metrics={"num-examples": 4, "eval-loss": 0.25, "eval-accuracy": 0.75, "evaluate-s": 1.0}),
    )
    assert (row.eval_loss, row.eval_accuracy, row.eval_examples, row.evaluate_s) == (0.25, 0.75, 4, 1.0)
    assert row.num_examples == 10
    upload = answer(**{PREVIOUS_UPLOAD_ROUND: 2, PREVIOUS_UPLOAD_S: 0.5, PREVIOUS_UPLOAD_BYTES: 7})
    assert reported_upload("d", upload) == Upload(2, "d", 0.5, 7)
    assert reported_upload("d", answer(**{PREVIOUS_UPLOAD_ROUND: 0, PREVIOUS_UPLOAD_S: 0.5})) is None
    assert reported_upload("d", answer(**{PREVIOUS_UPLOAD_ROUND: 2, PREVIOUS_UPLOAD_S: -1})) is None


def test_an_energy_that_is_excluded_is_in_no_column() -> None:
    info = {"energy-source": "a gauge", "energy-method": "battery", "energy-flags": "excluded: charging"}
    row = train_row(1, DEVICE, PLAN, Answer(1, metrics={**METRICS, "energy-j": 3.0}, info=info))
    assert (row.energy_j, row.energy_source) == (None, "a gauge")


def test_an_upload_tells_its_joules_too() -> None:
    told = answer(**{PREVIOUS_UPLOAD_ROUND: 2, PREVIOUS_UPLOAD_S: 0.5, "previous-upload-energy-j": 1.5})
    upload = reported_upload("d", replace(told, info={"energy-source": "RAPL", "energy-method": "measured"}))
    assert upload is not None
    assert [(row.round, row.value, row.info["phase"]) for row in upload.measurements] == [(2, 1.5, "upload")]
