from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.papers.tables_from_profiles import planned, rows_of


def test_rows_that_were_put_in_come_out_and_the_others_follow(digits_bundle: Path, tmp_path: Path) -> None:
    tables = rows_of(digits_bundle, tmp_path)
    for rows in tables.values():
        for row in rows:
            if "put in" in row[""]:
                assert float(row["planned ÷ paper"]) == pytest.approx(1, abs=0.01)
                assert float(row.get("kJ, planned ÷ paper", "1")) == pytest.approx(1, abs=0.01)
    fives = tables["profiles-2a"][1]
    assert float(fives["minutes, planned"]) == pytest.approx(40 * (5 * 11.94 + 1.08) / 60, abs=0.05)
    assert float(tables["profiles-2b"][2]["kJ, planned"]) == pytest.approx(10.4 * 10 / 4, abs=0.05)
    cut = planned(digits_bundle, tmp_path, "cpu", 10, 10, 40, 1.99)
    assert all(each.cut_off == 40 for each in cut.devices)
    assert cut.devices[0].steps == int(1.99 * 60 / 0.1516), "of steps of 151.6 ms"
