from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from device_profiles import ProfileError, catalog, load_profile
from edge_client.energy import KINDS, find_meter, survey
from edge_client.energy.ina3221_test import NANO
from edge_client.energy.rapl_test import MACHINE
from edge_client.energy.rig_test import Tree
from edge_client.errors import SettingsError


def test_what_the_profile_names_goes_before_the_rest_and_a_model_is_the_last_resort(
    tree: Callable[[Tree], Path], tmp_path: Path
) -> None:
    none = find_meter(root=tmp_path / "none")
    assert (none.about.kind, none.why) == ("model", "nothing on this machine can be read")
    found = find_meter(root=tree(MACHINE))
    assert (found.about.kind, found.why) == ("rapl", "the best that can be read here")
    board = find_meter("jetson_nano", root=tree(NANO))
    assert (board.about.kind, board.why) == ("ina3221", "profile jetson_nano names it")


def test_a_source_can_be_asked_for(tree: Callable[[Tree], Path]) -> None:
    root = tree({**MACHINE, **NANO})
    assert find_meter("jetson_nano", source="rapl", root=root).about.kind == "rapl"
    assert find_meter("jetson_nano", source="model", root=root).about.kind == "model"
    with pytest.raises(SettingsError, match="--energy fire: there are auto, "):
        find_meter(source="fire", root=root)


def test_what_is_asked_for_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--energy rapl: no RAPL counters"):
        find_meter(source="rapl", root=tmp_path)


def test_a_survey_names_every_kind_and_why_it_is_not_there(tmp_path: Path) -> None:
    found = {each.kind: each for each in survey(root=tmp_path)}
    assert set(found) == set(KINDS)
    assert all(each.problem for kind, each in found.items() if kind != "model")
    assert found["model"].source is not None


def test_every_profile_of_the_catalog_loads() -> None:
    assert "generic" in catalog()
    for name in catalog():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.power.idle_w >= 0
        assert profile.power.busy_w_per_core > 0
        assert profile.power.source


def test_unknown_profile_lists_the_known() -> None:
    with pytest.raises(ProfileError, match=r"'\.\./x'; there are: .*generic"):
        load_profile("../x")
