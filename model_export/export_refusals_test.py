"""What `export` refuses, in which words, and that it leaves nothing behind then."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model_export import Adam, Sgd, export, exporter
from model_export.bundle import MODEL
from model_export.errors import ExportError, UnsupportedLayerError
from model_export.signatures import signature_of_cut
from model_export.small_models_test import functional, model_of, sequence, shared_dense, to_classes

L = keras.layers


class OwnLayer(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x


class OwnConv(keras.layers.Conv2D):  # type: ignore[misc]
    """Even a subclass of a supported layer may compute anything."""


class OwnModel(keras.Model):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x


def shared_norm() -> Any:
    inputs = keras.Input((4,))
    norm = L.BatchNormalization(name="twice")
    return keras.Model(inputs, L.Dense(3)(norm(norm(inputs))))


def ends_in_shared() -> Any:
    inputs = keras.Input((4,))
    dense = L.Dense(4, name="twice")
    return keras.Model(inputs, dense(dense(inputs)))


def with_lambda() -> Any:
    return to_classes(L.Lambda(lambda x: x * 2, name="own"))


def with_initial_state() -> Any:
    inputs = keras.Input((4, 2))
    state = L.Dense(3)(L.Flatten()(inputs))
    return keras.Model(inputs, L.Dense(3)(L.GRU(3, name="r")(inputs, initial_state=state)))


def with_two_outputs_of(layer: Callable[[], Any]) -> Callable[[], Any]:
    def build() -> Any:
        inputs = keras.Input((4, 2))
        first, second = layer()(inputs)[:2]
        return keras.Model(inputs, L.Dense(3)(L.Concatenate()([L.Flatten()(first), second])))

    return build


def dense_before_embedding() -> Any:
    inputs = keras.Input((4,))
    tokens = L.Dense(4, name="lost")(inputs)
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Embedding(5, 2)(tokens))))


def with_operator() -> Any:
    inputs = keras.Input((4,))
    x = L.Dense(4)(inputs)
    return keras.Model(inputs, L.Dense(3)(x + x))


def two_outputs() -> Any:
    inputs = keras.Input((4,))
    return keras.Model(inputs, [L.Dense(3, name="one")(inputs), L.Dense(3, name="two")(inputs)])


def nested_with_two_inputs() -> Any:
    inputs = [keras.Input((4,)), keras.Input((4,))]
    adds = keras.Model(inputs, L.Add()(inputs), name="adds")
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(3)(adds([x, L.Dense(4)(x)])))


def with_mask() -> Any:
    inputs = keras.Input((4, 3))
    mask = L.Reshape((4,))(L.Dense(1)(inputs))
    with warnings.catch_warnings(action="ignore"):
        x = L.BatchNormalization(name="masked")(inputs, mask=mask)
        return keras.Model(inputs, L.Dense(3)(L.Flatten()(x)))


def with_nan() -> Any:
    model = to_classes(L.Conv2D(2, 3, name="bad"))
    model.get_layer("bad").kernel.assign(np.full((3, 3, 3, 2), np.nan))
    return model


UNSUPPORTED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: to_classes(L.Conv2DTranspose(4, 3, name="up")),
        r"layer 'up' \(Conv2DTranspose\): this type is not supported",
    ),
    (lambda: to_classes(OwnLayer(name="mine")), r"layer 'mine' \(OwnLayer\): this type is not supported"),
    (lambda: to_classes(OwnConv(4, 3, name="mine")), r"layer 'mine' \(OwnConv\): this type is not supported"),
    (lambda: to_classes(L.LayerNormalization(axis=1, name="n")), r"layer 'n' .*axis=\[1\]"),
    (lambda: to_classes(L.ELU(alpha=0.5, name="e")), "layer 'e' .*alpha=0.5"),
    (
        lambda: to_classes(L.Conv2D(4, 3, activation="celu", name="c")),
        "layer 'c' .*activation='celu'.* only elu, ",
    ),
    (
        lambda: to_classes(L.Conv2D(4, 3, kernel_regularizer="l2", name="c")),
        "layer 'c' .*kernel_regularizer.*weight_decay",
    ),
    (lambda: to_classes(L.Conv2D(4, 3, kernel_constraint="max_norm", name="c")), "layer 'c' .*kernel_constraint"),
    (lambda: to_classes(L.DepthwiseConv2D(3, depth_multiplier=1400, name="d")), "layer 'd' .*4096"),
    (lambda: to_classes(L.BatchNormalization(axis=1, name="b")), "layer 'b' .*axis=1"),
    (lambda: to_classes(L.ReLU(negative_slope=0.1, name="r")), "layer 'r' .*negative_slope=0.1"),
    (lambda: to_classes(L.Softmax(axis=1, name="s")), "layer 's' .*axis=1"),
    (lambda: to_classes(L.Dropout(0.5, noise_shape=(None, 1, 1, 3), name="d")), "layer 'd' .*noise_shape"),
    (lambda: to_classes(L.Conv2D(4, 3, dtype="mixed_float16", name="c")), "layer 'c' .*dtype float16"),
    (shared_norm, "layer 'twice' .*used more than once, and each use would move its statistics"),
    (
        lambda: to_classes(L.SeparableConv2D(4, 3, depth_multiplier=1400, name="s")),
        "layer 's' .*more than 4096 channels between",
    ),
    (lambda: to_classes(L.SeparableConv2D(4, 3, pointwise_regularizer="l2", name="s")), "layer 's' .*pointwise_regul"),
    (lambda: to_classes(L.UpSampling2D(interpolation="bilinear", name="u")), "layer 'u' .*interpolation='bilinear'"),
    (lambda: to_classes(L.GroupNormalization(groups=2, axis=1, name="n")), "layer 'n' .*axis=1"),
    (with_lambda, r"layer 'own' \(Lambda\): this type is not supported"),
    (with_initial_state, "layer 'r' .*called with 2 tensors, such as an initial state"),
    (lambda: sequence(L.LSTM(3, dropout=0.1, name="r")), "layer 'r' .*dropout=0.1"),
    (lambda: sequence(L.GRU(3, recurrent_dropout=0.1, name="r")), "layer 'r' .*recurrent_dropout=0.1"),
    (lambda: sequence(L.GRU(3, recurrent_activation="celu", name="r")), "layer 'r' .*recurrent_activation='celu'"),
    (lambda: sequence(L.LSTM(3, recurrent_regularizer="l2", name="r")), "layer 'r' .*recurrent_regularizer"),
    (lambda: sequence(L.LSTM(3, name="r"), steps=300), "layer 'r' .*300 time steps are too many to unroll"),
    (
        with_two_outputs_of(lambda: L.LSTM(3, return_sequences=True, return_state=True, name="r")),
        "layer 'r' .*return_state=True",
    ),
    (
        with_two_outputs_of(lambda: L.Bidirectional(L.LSTM(3), merge_mode=None, name="b")),
        "layer 'b' .*merge_mode=None",
    ),
    (lambda: sequence(L.Bidirectional(L.GRU(3, dropout=0.1), name="b")), "layer 'b' .*inside, dropout=0.1"),
    (lambda: sequence(L.Bidirectional(L.LSTM(3), name="b"), steps=300), "layer 'b' .*300 time steps are too many"),
    (
        lambda: model_of(L.Embedding(9, 2, mask_zero=True, name="e"), L.GRU(3), L.Dense(3), shape=(4,)),
        "layer 'gru.*' is called with a mask.*mask_zero=False",
    ),
    (with_operator, r"\(Add\): it is a bare operation on tensors, not a layer; use a layer in its place"),
    (with_mask, "layer 'masked' is called with a mask"),
    (with_nan, "layer 'bad' .*kernel holds NaN"),
]
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: "model.keras", "expected a Keras model, got str"),
    (lambda: keras.Sequential([L.Dense(3)]), "has no input shape yet"),
    (lambda: OwnModel(name="mine"), "'mine' is a OwnModel with its own call"),
    (two_outputs, r"1 inputs \(.*\) and 2 outputs \(one, two\); one of each is needed: join the inputs"),
    (
        lambda: keras.Model(x := [keras.Input((4,), name="a"), keras.Input((4,), name="b")], L.Dense(3)(L.Add()(x))),
        r"2 inputs \(a, b\) and 1 outputs",
    ),
    (lambda: to_classes(L.Rescaling(1.0, name="s"), shape=(4,), dtype="int32"), "takes int32 input into layer 's'"),
    (dense_before_embedding, "layer 'lost' only leads into an Embedding, which passes no gradient on"),
    (ends_in_shared, "layer 'twice' ends the model and is used before"),
    (nested_with_two_inputs, r"model 'adds' has 2 inputs \(.*\) and 1 outputs"),
    (lambda: to_classes(L.GlobalAveragePooling2D(), shape=(None, None, 3)), "every size but the batch has to be known"),
    (lambda: model_of(L.Conv2D(3, 3, name="c")), r"layer 'c' ends the model with shape \[6, 6, 3\]"),
    (lambda: model_of(L.Flatten(), L.Dense(1, name="one")), "layer 'one' .*at least 2 classes"),
    (lambda: model_of(L.Flatten(), L.Dense(3, activation="sigmoid", name="s")), "layer 's' ends the model in sigmoid"),
]


@pytest.mark.parametrize(("build", "message"), UNSUPPORTED + REFUSED)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(
    build: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    kind = UnsupportedLayerError if (build, message) in UNSUPPORTED else ExportError
    with pytest.raises(kind, match=message) as refusal:
        export(build(), tmp_path / "b", batch_size=4)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_supported_layers_are_listed_with_the_refusal(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="Supported layers: Activation, Add, .*ZeroPadding2D"):
        export(to_classes(L.Conv2DTranspose(4, 3)), tmp_path / "b", batch_size=4)


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 0}, "batch_size is 0"),
    ({"batch_size": 2.0}, "batch_size is 2.0"),
    ({"trainable": "conv9"}, "no layer is called 'conv9'; the layers are: conv .1., "),
    ({"trainable": "sum"}, "2 tensors cross into layer 'sum'.*layers with one: .*logits"),
    ({"cuts": "logits"}, r"cuts is 'logits'; give a sequence of layers' names, as in cuts=\['logits'\]"),
    ({"cuts": ["nope"]}, "no layer is called 'nope'"),
    ({"cuts": ["logits", "logits"]}, "cut 'logits' is given twice"),
    ({"cuts": ["conv [1]", "conv (1)"]}, "cut 'conv .1.' does not lie after"),
    ({"cuts": ["conv [1]"], "trainable": "head"}, "does not lie after 'logits'"),
    ({"classes": ["a", "b"]}, "2 different class names for a model with 3 outputs"),
    ({"classes": ["a", "b", "b"]}, "2 different class names"),
    ({"input_scale": float("nan")}, "input_scale=nan"),
    ({"input_scale": 0.0}, "the scale not 0"),
    ({"optimizer": "adam"}, r"optimizer is 'adam'; give model_export.Sgd\(...\)"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options_are_checked_before_anything_is_written(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        export(functional(), tmp_path / "b", **{"batch_size": 4, **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"momentum": -0.1}, "momentum is -0.1"),
        ({"weight_decay": -1e-4}, "weight_decay is -0.0001"),
        ({"nesterov": True}, "nesterov needs a momentum"),
    ],
)
def test_optimizer_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        Sgd(**options)


def test_shared_layer_cannot_be_divided(tmp_path: Path) -> None:
    for options in ({"trainable": "between"}, {"cuts": ["between"]}):
        with pytest.raises(ExportError, match="'between' would train layer 'twice' in one place and not in another"):
            export(shared_dense(), tmp_path / "b", batch_size=4, **options)


def test_what_no_file_can_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "_MOST_BYTES", 4 * 2000)
    big = to_classes(L.Conv2D(30, 3, name="big"), L.GlobalAveragePooling2D())
    with pytest.raises(ExportError, match="file holds less than .*; the largest layer is 'big' with 840 parameters"):
        export(big, tmp_path / "b", batch_size=2, optimizer=Adam())
    assert list(tmp_path.iterdir()) == []
    assert len(export(big, tmp_path / "b", batch_size=2, trainable="head", measure=False).read(MODEL)) > 0


def test_frozen_layers_leave_nothing_to_train(tmp_path: Path) -> None:
    model = functional()
    model.get_layer("logits").trainable = False
    for options in ({"trainable": "head"}, {"cuts": ["logits"]}):
        with pytest.raises(ExportError, match="leaves nothing to train"):
            export(model, tmp_path / "b", batch_size=4, **options)


def test_odd_layer_names_give_valid_signatures(tmp_path: Path) -> None:
    assert signature_of_cut("conv [1]/x") == "train_from_conv__1__x"
    inputs = keras.Input((4,))
    x = L.Dense(3, name="a")(inputs)
    x = L.Dense(3, name="b 1")(x)
    model = keras.Model(inputs, L.Dense(3, name="b:1")(x))
    with pytest.raises(ExportError, match="cut 'b:1': another cut already has the signature train_from_b_1"):
        export(model, tmp_path / "b", batch_size=2, cuts=("b 1", "b:1"))
