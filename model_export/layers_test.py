"""One exported training step against Keras, for every layer that can be exported, on every runtime."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from model_export import Sgd, export, tflite_file
from model_export.bundle import MODEL, Bundle
from model_export.conftest import REPOSITORY, Judge, Once, Play, Values, build_in, keras_steps, weights_by_path
from model_export.layers import RULES

L = keras.layers
BATCH = 8
RATE = 0.1
INPUT = (9, 10, 3)


def convolutions() -> Any:
    inputs = x = keras.Input(INPUT)
    x = L.Conv2D(6, 3, padding="same", activation="tanh")(x)
    x = L.Conv2D(7, 3, strides=2, padding="same", use_bias=False, activation="sigmoid")(x)
    x = L.Conv2D(4, (2, 3), activation="relu")(x)
    x = L.Conv2D(5, 1, strides=2)(x)
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def dilated_and_grouped_convolutions() -> Any:
    inputs = x = keras.Input(INPUT)
    x = L.Conv2D(6, 3, padding="same", dilation_rate=2, activation="tanh")(x)
    x = L.Conv2D(8, (2, 3), groups=2, dilation_rate=(1, 2), activation="sigmoid")(x)
    x = L.DepthwiseConv2D((3, 2), padding="same", dilation_rate=(2, 3), activation="tanh")(x)
    x = L.DepthwiseConv2D(2, dilation_rate=2, depth_multiplier=2, activation="tanh")(x)
    x = L.Conv2D(8, 3, strides=2, padding="same", groups=4)(x)
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def sequences() -> Any:
    inputs = x = keras.Input((23, 3))
    x = L.Conv1D(6, 5, padding="causal", dilation_rate=2, activation="tanh")(x)
    x = L.Conv1D(8, 3, strides=2, padding="same", groups=2, activation="sigmoid")(L.ZeroPadding1D((1, 2))(x))
    x = L.Concatenate()([L.MaxPooling1D(3, strides=2, padding="same")(x), L.AveragePooling1D(2, padding="same")(x)])
    x = L.Conv1D(5, 2, use_bias=False, activation="tanh")(x)
    x = L.Concatenate()([L.GlobalAveragePooling1D()(x), L.Flatten()(L.GlobalMaxPooling1D(keepdims=True)(x))])
    return keras.Model(inputs, L.Dense(4)(x))


def layer_norms() -> Any:
    inputs = x = keras.Input(INPUT)
    x = L.LayerNormalization()(L.Conv2D(8, 3, activation="tanh")(x))
    x = L.Reshape((*x.shape[1:3], 2, 4))(x)
    x = L.Permute((1, 2, 4, 3))(x)  # a channel shuffle
    x = L.Reshape((*x.shape[1:3], 8))(x)
    x = L.LayerNormalization(scale=False, epsilon=1e-2)(L.Conv2D(6, 3, strides=2, groups=2)(x))
    x = L.LayerNormalization(center=False)(L.Dense(8, activation="tanh")(L.Flatten()(x)))
    return keras.Model(inputs, L.Dense(4)(x))


def depthwise_convolutions() -> Any:
    inputs = x = keras.Input(INPUT)
    x = L.Conv2D(4, 1, activation="tanh")(x)
    x = L.DepthwiseConv2D(3, padding="same")(x)
    x = L.ReLU(max_value=6)(x)
    x = L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False, activation="tanh")(x)
    x = L.ZeroPadding2D(((0, 1), (1, 2)))(x)
    x = L.Cropping2D(((0, 1), (1, 0)))(L.DepthwiseConv2D((2, 3), strides=2)(x))
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def batch_norms() -> Any:
    inputs = x = keras.Input(INPUT)
    x = L.BatchNormalization(momentum=0.9)(L.Conv2D(4, 3)(x))
    x = L.BatchNormalization(scale=False)(L.Conv2D(6, 1, activation="tanh")(x))
    x = L.BatchNormalization(center=False, epsilon=1e-2)(L.DepthwiseConv2D(3)(x))
    frozen = L.BatchNormalization()
    x = frozen(L.Conv2D(6, 1)(L.ReLU()(x)))
    frozen.trainable = False
    x = L.BatchNormalization(axis=-1)(L.Dense(8)(L.Flatten()(x)))
    return keras.Model(inputs, L.Dense(4)(L.Activation("tanh")(x)))


def poolings() -> Any:
    inputs = x = keras.Input(INPUT)
    # Whole numbers in, whole numbers out: the windows are full of ties.
    first = L.Conv2D(5, 1, kernel_initializer=keras.initializers.RandomUniform(-2, 2))
    x = first(x)
    first.kernel.assign(np.round(first.kernel.numpy()))
    x = L.MaxPooling2D(3, strides=2, padding="same")(x)
    x = L.Conv2D(5, 3, padding="same", activation="tanh")(x)
    x = L.AveragePooling2D(3, strides=2, padding="same")(x)
    x = L.Concatenate()([L.AveragePooling2D(2)(x), L.MaxPooling2D(2)(x)])
    x = L.Conv2D(5, 1, activation="tanh")(x)
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x)])
    return keras.Model(inputs, L.Dense(4)(x))


def merges() -> Any:
    inputs = keras.Input(INPUT)
    x = L.Conv2D(6, 3, padding="same")(L.Rescaling([0.5, 1.0, 2.0], offset=0.1)(inputs))
    gate = L.Dense(6, activation="sigmoid")(L.GlobalAveragePooling2D()(x))
    x = L.Multiply()([x, L.Reshape((1, 1, 6))(gate)])
    x = L.Add()([x, L.Conv2D(6, 1)(inputs), L.GlobalMaxPooling2D(keepdims=True)(x)])
    x = L.Concatenate(axis=1)([x, L.Conv2D(6, (3, 1))(x)])
    x = L.Reshape((-1, 6))(x)
    x = L.Dense(3, activation="tanh")(x)
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def activations() -> Any:
    inputs = x = keras.Input((12,))
    for activation in ("relu", "relu6", "sigmoid", "tanh", "softmax", "linear"):
        x = L.Activation(activation)(L.Dense(16)(x))
    x = L.Softmax()(L.Dense(16)(L.ReLU()(x)))
    x = L.ReLU(max_value=0.05)(x)
    return keras.Model(inputs, L.Dense(4, activation="softmax")(x))


def smooth_activations() -> Any:
    inputs = x = keras.Input((12,))
    for activation in ("silu", "hard_sigmoid", "hard_silu", "elu", "leaky_relu"):
        x = L.Dense(16, activation=activation)(x)
    x = L.LeakyReLU(negative_slope=0.3)(L.Dense(16)(x))
    x = L.ELU()(L.Dense(16)(x))
    return keras.Model(inputs, L.Dense(4)(x))


def more_activations() -> Any:
    inputs = x = keras.Input((12,))
    for activation in ("gelu", "softplus", "mish", "selu", "softsign"):
        x = L.Dense(16, activation=activation)(x)
    return keras.Model(inputs, L.Dense(4)(L.Dense(8, activation="exponential")(x)))


def separable_and_group_norms() -> Any:
    inputs = x = keras.Input(INPUT)
    x = L.SeparableConv2D(8, 3, strides=2, padding="same", activation="tanh")(x)
    x = L.GroupNormalization(groups=2)(x)
    x = L.PReLU(shared_axes=[1, 2])(L.SeparableConv2D(6, (2, 3), use_bias=False)(x))
    x = L.GroupNormalization(groups=-1, scale=False, epsilon=1e-2)(x)
    x = L.SeparableConv2D(4, 2, dilation_rate=(1, 2), padding="same", depth_multiplier=2)(x)
    x = L.PReLU()(L.Dense(6)(L.Flatten()(x)))
    return keras.Model(inputs, L.Dense(4)(x))


def more_merges() -> Any:
    inputs = x = keras.Input((12,))
    a, b, c = (L.Dense(6, activation="tanh")(x) for _ in range(3))
    x = L.Concatenate()([L.Average()([a, b, c]), L.Subtract()([a, c]), L.Maximum()([a, b, c]), L.Minimum()([b, c])])
    return keras.Model(inputs, L.Dense(4)(x))


def recurrences() -> Any:
    inputs = keras.Input((5, 3))
    x = L.LSTM(6, return_sequences=True)(inputs)
    x = L.GRU(5, return_sequences=True, go_backwards=True)(x)
    x = L.GRU(4, return_sequences=True, reset_after=False)(x)
    y = L.SimpleRNN(4, return_sequences=True)(x)
    ends = [L.LSTM(3, go_backwards=True)(y), L.GRU(3, use_bias=False)(y), L.SimpleRNN(3)(y)]
    return keras.Model(inputs, L.Dense(4)(L.Concatenate()(ends)))


def both_ways() -> Any:
    inputs = x = keras.Input((3, 3))
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="mul")(x)
    x = L.Bidirectional(L.SimpleRNN(4, return_sequences=True), merge_mode="ave")(x)
    x = L.Bidirectional(L.GRU(3), merge_mode="sum", backward_layer=L.LSTM(3, go_backwards=True))(x)
    return keras.Model(inputs, L.Dense(4)(x))


def upsamplings() -> Any:
    inputs = keras.Input((3, 4, 3))
    x = L.UpSampling2D((3, 2))(L.Conv2D(4, 1, activation="tanh")(inputs))
    x = L.UpSampling2D((1, 2))(L.Conv2D(4, 2, activation="tanh")(x))
    x = L.UpSampling1D(3)(L.Conv1D(3, 5, strides=4)(L.Reshape((-1, 4))(x)))
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def embeddings() -> Any:
    inputs = keras.Input((7,), dtype="int32")
    x = L.GRU(6, recurrent_activation="hard_sigmoid")(L.Embedding(10, 5)(inputs))
    return keras.Model(inputs, L.Dense(4)(x))


def shared_layers() -> Any:
    inputs = keras.Input((12,))
    twice = L.Dense(6, activation="tanh", name="twice")
    x = twice(inputs)
    x = L.Add()([x, L.Activation("sigmoid")(twice(L.Concatenate()([x, x])))])
    return keras.Model(inputs, L.Dense(4)(x))


def ends_in_softmax_layer() -> Any:
    return keras.Sequential([keras.Input((12,)), L.Dropout(0.0), L.Dense(4), L.Softmax()])


MODELS = [
    convolutions,
    dilated_and_grouped_convolutions,
    sequences,
    layer_norms,
    depthwise_convolutions,
    batch_norms,
    poolings,
    merges,
    activations,
    smooth_activations,
    more_activations,
    more_merges,
    separable_and_group_norms,
    recurrences,
    both_ways,
    upsamplings,
    embeddings,
    shared_layers,
    ends_in_softmax_layer,
]


@dataclass(frozen=True)
class Case:
    """An exported model with the batch that it is tried on."""

    build: Callable[[], Any]
    bundle: Bundle
    x: np.ndarray
    y: np.ndarray

    def judge(self, samples: int) -> Judge:
        """What Keras makes of one step on the first ``samples``."""
        before = self.bundle.initial()
        batches = [(self.x[:samples], self.y[:samples])]
        exact, rounded = (
            keras_steps(self.build, dtype, before, batches, keras.optimizers.SGD(RATE))
            for dtype in ("float64", "float32")
        )
        return Judge(before, exact, rounded)

    def inference(self) -> np.ndarray:
        """Probabilities by Keras."""
        model = build_in("float32", self.build)
        for path, variable in weights_by_path(model).items():
            variable.assign(self.bundle.initial()[path])
        output = model(self.x, training=False)
        ends = self.build in (activations, ends_in_softmax_layer)
        return np.asarray(output if ends else keras.ops.softmax(output))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, once: Once) -> Callable[[Callable[[], Any]], Case]:
    """Export each model once, in whatever order the tests come."""
    return lambda build: once(build, lambda: export_case(build, tmp_path_factory.mktemp(build.__name__) / "b"))


def export_case(build: Callable[[], Any], target: Path) -> Case:
    model = build_in("float32", build)
    for path, variable in weights_by_path(model).items():
        if path.endswith(("moving_mean", "moving_variance", "gamma", "beta", "bias")):
            noise = np.random.default_rng(len(path)).uniform(-0.2, 0.2, variable.shape)
            variable.assign(variable.numpy() + noise)
    bundle = export(model, target, batch_size=BATCH, optimizer=Sgd(), measure=False)
    x = np.random.default_rng(1).normal(size=(BATCH, *model.input_shape[1:])).astype(np.float32)
    if build is poolings:
        x = np.round(x)
    if build is embeddings:
        x = np.floor(np.abs(x) * 5).clip(0, 9)
    return Case(build, bundle, x, (np.arange(BATCH) % 4).astype(np.int32))


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def case(request: pytest.FixtureRequest, exported: Callable[[Callable[[], Any]], Case]) -> Case:
    return exported(request.param)


@pytest.mark.parametrize("samples", [BATCH, 5])
def test_one_step_is_keras_s(case: Case, play: Play, once: Once, samples: int) -> None:
    """Also for a batch that is not full: samples of weight 0 leave no trace."""
    w = (np.arange(BATCH) < samples).astype(np.float32)
    fed = {"x": case.x, "y": case.y, "w": w, "learning_rate": np.float32(RATE)}
    step, got = play(case.bundle.read(MODEL), [("train", fed), ("get", {})])
    found = Values(float(step["loss"]), dict(zip(case.bundle.manifest.state, got.values(), strict=True)))
    once((case.build, samples), lambda: case.judge(samples)).accept(found)


def test_inference_is_keras_s(case: Case, play: Play, once: Once) -> None:
    expected = once((case.build, "inference"), case.inference)
    w = np.array([1, 1, 1, 0, 0, 0, 2, 1], np.float32)
    fed = {"x": case.x, "y": case.y, "w": w}
    inferred, scores = play(case.bundle.read(MODEL), [("infer", {"x": case.x}), ("evaluate", fed)])
    np.testing.assert_allclose(inferred["probabilities"], expected, rtol=1e-5, atol=1e-6)
    assert scores["loss"] == pytest.approx(-(w * np.log(expected[np.arange(BATCH), case.y])).sum(), rel=1e-5)
    assert scores["correct"] == (w * (expected.argmax(-1) == case.y)).sum()


def test_weights_go_in_and_out_bit_for_bit(case: Case, play: Play) -> None:
    random = np.random.default_rng(2)
    values = {
        f"v{i:04d}": random.normal(size=variable.shape).astype(np.float32)
        for i, variable in enumerate(case.bundle.manifest.variables.values())
    }
    first, _, second = play(case.bundle.read(MODEL), [("get", {}), ("set", values), ("get", {})])
    assert list(second) == list(values)
    for name, value in values.items():
        assert second[name].tobytes() == value.tobytes()
    for name, value in zip(first, case.bundle.initial().values(), strict=True):
        assert first[name].tobytes() == value.tobytes()


def test_ops_are_all_builtin(case: Case) -> None:
    content = case.bundle.read(MODEL)
    assert tflite_file.foreign_ops(content) == []
    known = {name for name in vars(schema.BuiltinOperator) if not name.startswith(("_", "CUSTOM", "STABLEHLO"))}
    assert set(tflite_file.op_counts(content)) <= known


def test_every_supported_layer_is_tried(exported: Callable[[Callable[[], Any]], Case]) -> None:
    tried = {layer.type for build in MODELS for layer in exported(build).bundle.manifest.layers}
    assert {kind.__name__ for kind in RULES} == tried


def test_documentation_lists_what_is_supported() -> None:
    layers, functions = (REPOSITORY / "docs/layers.md").read_text().split("\n## ")[1:3]
    assert re.findall(r"^\| `(\w+)` \|", layers, re.MULTILINE) == sorted(kind.__name__ for kind in RULES)
    refusal = RULES[L.Activation].refusal(L.Activation("celu"))
    named = functions.partition("\n\n")[2].partition("\n\n")[0]
    assert refusal is not None
    assert re.findall(r"`(\w+)`", named) == refusal.partition("only ")[2].split(", ")
