"""The client on Keras trains as it does on TensorFlow Lite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client import Trainer
from edge_client.data import Dataset
from edge_client.worker import Worker
from python_server.keras_client import main
from python_server.keras_interpreter import KerasInterpreter


def close(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(got) == list(expected)
    for path, value in expected.items():
        np.testing.assert_allclose(got[path], value, rtol=2e-3, atol=2e-5, err_msg=path)


@pytest.mark.parametrize("name", ["digits_bundle", "head_bundle"])
def test_two_fits_are_those_of_the_client(name: str, request: pytest.FixtureRequest, digits: Any) -> None:
    bundle = request.getfixturevalue(name)
    own = Dataset(digits.x[50:77], digits.y[50:77], "own")  # a whole batch of 16, and one that is filled up
    lite, keras = Trainer(bundle, num_threads=1), Trainer(bundle, interpreter=KerasInterpreter)
    assert keras.runtime.startswith("keras on ")
    for cut in ("", *lite.manifest.cuts[:1]):  # the second begins where the first ended, with new momentum
        for trainer in (lite, keras):
            trainer.set_weights(trainer.weights())
        results = [trainer.fit(own, 2, learning_rate=0.05, cut=cut, seed=7) for trainer in (lite, keras)]
        assert results[1].loss == pytest.approx(results[0].loss, rel=1e-4)
        close(keras.weights(), lite.weights())
    assert keras.evaluate(own.x, own.y) == pytest.approx(lite.evaluate(own.x, own.y), rel=1e-4)
    np.testing.assert_allclose(keras.predict(own.x), lite.predict(own.x), atol=1e-4)


def test_the_client_says_what_it_trains_with(digits_bundle: Path, digits: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=digits.x[:20], y=digits.y[:20])
    worker = Worker(
        digits_bundle,
        tmp_path / "d.npz",
        make_trainer=lambda bundle, **named: Trainer(bundle, interpreter=KerasInterpreter, **named),
    )
    assert str(worker.facts()["runtime"]).startswith("keras on ")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "--state", str(tmp_path / "state")]) == 0
    assert "BEGIN PUBLIC KEY" in capsys.readouterr().out
