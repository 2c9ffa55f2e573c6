"""The experiments of Lee's methods: what they ask for, and what they make of runs; no simulation but for one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomllib

from benchmarks.papers import cases, fedlama, partial_training
from benchmarks.papers.fedlama_crossing import long_share
from benchmarks.papers.lee import MODERATE, WEAK, Network, capacity, mean
from python_server.experiment import parse_experiment
from python_server.run_rows import RoundRow


def a_row(number: int, state: dict[str, Any], accuracy: float | None = None) -> RoundRow:
    return RoundRow(number, 0, 0.0, 1.0, 1.0, 0.0, 0.0, 4, 4, 40, "", "", accuracy=accuracy, strategy_state=state)


def a_run(rows: list[RoundRow]) -> cases.CaseRun:
    return cases.CaseRun(Path(), rows, [])


def test_capacity_is_the_slides_share() -> None:
    model = Network().build()
    whole, moderate, weak = (capacity(model, cut) for cut in ("", MODERATE, WEAK))
    assert whole == 272_762 + 6_947_136
    assert (round(moderate / whole, 2), round(weak / whole, 2)) == (0.42, 0.16)


@pytest.mark.parametrize("setting", [fedlama.SMALL, fedlama.PAPER])
def test_every_case_of_fedlama_does_the_same_number_of_local_steps(setting: fedlama.Setting) -> None:
    for name, case in fedlama.CASES.items():
        read = parse_experiment(fedlama.experiment(setting, name, 3).encode(), Path("/"), name)
        assert read.rounds * read.train.steps == setting.steps
        assert (read.seed, read.strategy_name) == (3, "fedlama" if case.phi > 1 else "fedavg")
        # A mixture of layers of different age is not what accuracies are compared at.
        assert read.evaluate.every % case.phi == 0


def test_the_paper_s_learning_rates_fall_twice() -> None:
    text = fedlama.experiment(fedlama.PAPER, "FedLAMA φ=2", 0)
    train = parse_experiment(text.encode(), Path("/"), "").train
    assert [train.learning_rate_at(number) for number in (1, 500, 501, 751)] == [0.2, 0.2, 0.02, 0.002]


def test_what_fedlama_aggregated_is_the_paper_s_count() -> None:
    sizes = {"first": 10, "last": 90}
    often, rare = {"first": 1, "last": 1}, {"first": 1, "last": 2}
    states = [{"sizes": sizes, "intervals": chosen} for chosen in (often, often, rare, rare, rare)]
    run = a_run([a_row(number, state) for number, state in enumerate(states)])
    assert fedlama.aggregated(run.rounds, 2) == [100, 100, 10, 100]
    assert fedlama.communication("FedLAMA φ=2", run) == pytest.approx(310 / 400)
    assert fedlama.communication("FedAvg(4τ')", run) == 0.25


def test_the_table_of_layers_counts_cycles() -> None:
    sizes = {"a": 1, "b": 2}
    states = [{"sizes": sizes, "intervals": {"a": 1, "b": interval}} for interval in (1, 1, 2, 2, 1, 1, 2)]
    found = {name: [] for name in fedlama.CASES}
    found["FedLAMA φ=2"] = [a_run([a_row(number, state) for number, state in enumerate(states)])]
    rows = {row["layer"]: row for row in fedlama.layer_rows(found)}
    assert (rows["`a`"]["FedLAMA φ=2"], rows["`b`"]["FedLAMA φ=2"]) == ("0 %", "67 %")


@pytest.mark.parametrize("setting", [partial_training.SMALL, partial_training.PAPER])
def test_every_case_of_partial_training_is_an_experiment(setting: partial_training.Setting) -> None:
    assert len(setting.cases) == len(set(setting.cases))
    for case in setting.cases:
        read = parse_experiment(partial_training.experiment(setting, case, 1).encode(), Path("/"), case)
        kinds = [client.name.split("-")[0] for client in read.clients]
        counts = tuple(kinds.count(kind) for kind in partial_training.KINDS)
        assert case.endswith("-" + "-".join(map(str, counts)))
        alike = case.startswith("smallest-width")
        assert {group.name for group in read.groups} == (set() if alike else set(kinds) - {"strong"})
        assert read.model.bundle.name == ("weak" if alike else "bundle")
        taking_part = counts[0] if read.strategy_name == "drop_weak" else sum(counts)
        held = {client.variant for client in read.clients if client.name.startswith("weak")} or {""}
        assert held == {"weak" if case.startswith("width") and counts[2] else ""}
        most = setting.clients / 4
        assert round(read.strategy.options.fraction * taking_part, 2) == min(taking_part, most)  # type: ignore[attr-defined]


def test_table_9_is_scaled_to_the_clients_that_there_are() -> None:
    assert partial_training.SMALL.scaled((32, 32, 64)) == (8, 8, 16)
    assert partial_training.PAPER.scaled((32, 32, 64)) == (32, 32, 64)
    named = [case for case in partial_training.PAPER.cases if case.startswith("width-")]
    assert len({case for case in named if case.count("-0-") < 2}) >= 9


def test_tables_show_what_is_done_and_leave_the_rest_open() -> None:
    setting = partial_training.SMALL
    found: dict[str, list[cases.CaseRun]] = {case: [] for case in setting.cases}
    found["partial-4-0-28"] = [a_run([a_row(0, {}, 0.1), a_row(1, {}, 0.5), a_row(2, {}, 0.4)])]
    rows = partial_training.growth_rows(setting, found)
    assert [row["partial, final"] for row in rows] == ["–", "–", "–", "40.0"]
    assert (rows[-1]["best"], rows[-1]["width, final"], rows[-1]["seeds"]) == ("50.0", "–", "0")
    assert rows[-1]["slides (strong + weak: partial, width)"] == "16 + 112: 77.34, 65.01"
    weak = next(
        r for r in partial_training.mixture_rows(setting, found) if r["table 9: partial, width"] == "77.19, 54.53"
    )
    assert (weak["strong + moderate + weak"], weak["partial"]) == ("4 + 0 + 28", "40.0")


def test_the_share_with_the_long_interval_ends_at_the_crossing() -> None:
    spread = {"a/kernel": 0.0, "b/kernel": 50.0, "c/kernel": 60.0, "c/moving_mean": 890.0}
    sizes = {"a/kernel": 10, "b/kernel": 50, "c/kernel": 30, "c/moving_mean": 10}
    kernels = [long_share(spread, sizes, lambda path: path.endswith("kernel"), crossing=each) for each in (False, True)]
    assert kernels == pytest.approx([10 / 90, 60 / 90])  # b: δ = 50/110, 1 − λ = 30/90
    # With the statistics, b is 5 % of what clients differ by, and 40 % remain: it gets the long interval.
    assert long_share(spread, sizes, lambda path: True, crossing=False) == pytest.approx(0.6)


def test_the_mean_of_lines_ends_with_the_shortest() -> None:
    assert mean([[(0, 1.0), (5, 2.0)], [(0, 3.0)]]) == [(0, 2.0)]


def test_an_interrupted_experiment_goes_on_with_the_case_that_it_was_at(
    digits: Any, digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = dataclasses.replace(fedlama.SMALL, clients=4, interval=1, steps=4, evaluate_every=4)
    (tmp_path / "bundle").symlink_to(digits_bundle)
    np.savez(tmp_path / "train.npz", x=digits.x[:200], y=digits.y[:200])
    digits.save_test(tmp_path / "test.npz")
    monkeypatch.setattr(fedlama, "SMALL", tiny)
    names = ["FedAvg(τ')", "FedAvg(2τ')"]
    monkeypatch.setattr(fedlama, "CASES", {name: fedlama.CASES[name] for name in names})
    page = tmp_path / "page.md"
    page.write_text("<!-- table fedlama -->\n<!-- end fedlama -->\n")
    begun: list[str] = []
    really = cases._do

    def interrupted(command: str, words: list[str], folder: Path, *, in_process: bool) -> int:
        begun.append(words[0])
        if len(begun) == 2:
            raise KeyboardInterrupt
        return really(command, words, folder, in_process=in_process)

    monkeypatch.setattr(cases, "_do", interrupted)
    words = ["fedlama", "--seeds", "1", "--folder", str(tmp_path), "--write", str(page), "--plots", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(KeyboardInterrupt):
        fedlama.main()
    fedlama.main()
    assert [Path(word).stem for word in begun] == ["fedavg-1-seed0", "fedavg-2-seed0", "fedavg-2-seed0"]
    fedlama.main()
    assert len(begun) == 3
    text = page.read_text()
    assert "| FedAvg(2τ') |" in text
    assert tomllib.loads((tmp_path / "fedavg-2-seed0.toml").read_text())["rounds"] == 2
    assert "<svg" in (tmp_path / "fedlama-steps.svg").read_text()
