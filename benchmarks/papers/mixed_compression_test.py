"""Mixed compression: what its experiments ask for, what its tables make of runs, and one tiny federation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.papers import mixed_compression
from benchmarks.papers.cases import CaseRun
from benchmarks.papers.device_costs import Link, equation_1
from benchmarks.papers.mixed_compression import DEVICES, FLEETS, PAPER, SMALL, Case, Problem
from python_server.experiment import parse_experiment
from python_server.run_rows import DeviceRoundRow


@pytest.mark.parametrize("problems", [SMALL, PAPER])
def test_each_device_gets_its_kind(problems: dict[str, Problem]) -> None:
    for case in mixed_compression.cases(list(problems)):
        text = mixed_compression.experiment(case, problems[case.problem], 3)
        read = parse_experiment(text.encode(), Path("/"), "text")
        given = {device: group.variant for group in read.groups for device in group.devices}
        kinds = [given.get(f"device-{number}", "whole") for number in range(DEVICES)]
        assert kinds == list(FLEETS[case.fleet])
        assert {variant.name for variant in read.variants} == set(kinds) - {"whole"}


def test_fedsgd_takes_all_samples_of_a_device() -> None:
    for problem in (*SMALL.values(), *PAPER.values()):
        assert mixed_compression.batch_size(problem, "fedsgd") * DEVICES == problem.images


def test_equation_1_adds_up() -> None:
    row = DeviceRoundRow(1, "id", "device-0", "ok", plan={"submodel": ""}, train_s=2.0, upload_s=0.4, download_s=0.2)
    other = replace(row, plan={"submodel": "int8"})
    measured = {
        "whole": {"step": 1.0, "memory": 5e6, "stored": 250_000.0},
        "int8": {"step": 1.5, "memory": 6e6, "stored": 62_500.0},
        "int4": {"step": 1.5, "memory": 6e6, "stored": 31_250.0},
    }
    whole, int8 = equation_1(CaseRun(Path(), [], [row, other]), measured, Link(10.0, 5.0, 0.05))
    assert (whole["T"], whole["T, if weights travelled as stored"]) == ("2.650", "2.650")
    assert (int8["T_local, s"], int8["T"], int8["T, if weights travelled as stored"]) == ("3.000", "3.650", "3.200")


def test_a_tiny_federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_compression, "FLEETS", {"mixed": ("whole",) * 9 + ("pruned-50",)})
    monkeypatch.setattr(mixed_compression, "cases", lambda problems: [Case("mlp", "fedsgd", "mixed", "aware")])
    page = tmp_path / "page.md"
    page.write_text("<!-- table mixed-compression -->\n<!-- end mixed-compression -->\n")
    words = ["--seeds", "1", "--turns", "0", "--folder", str(tmp_path / "runs"), "--write", str(page)]
    mixed_compression.main(words, small={"mlp": Problem(60, 6, 1, 1, 0.1, 1, 0.1)})
    assert "| mlp | FedSGD | mixed | aware |" in page.read_text()
