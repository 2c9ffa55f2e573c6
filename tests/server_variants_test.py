"""Devices that hold different parts of one model, against a real SuperLink and with real trainers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_client.bundle_store import BundleStore
from edge_client.worker import Worker
from model_export import signing
from model_export.bundle import Bundle, write_bundle
from python_server.experiment import parse_experiment
from python_server.model import BundleModel
from python_server.progress import Progress
from python_server.round_loop import RoundLoop
from python_server.run_reader import RunReader
from python_server.store import RunStore
from tests.server_rounds_test import Setting, make_setting, start_superlink

if TYPE_CHECKING:
    from conftest import Digits

__all__ = ["make_setting", "start_superlink"]

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr

EXPERIMENT = """
name = "mixed"
rounds = 2
[model]
bundle = "whole"
[strategy]
name = "mixed_compression"
[train]
learning_rate = 0.05
[server]
start_clients = 6
round_deadline_s = 60
[[variants]]
name = "half"
bundle = "half"
[[groups]]
name = "cutters"
devices = ["cut*"]
cut = "conv3"
[[groups]]
name = "weak"
devices = ["*weak"]
parameters = 3000
[[groups]]
name = "nobody"
processor = "abacus"
"""


def test_devices_train_the_whole_a_slice_and_a_suffix_of_one_model(
    setting: Setting, digits_bundle: Path, digits_half: Path, digits: Digits, tmp_path: Path
) -> None:
    private = signing.load_or_create_key(tmp_path / "key.pem")
    signed = {}
    for name, path in (("whole", digits_bundle), ("half", digits_half)):
        bundle = Bundle.load(path)
        files = {each: bundle.read(each) for each in bundle.manifest.files}
        signed[name] = write_bundle(tmp_path / name, bundle.manifest, files, signing_key=private)
    store = BundleStore(tmp_path / "store", signing.public_key(private))
    stranger = signing.public_key(signing.load_or_create_key(tmp_path / "stranger.pem"))
    sources: dict[str, Any] = {
        "a-strong": signed["whole"].path,
        "cut": signed["whole"].path,
        "fixed": signed["half"].path,  # in no group: it gets what it holds
        "stubborn-weak": signed["whole"].path,
        "untrusting-weak": BundleStore(tmp_path / "other", stranger),
        "z-weak": store,
    }
    for index, (name, source) in enumerate(sources.items()):
        data = digits.save(tmp_path / f"{name}.npz", slice(64 * index, 64 * (index + 1)))
        setting.connect(name, Worker(source, data, name=name, num_threads=1).handle)
    experiment = parse_experiment(EXPERIMENT.encode(), tmp_path, "x")
    model = BundleModel(
        signed["whole"].path,
        test=digits.save_test(tmp_path / "test.npz"),
        variants={each.name: each.bundle for each in experiment.variants},
    )
    run = RunStore.create(tmp_path / "run", experiment.source, {})
    try:
        last = RoundLoop(experiment, run, model, setting.exchange, names=setting.keys, progress=Progress()).run()
        final = run.checkpoint()
    finally:
        run.close()

    assert (last.asked, last.used) == (4, 4)
    held = store.current()
    assert held is not None
    assert held.sha256 == signed["half"].sha256
    with RunReader(tmp_path / "run") as reader:
        rows = {row.name: row for row in reader.device_rounds() if row.round == 2}
        events = sorted(event.text for event in reader.events())
    assert {name: (row.plan["submodel"], row.plan["cut"]) for name, row in rows.items()} == {
        "a-strong": ("", ""),
        "cut": ("", "conv3"),
        "fixed": ("half", ""),
        "z-weak": ("half", ""),
    }
    assert rows["z-weak"].plan["reason"] == "group 'weak': variant 'half' is the largest within 3,000 parameters"
    assert rows["fixed"].plan["reason"] == "it holds variant 'half' and takes no other"
    assert rows["fixed"].upload_bytes < rows["a-strong"].upload_bytes
    assert rows["cut"].upload_bytes < rows["a-strong"].upload_bytes
    assert events[:2] == [
        "group 'nobody' has no device",
        "stubborn-weak is left out: it should train variant 'half', but it takes no bundles from the server",
    ]
    (untrusting,) = events[2:]  # once, though there are two rounds
    assert untrusting.startswith("untrusting-weak is left out: it should train variant 'half', but ")
    assert "not by the trusted" in untrusting
    assert last.accuracy is not None
    assert last.loss is not None
    initial = model.initial()
    assert final is not None
    changed = {name for name, value in final.weights.items() if not np.array_equal(value, initial[name])}
    assert changed == set(initial)


@pytest.mark.parametrize("aggregation", ["aware", "naive"])
def test_compression_reaches_the_global_model_only_naively(
    setting: Setting, digits_bundle: Path, digits_rough: Path, digits: Digits, tmp_path: Path, aggregation: str
) -> None:
    setting.connect("tiny", Worker(digits_rough, digits.save(tmp_path / "d.npz", slice(0, 32)), name="tiny").handle)
    # Steps that change no weight at all: what is left is what compression does.
    text = (
        'name = "rough"\nrounds = 1\n[model]\nbundle = "whole"\n[train]\nlearning_rate = 1e-30\n'
        f'[strategy]\nname = "mixed_compression"\naggregation = "{aggregation}"\n'
        '[[variants]]\nname = "rough"\nbundle = "rough"\n'
    )
    experiment = parse_experiment(text.encode(), tmp_path, "x")
    model = BundleModel(digits_bundle, variants={"rough": digits_rough})
    run = RunStore.create(tmp_path / "run", experiment.source, {})
    try:
        last = RoundLoop(experiment, run, model, setting.exchange, names=setting.keys, progress=Progress()).run()
        final = run.checkpoint()
    finally:
        run.close()
    assert last.used == 1
    assert final is not None
    initial = model.initial()
    kernels = [name for name in model.trained("") if name.endswith("kernel")]
    compressed = model.held(initial, Bundle.load(digits_rough).sha256)
    for name in kernels:
        expected = initial if aggregation == "aware" else compressed
        np.testing.assert_array_equal(final.weights[name], expected[name])
        assert np.mean(compressed[name] == 0) > 0.45
