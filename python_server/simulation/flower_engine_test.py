"""How the engine on Ray ends, without Ray."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from python_server.errors import FleetError
from python_server.simulation.flower_engine import FlowerEngine


class Grid:
    """Flower's grid, to which no node ever comes."""

    def get_node_ids(self) -> list[int]:
        return []


@pytest.mark.parametrize(("interrupted", "error"), [(False, FleetError), (True, KeyboardInterrupt)])
def test_who_waits_for_a_simulation_that_is_over_hears_why(
    interrupted: bool, error: type[BaseException], tmp_path: Path
) -> None:
    grid: Any = Grid()
    events = threading.Event(), threading.Event()
    events[0].set()
    if interrupted:
        events[1].set()
    with pytest.raises(error):
        FlowerEngine(grid, {}, tmp_path, 2, *events)
