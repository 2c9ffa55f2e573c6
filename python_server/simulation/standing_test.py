"""What simulated devices came to, from one process to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from python_server.errors import StoreError
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.settings import ProfileSettings
from python_server.simulation.standing import Standings, restore, standing_of


def a_device() -> SimulatedDevice:
    return SimulatedDevice("d", np.arange(1), np.arange(1), ProfileSettings(name="a"), {}, "whole")


def test_a_run_goes_on_from_the_last_round_that_was_committed(tmp_path: Path) -> None:
    standings = Standings(tmp_path / "standings")
    assert standings.load(4) is None
    for number in (1, 2, 4):
        standings.save(number, {"now": number})
    assert standings.load(4) == {"now": 4}
    assert standings.load(3) == {"now": 2}, "round 4 was not committed, and in round 3 nobody did anything"
    assert standings.load(1) is None, "it is forgotten"
    (tmp_path / "standings" / "round_0004.json").write_text("{")
    with pytest.raises(StoreError, match=r"round_0004\.json cannot be read"):
        standings.load(4)


def test_a_device_is_as_it_was(tmp_path: Path) -> None:
    device, standings = a_device(), Standings(tmp_path / "standings")
    assert standing_of(device) is None
    device.busy_until, device.bundle, device.upload = 12.1, "half", (3, 0.1, 400)
    device.upload_j, device.work_j = (0.3, 0.1), 7.7
    standings.save(1, {"d": standing_of(device)})
    again, kept = a_device(), standings.load(1)
    assert kept is not None
    restore(again, kept["d"])
    assert {**vars(again), "rows": None, "test_rows": None} == {**vars(device), "rows": None, "test_rows": None}
