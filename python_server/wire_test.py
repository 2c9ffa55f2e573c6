from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_export import codecs
from python_server.errors import ExperimentError, UpdateError
from python_server.experiment import parse_experiment
from python_server.strategies import Device, Plan, TrainSettings
from python_server.strategies.base import Codecs
from python_server.submodels import Submodel
from python_server.wire import Outbox, agreed

WEIGHTS = {
    "a/kernel": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32),
    "a/bias": np.arange(4, dtype=np.float32),
}
PLAN = Plan(epochs=1, learning_rate=0.1)
CODED = TrainSettings(codec=Codecs("float16", "int8"))


def device(known: str) -> Device:
    return Device("id", "name", "cpu", 10, {"codecs": known} if known else {})


@pytest.mark.parametrize(
    ("known", "down", "up"),
    [("float32 float16 int8", "float16", "int8"), ("float32 int8", "float32", "int8"), ("", "float32", "float32")],
)
def test_a_device_gets_the_codecs_that_it_knows(known: str, down: str, up: str) -> None:
    plan = agreed(PLAN, device(known), CODED, ("a/kernel",))
    assert (plan.download_codec, plan.upload_codec) == (down, up)
    config = plan.to_config(number=1, run="r", seed=0)
    assert config.get("download-codec", "float32") == down
    assert config.get("upload-codec", "float32") == up


def test_a_plan_s_own_codec_goes_before_the_experiment_s() -> None:
    plan = agreed(Plan(1, 0.1, upload_codec="clusters4"), device("float16 clusters"), CODED, ())
    assert (plan.download_codec, plan.upload_codec) == ("float16", "clusters4")


def test_what_is_not_trained_is_not_asked_for() -> None:
    plan = agreed(Plan(1, 0.1, reply=frozenset(WEIGHTS)), device(""), CODED, ("a/kernel", "b/kernel"))
    assert plan.to_config(number=1, run="r", seed=0)["reply-variables"] == "a/kernel"


def test_an_update_is_what_the_device_had_plus_its_difference() -> None:
    outbox = Outbox(WEIGHTS)
    plan = agreed(PLAN, device("float16 int8"), CODED, ())
    shipment = outbox.shipment(plan)
    assert outbox.shipment(plan) is shipment
    assert shipment.payload.bytes < sum(value.nbytes for value in WEIGHTS.values()) + 200
    held = shipment.arrays
    assert np.abs(held["a/kernel"] - WEIGHTS["a/kernel"]).max() > 0
    trained = {name: value + np.float32(0.01) for name, value in held.items()}
    update = shipment.update(codecs.encode(trained, "int8", held), "int8")
    for name, value in trained.items():
        np.testing.assert_allclose(update[name], value, rtol=0, atol=1e-4 if value.ndim == 2 else 0)


def test_plans_that_differ_get_shipments_of_their_own() -> None:
    outbox = Outbox(WEIGHTS)
    part = Submodel("part", names=frozenset({"a/bias"}))
    plans = [
        PLAN,
        Plan(1, 0.1, download_codec="float16"),
        Plan(1, 0.1, send=frozenset({"a/kernel"})),
        Plan(1, 0.1, submodel=part),
        Plan(1, 0.1, submodel=part, send=frozenset({"a/kernel"})),
    ]
    names = [set(outbox.shipment(plan).arrays) for plan in plans]
    assert names == [set(WEIGHTS), set(WEIGHTS), {"a/kernel"}, {"a/bias"}, set()]
    assert len({id(outbox.shipment(plan)) for plan in plans}) == 5


def test_tensors_that_do_not_fit_are_refused_by_name() -> None:
    shipment = Outbox(WEIGHTS).shipment(PLAN)
    with pytest.raises(UpdateError, match="a/kernel"):
        shipment.update({"a/kernel": np.zeros(3, np.int8)}, "int8")


def test_distances_are_to_the_global_weights() -> None:
    update = {"a/bias": WEIGHTS["a/bias"] + np.float32(2)}
    assert Outbox(WEIGHTS).distances(PLAN, update) == {"a/bias": 16.0}


def experiment(train: str) -> Codecs:
    text = f'name = "x"\nrounds = 1\n[model]\nbundle = "b"\n[train]\n{train}\n'
    return parse_experiment(text.encode(), Path("/"), "x.toml").train.codec


def test_codecs_in_the_experiment_file() -> None:
    assert experiment('codec = "float16"') == ("float16", "float16")
    assert experiment('codec = { up = "clusters16" }') == ("float32", "clusters16")
    for wrong, words in [('"float8"', "no codec 'float8'"), ('{ sideways = "int8" }', "'sideways'"), ("3", "'3'")]:
        with pytest.raises(ExperimentError, match=words):
            experiment(f"codec = {wrong}")
