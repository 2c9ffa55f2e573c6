"""Make what the Java tests work on: bundles, good and bad, data, and what the Python side computes from them.

``python -m android_app.test_data.make OUTPUT``, from the project's root; the build does it. Nothing is done where the
output is newer than this file and the Python code behind it.

=====================  =================================================================================
``whole``              a CNN that trains whole or from the cut ``conv-2``, with momentum and weight decay
``norm``               a CNN with batch norm and a proximal term
``compressed``         a CNN that is pruned and clustered
``adam``               a CNN under Adam
``recurrent``          an LSTM that reads the rows both ways, then a dense layer that is used twice
``narrow*``            arrays in narrow formats, and ``narrow-dense.safetensors`` what they hold
``codec-*``            weights and what they were before; ``codec-<codec>`` the wire's bytes of the difference
``head``               a dense head with dropout, momentum and a proximal term on a frozen base; signed
``head.zip``           the same; ``trusted.pem`` signed it, ``other.pem`` did not
``unsigned.zip``       ``whole``
``newer.zip``          signed, of a later format
``altered-*.zip``      signed, then changed: the model, the manifest, the signature
``*-entry.zip``        zips that no bundle makes: a path, a file twice, a file that unpacks to more than it says
``digits*.npz``        77 images of digits: 5 batches of 16, the last one not full
``permutations.txt``   seed, epoch, count, CRC-32 of NumPy's permutation as little-endian int32
``cases.json``         what to train; ``<case>.safetensors`` holds the weights after 20 steps
=====================  =================================================================================
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAMP = "made-from.txt"

CASES: dict[str, dict[str, Any]] = {
    "whole": {"bundle": "whole", "cut": "", "seed": 1, "mu": 0.0, "learning_rate": 0.05},
    "cut": {"bundle": "whole", "cut": "conv-2", "seed": 2**33 + 5, "mu": 0.0, "learning_rate": 0.05},
    "norm": {"bundle": "norm", "cut": "", "seed": 2, "mu": 0.1, "learning_rate": 0.05},
    "compressed": {"bundle": "compressed", "cut": "", "seed": 4, "mu": 0.0, "learning_rate": 0.05},
    "adam": {"bundle": "adam", "cut": "", "seed": 5, "mu": 0.0, "learning_rate": 0.005},
    "recurrent": {"bundle": "recurrent", "cut": "", "seed": 6, "mu": 0.0, "learning_rate": 0.1},
    "head": {"bundle": "head", "cut": "", "seed": 3, "mu": 0.5, "learning_rate": 0.1},
}
"""Training that Java and Python have to do alike: 4 epochs of 5 steps."""

EPOCHS = 4
SAMPLES = 77
CODECS = ("float32", "float16", "bfloat16", "int8", "clusters2", "clusters16", "clusters256")


def main(output: Path) -> None:
    """Make everything, unless it is up to date."""
    stamp = _sources_hash()
    if (output / STAMP).exists() and (output / STAMP).read_text() == stamp:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _make_data(part)
    _make_permutations(part)
    _make_bundles(part)
    _make_narrow_arrays(part)
    _make_coded_weights(part)
    _make_bad_bundles(part)
    _train(part)
    (part / STAMP).write_text(stamp)
    shutil.rmtree(output, ignore_errors=True)
    os.replace(part, output)


def _sources_hash() -> str:
    sources = [Path(__file__), *(ROOT / "edge_client").glob("*.py"), *(ROOT / "model_export").rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(sources):
        if not path.name.endswith("_test.py"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _make_data(output: Path) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:SAMPLES]
    x = np.round(digits.images[order] * (255 / 16)).astype(np.uint8)[..., None]
    y = digits.target[order]
    np.savez(output / "digits.npz", x=x, y=y.astype(np.int32))
    np.savez_compressed(output / "digits_deflated.npz", x=x, y=y.astype(np.uint8))
    np.savez(output / "digits_float64.npz", x=x / 255, y=y.astype(">i8"))
    np.savez(output / "digits_label.npz", x=x, y=np.where(np.arange(SAMPLES) == 7, 10, y))
    np.savez(output / "digits_nan.npz", x=np.where(np.arange(SAMPLES) == 7, np.nan, x.T).T.astype(np.float32), y=y)
    np.savez(output / "digits_shape.npz", x=x[:, :7], y=y)
    np.savez(output / "digits_empty.npz", x=x[:0], y=y[:0])
    np.savez(output / "digits_short.npz", x=x, y=y[1:])
    np.savez(output / "digits_no_y.npz", x=x)
    np.savez(output / "digits_float_y.npz", x=x, y=y.astype(float))
    np.savez(output / "digits_int_x.npz", x=x.astype(np.int16), y=y)


def _make_permutations(output: Path) -> None:
    import numpy as np

    seeds = (0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**53 + 3, 2**63 - 1)
    counts = (1, 2, 3, 16, 77, 1000, 2**16 + 1, 100_003)
    with open(output / "permutations.txt", "w") as file:
        for seed in seeds:
            for epoch in (0, 1, 50):
                for count in counts:
                    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)
                    file.write(f"{seed} {epoch} {count} {zlib.crc32(order.astype('<i4').tobytes())}\n")


def _make_bundles(output: Path) -> None:
    import keras

    from model_export import Adam, Bundle, Sgd, export
    from model_export.compression import Cluster, Compression, Prune
    from model_export.signing import load_or_create_key, public_key
    from model_export.zoo.small_cnn import small_cnn

    layers = keras.layers
    keras.utils.set_random_seed(1)
    whole = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv-2"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, name="logits"),
        ],
        name="whole",
    )
    optimizer = Sgd(momentum=0.9, weight_decay=1e-3)
    export(whole, output / "whole", batch_size=16, cuts=("conv-2",), optimizer=optimizer, input_scale=1 / 255)
    norm = small_cnn((8, 8, 1), 10, filters=(8, 16))
    optimizer = Sgd(momentum=0.9, proximal=True)
    scaling = {"input_scale": 1 / 127.5, "input_offset": -1}
    export(norm, output / "norm", batch_size=16, name="norm", optimizer=optimizer, measure=False, **scaling)
    compression = Compression(prune=Prune(0.5), cluster=Cluster(16))
    export(whole, output / "compressed", batch_size=16, compression=compression, input_scale=1 / 255, measure=False)
    # The small epsilon of the default makes much of gradients that are nothing but rounding.
    adam = Adam(epsilon=1e-3, amsgrad=True, weight_decay=1e-3, clip_norm=1.0)
    export(whole, output / "adam", batch_size=16, name="adam", optimizer=adam, input_scale=1 / 255, measure=False)
    inputs = keras.Input((8, 8, 1))
    x = layers.Bidirectional(layers.LSTM(6), name="both")(layers.Reshape((8, 8), name="rows")(inputs))
    shared = layers.Dense(12, activation="gelu", name="shared")
    recurrent = keras.Model(inputs, layers.Dense(10, name="logits")(shared(shared(x))), name="recurrent")
    momentum = Sgd(momentum=0.9)
    export(recurrent, output / "recurrent", batch_size=16, optimizer=momentum, input_scale=1 / 255, measure=False)
    head = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ],
        name="head",
    )
    trusted, other = (load_or_create_key(output / f"{name}-private.pem") for name in ("trusted", "other"))
    (output / "trusted.pem").write_bytes(public_key(trusted))
    (output / "other.pem").write_bytes(public_key(other))
    export(
        head,
        output / "head",
        batch_size=16,
        trainable="head",
        optimizer=Sgd(momentum=0.9, nesterov=True, proximal=True),
        input_scale=1 / 255,
        measure=False,
        signing_key=trusted,
    )
    Bundle.load(output / "head").to_zip(output / "head.zip")
    Bundle.load(output / "whole").to_zip(output / "unsigned.zip")


def _make_narrow_arrays(output: Path) -> None:
    import numpy as np

    from model_export import formats, tensors

    random = np.random.default_rng(0)
    stored: dict[str, Any] = {}
    dense = {}
    for format in formats.FORMATS:
        array = (random.normal(size=(3, 5, 7)) * np.exp(random.uniform(-20, 5, (3, 5, 7)))).astype(np.float32)
        array[0, 0, :3] = 0, -0.0, 70_000 if format in formats.FLOATS else 0
        mask = random.random(array.shape) < 0.3
        codebook = np.sort(random.normal(size=11)).astype(np.float32)
        indices = random.integers(0, 11, (3, 5, 7))
        ways: dict[str, Any] = {"plain": (array, {}), "masked": (array * mask, {"mask": mask})}
        if format in formats.INTEGERS:
            ways["channels"] = (array, {"per_channel": True})
        else:
            ways["looked:up"] = (array, {"codebook": codebook, "indices": indices})
        for way, (value, options) in ways.items():
            parts = formats.encode(value, format, **options)
            stored.update({f"{format}/{way}{':' + part if part else ''}": data for part, data in parts.items()})
            dense[f"{format}/{way}"] = formats.decode(parts, value.shape)
    tensors.save(output / "narrow.safetensors", stored)
    tensors.save(output / "narrow-dense.safetensors", dense)


def _make_coded_weights(output: Path) -> None:
    import numpy as np

    from model_export import codecs, tensors

    random = np.random.default_rng(1)
    kernel = (random.normal(size=(3, 3, 5, 8)) * np.exp(random.uniform(-30, 9, (3, 3, 5, 8)))).astype(np.float32)
    # Rounding at its corners: ties, subnormal halves, both zeros, the largest half, what rounds up to infinity.
    corners = [0.0, -0.0, 1 + 2**-11, 1 + 3 * 2**-11, 2**-24, 2**-25, 3 * 2**-25, -(2**-15), 65504, 65519, 65520, -1e6]
    edge = np.array([*corners, 1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, 1e-40], np.float32).reshape(4, 4)
    weights = {
        "conv/kernel": kernel,
        "edge/kernel": edge,
        "same/kernel": np.full((3, 2), 0.25, np.float32),
        "none/kernel": np.zeros((0, 4), np.float32),
        "conv/bias": random.normal(size=5).astype(np.float32),
        "seed/state": np.array([[1, 2]], np.int32),
    }
    base = {"conv/kernel": np.float32(0.9) * kernel, "conv/bias": weights["conv/bias"]}
    tensors.save(output / "codec-weights.safetensors", weights)
    tensors.save(output / "codec-base.safetensors", base)
    specs = {path: (value.shape, value.dtype.name) for path, value in weights.items()}
    for codec in CODECS:
        with np.errstate(over="ignore"):
            stored = codecs.encode(weights, codec, base)
        tensors.save(output / f"codec-{codec}.safetensors", stored)
        tensors.save(output / f"codec-{codec}-decoded.safetensors", codecs.decode(stored, specs))


def _make_bad_bundles(output: Path) -> None:
    from model_export.bundle import MANIFEST, MODEL, SIGNATURE, Bundle
    from model_export.manifest import FORMAT
    from model_export.signing import sign

    bundle = Bundle.load(output / "head")
    trusted = (output / "trusted-private.pem").read_bytes()
    good = {path.name: path.read_bytes() for path in sorted((output / "head").iterdir())}
    later = dataclasses.replace(bundle.manifest, format=FORMAT + 1).to_json()
    later = later.replace(b'"name": "head"', b'"name": "head",\n "what_came_later": []')
    model = bytearray(good[MODEL])
    model[len(model) // 2] ^= 1
    signature = json.loads(good[SIGNATURE])
    signature["signature"] = json.loads(sign(b"something else", trusted))["signature"]
    changed: dict[str, dict[str, bytes]] = {
        "newer": {MANIFEST: later, SIGNATURE: sign(later, trusted)},
        "altered-model": {MODEL: bytes(model)},
        "altered-manifest": {MANIFEST: good[MANIFEST].replace(b'"batch_size": 16', b'"batch_size": 17')},
        "altered-signature": {SIGNATURE: json.dumps(signature).encode()},
    }
    for name, files in changed.items():
        _write_zip(output / f"{name}.zip", {**good, **files}.items())
    _write_zip(output / "path-entry.zip", [*good.items(), ("../escaped.txt", b"out")])
    _write_zip(output / "twice-entry.zip", [*good.items(), (MODEL, good[MODEL])])
    _write_zip(output / "unlisted-entry.zip", [*good.items(), ("more.tflite", b"unsigned")])
    _write_zip(output / "large-entry.zip", {**good, MODEL: good[MODEL] + bytes(64 << 20)}.items())


def _write_zip(path: Path, entries: Any) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.filterwarnings("ignore", message="Duplicate name")
        for name, data in entries:
            archive.writestr(name, data)


def _cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, case in CASES.items():
        yield name, {**case, "epochs": EPOCHS, "data": "digits.npz"}


def _train(output: Path) -> None:
    from edge_client import Trainer
    from edge_client.data import load_dataset
    from model_export import tensors

    results = {}
    for name, case in _cases():
        trainer = Trainer(output / case["bundle"], num_threads=1)
        manifest = trainer.manifest
        data = load_dataset(output / case["data"], manifest.input, manifest.classes)
        fitted = trainer.fit(
            data,
            case["epochs"],
            learning_rate=case["learning_rate"],
            cut=case["cut"],
            mu=case["mu"],
            seed=case["seed"],
        )
        tensors.save(output / f"{name}.safetensors", trainer.weights())
        loss, accuracy = trainer.evaluate(data.x, data.y)
        results[name] = {
            **case,
            "steps": fitted.steps,
            "loss": fitted.loss,
            "eval_loss": loss,
            "eval_accuracy": accuracy,
            "trained": list(trainer.trained(case["cut"])),
        }
    (output / "cases.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
