"""The documents of the server say what the program does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import tomllib

from python_server.experiment import (
    ClientSettings,
    DataSettings,
    EvaluateSettings,
    ModelSettings,
    ServerSettings,
    VariantSettings,
    parse_experiment,
)
from python_server.groups import GroupSettings
from python_server.run_rows import DeviceRoundRow, DeviceRow, EventRow, MeasurementRow, RoundRow
from python_server.strategies import OPTIONS, STRATEGIES, TrainSettings

DOCS = Path(__file__).resolve().parent.parent / "docs"


def example() -> str:
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "experiment.md").read_text(), re.DOTALL)
    return str(text)


def test_the_full_example_is_a_valid_experiment() -> None:
    experiment = parse_experiment(example().encode(), Path("/"), "docs/experiment.md")
    assert len(experiment.clients) == 2


def test_the_example_of_a_searched_federation_is_valid() -> None:
    text = (DOCS / "architecture_search.md").read_text()
    (toml,) = re.findall(r"```toml\n(# fleet.toml.*?)```", text, flags=re.DOTALL)
    experiment = parse_experiment(toml.encode(), Path("/"), "fleet.toml")
    assert experiment.strategy_name == "dac"
    exported = set(re.findall(r"-o (\w+)\.bundle", text))
    assert {each.bundle.stem for each in experiment.variants} | {experiment.model.bundle.stem} <= exported


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("model", ModelSettings),
        ("data", DataSettings),
        ("evaluate", EvaluateSettings),
        ("train", TrainSettings),
        ("server", ServerSettings),
        ("clients", ClientSettings),
        ("variants", VariantSettings),
        ("groups", GroupSettings),
        ("strategy", OPTIONS["heterofl"]),
    ],
)
def test_the_full_example_has_every_key(table: str, kind: Any) -> None:
    given = tomllib.loads(example())[table]
    given = given[0] if isinstance(given, list) else given
    assert set(given) - {"name"} == {field.name for field in dataclasses.fields(kind)} - {"name"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_explained_with_its_options(name: str) -> None:
    sections = re.split(r"^## ", (DOCS / "strategies.md").read_text(), flags=re.MULTILINE)
    text = next(section for section in sections if section.startswith(f"`{name}`"))
    common = {field.name for field in dataclasses.fields(OPTIONS["fedavg"])}
    missing = [
        field.name
        for field in dataclasses.fields(OPTIONS[name])
        if f"`{field.name}`" not in (sections[0] if field.name in common else text)
    ]
    assert not missing


@pytest.mark.parametrize("row", [DeviceRow, RoundRow, DeviceRoundRow, MeasurementRow, EventRow])
def test_every_column_is_explained(row: Any) -> None:
    text = (DOCS / "run_directory.md").read_text()
    assert f"**{row.TABLE}**" in text
    missing = [field.name for field in dataclasses.fields(row) if f"`{field.name}`" not in text]
    assert not missing
