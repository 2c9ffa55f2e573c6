"""The MobileNets' scripts at a size that takes seconds."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks.papers import mobilenets
from benchmarks.papers.mobilenets_v3 import open_gates, with_relu


def test_the_table_has_the_clients_and_the_server_beside_the_paper(
    tmp_path: Path, noise_for_cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = mobilenets.Setting({"small_cnn": {"filters": (4,)}}, images=40, test=20, rounds=1, epochs=1, momentum=0.9)
    monkeypatch.setitem(mobilenets.NETWORKS, "small_cnn", mobilenets.NETWORKS["mobilenet_v1"])
    page = tmp_path / "page.md"
    page.write_text("<!-- table mobilenets -->\n<!-- end mobilenets -->\n")
    words = ["--seeds", "1", "--turns", "0", "--folder", str(noise_for_cifar10), "--write", str(page)]
    mobilenets.main([*words, "--plots", str(tmp_path)], small=tiny)
    row = page.read_text().splitlines()[-3]
    assert row.startswith("| V1 | 2.")
    assert row.endswith("| – | 0.997, 0.808 | 0.011, 1.05 | 614 s (1.96) | 1 |")
    assert "loss on the server" in (tmp_path / "papers-mobilenets-loss.svg").read_text()


def test_open_gates_change_v3_small_and_pass_everything() -> None:
    setting = mobilenets.Setting(
        {"mobilenet_v3_small": {"alpha": 0.35, "hidden": 0}}, images=1, test=1, rounds=1, epochs=1, momentum=None
    )
    model = open_gates(mobilenets.network("mobilenet_v3_small", setting, 0))
    base = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    gate = keras.Model(base.input, base.get_layer("expanded_conv_squeeze_excite_conv_1").output)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    assert np.all(gate(x).numpy() == 1.0)
    assert not base.get_layer("expanded_conv_squeeze_excite_conv_1").trainable


def test_with_relu_leaves_no_hard_swish() -> None:
    setting = mobilenets.Setting(
        {"mobilenet_v3_small": {"alpha": 0.35, "hidden": 0}}, images=1, test=1, rounds=1, epochs=1, momentum=None
    )

    def activations(model: keras.Model) -> list[str]:
        base = next(layer for layer in model.layers if isinstance(layer, keras.Model))
        return [layer.activation.__name__ for layer in base.layers if isinstance(layer, keras.layers.Activation)]

    model = mobilenets.network("mobilenet_v3_small", setting, 0)
    assert "hard_silu" in activations(model)
    assert set(activations(with_relu(model))) == {"relu"}
