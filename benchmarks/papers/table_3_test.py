"""Table 3's script at a size that takes seconds: times follow from the paper's step time, work from the cutoff."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.papers import table_3

TINY = table_3.Setting(
    "small_cnn", images=200, test=50, batch_size=10, rounds=1, learning_rate=0.01, options={"filters": (4, 4)}
)


def test_the_cutoff_ends_the_round_for_less_work(
    tmp_path: Path, noise_for_cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {"CPU, τ = 1.99 min": table_3.CASES["CPU, τ = 1.99 min"]}
    monkeypatch.setattr(table_3, "CASES", cases)
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- table {name} -->\n<!-- end {name} -->\n" for name in ("table-3", "table-2a")))
    words = ["--seeds", "1", "--folder", str(noise_for_cifar10), "--write", str(page)]
    table_3.main([*words, "--plots", str(tmp_path)], small=TINY)
    # Of 20 steps that take 1.27 · 1.99 min, 15 fit into 1.99 min; the other 0.018 min are the rest of the round.
    assert "| 75% | 76.5 | 0.63 | 80.3 (1.00×) | 1 |" in page.read_text()
    assert "accuracy over virtual time" in (tmp_path / "papers-table-3.svg").read_text()
    before = page.read_text()
    table_3.main([*words, "--table"], small=TINY)
    assert page.read_text() == before
