from __future__ import annotations

import math
from typing import Any

import pytest

from python_server.reported_energy import condition_rows, energy_rows, merged, upload_energy_row
from python_server.run_rows import BATTERY, ENERGY, ENERGY_EXCLUDED, TEMPERATURE
from python_server.tasks import Answer

METRICS = {
    "energy-j": 12.0,
    "energy-idle-j": 4.0,
    "energy-download-j": 1.0,
    "energy-download-idle-j": 0.5,
    "energy-wait-j": 30.0,
    "energy-wait-idle-j": -1.0,
    "previous-upload-energy-j": 2.0,
    "previous-upload-energy-idle-j": 1.0,
    "energy-rate-hz": 10.0,
    "energy-coverage": 0.99,
    "energy-uncertainty-j": -1.0,
    "energy-download-rate-hz": 9.0,
    "energy-download-coverage": 0.95,
    "energy-download-uncertainty-j": 0.25,
    "previous-upload-energy-coverage": 1.5,
}
INFO = {
    "energy-source": "INA3221, VDD_IN",
    "energy-method": "measured",
    "energy-covers": "module",
    "energy-flags": "1 gaps\nwait: excluded: the battery\nwas charged",
}


def answer(metrics: Any = None, **info: Any) -> Answer:
    return Answer(1, metrics={**METRICS, **(metrics or {})}, info={**INFO, **info})


def test_a_row_for_each_phase_with_all_that_is_known() -> None:
    train, download, wait = energy_rows(3, "d", answer(**{"energy-flags": "1 gaps"}), "train")
    assert (train.round, train.device, train.quantity, train.value, train.unit) == (3, "d", ENERGY, 12.0, "J")
    assert (train.source, train.method) == ("INA3221, VDD_IN", "measured")
    assert train.info == {
        "phase": "train",
        "idle_j": 4.0,
        "covers": "module",
        "rate_hz": 10.0,
        "coverage": 0.99,
        "uncertainty_j": None,
        "flags": ["1 gaps"],
    }
    assert (download.info["phase"], download.value, download.info["flags"]) == ("download", 1.0, [])
    told = ("idle_j", "covers", "rate_hz", "coverage", "uncertainty_j")
    assert [download.info[key] for key in told] == [0.5, "module", 9.0, 0.95, 0.25]
    assert [wait.info[key] for key in told] == [None, "module", None, None, None], "as older clients tell"
    assert (wait.info["phase"], wait.value, wait.info["idle_j"]) == ("wait", 30.0, None)
    upload = upload_energy_row(2, "d", answer())
    assert upload is not None
    assert (upload.round, upload.value, upload.info["phase"], upload.info["idle_j"]) == (2, 2.0, "upload", 1.0)
    assert upload.info["coverage"] is None, "more than all of the time is nonsense"


def test_what_is_excluded_counts_in_no_sum_and_says_why() -> None:
    rows = energy_rows(
        1, "d", answer(**{"energy-flags": "excluded: stuck\nwait: excluded: charging\nwait: x"}), "train"
    )
    assert [(row.quantity, row.info["flags"]) for row in rows] == [
        (ENERGY_EXCLUDED, ["stuck"]),
        (ENERGY, []),
        (ENERGY_EXCLUDED, ["charging", "x"]),
    ]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "12", True, None])
def test_hostile_joules_are_no_joules(value: object) -> None:
    phases = [row.info["phase"] for row in energy_rows(1, "d", answer({"energy-j": value}), "evaluate")]
    assert phases == ["download", "wait"]


@pytest.mark.parametrize(
    "info", [{"energy-source": ""}, {"energy-source": 3}, {"energy-method": "guessed"}, {"energy-method": b"measured"}]
)
def test_no_figure_without_a_source_and_a_method(info: dict[str, Any]) -> None:
    assert energy_rows(1, "d", answer(**info), "train") == []
    assert upload_energy_row(1, "d", answer(**info)) is None


def test_hostile_words_are_cut_short() -> None:
    row, *_ = energy_rows(
        1,
        "d",
        answer(
            {"energy-coverage": 7.0, "energy-idle-j": math.nan},
            **{"energy-source": "x\ny" * 10_000, "energy-covers": "everything", "energy-flags": "flag\n\n" * 1000},
        ),
        "train",
    )
    assert len(row.source) == 500
    assert "\n" not in row.source
    assert (row.info["covers"], row.info["coverage"], row.info["idle_j"]) == ("", None, None)
    assert row.info["flags"] == ["flag"] * 20
    assert energy_rows(1, "d", answer(**{"energy-flags": b"flag"}), "train")[0].info["flags"] == []


def test_a_rounds_two_tasks_make_one_row_a_phase() -> None:
    train = energy_rows(1, "d", answer(**{"energy-flags": ""}), "train")
    slower = {"energy-wait-idle-j": 3.0, "energy-download-rate-hz": 5.0, "energy-download-uncertainty-j": 0.5}
    evaluate = energy_rows(1, "d", answer(slower), "evaluate")
    other = energy_rows(1, "e", answer(**{"energy-flags": ""}), "train")
    conditions = condition_rows(1, "d", Answer(1, metrics={"temperature-start-c": 40.0, "temperature-end-c": 50.0}))
    rows = merged([*train, *conditions, *evaluate, *other])
    assert [(row.device, row.info.get("phase"), row.quantity, row.value) for row in rows] == [
        ("d", "train", ENERGY, 12.0),
        ("d", "download", ENERGY, 2.0),
        ("d", "wait", ENERGY_EXCLUDED, 60.0),
        ("d", None, TEMPERATURE, 40.0),
        ("d", None, TEMPERATURE, 50.0),
        ("d", "evaluate", ENERGY, 12.0),
        ("e", "train", ENERGY, 12.0),
        ("e", "download", ENERGY, 1.0),
        ("e", "wait", ENERGY, 30.0),
    ]
    told = ("idle_j", "uncertainty_j", "rate_hz", "coverage")
    assert [rows[1].info[key] for key in told] == [1.0, 0.75, 5.0, 0.95]
    assert (rows[2].info["idle_j"], rows[2].info["flags"]) == (None, ["the battery"])


def test_a_rounds_two_tasks_of_two_methods_are_not_added_up() -> None:
    """An evaluation too short for the gauge that saw the training, say."""
    flags = {"energy-flags": ""}
    train = energy_rows(1, "d", answer({"energy-download-j": 1.5}, **{"energy-method": "battery"}, **flags), "train")
    evaluate = energy_rows(
        1, "d", answer({"energy-download-j": 7.0}, **{"energy-method": "modelled"}, **flags), "evaluate"
    )
    for rows in ([*train, *evaluate], [*evaluate, *train]):
        (download,) = [row for row in merged(rows) if row.info["phase"] == "download"]
        assert (download.value, download.method) == (1.5, "battery")
        assert download.info["flags"] == ["7 J of another task of the round are left out: they were modelled"]


def test_conditions() -> None:
    metrics = {"temperature-start-c": 41.5, "temperature-end-c": -1.0, "battery-start-percent": 80.0}
    told = Answer(1, metrics={**metrics, "battery-end-percent": 79.5}, info={"temperature-source": "battery"})
    rows = condition_rows(2, "d", told)
    assert [row.source for row in rows] == ["battery", "battery's gauge", "battery's gauge"]
    assert [(row.quantity, row.value, row.unit, row.info) for row in rows] == [
        (TEMPERATURE, 41.5, "°C", {"at": "start"}),
        (BATTERY, 80.0, "%", {"at": "start"}),
        (BATTERY, 79.5, "%", {"at": "end"}),
    ]
