"""The demo: a small CNN, real digits, clients of different speed. Makes the files; `train` does the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import numpy as np

from device_profiles import load_profile
from model_export.files import write_atomically
from model_export.signing import load_or_create_key, publish
from python_server.partition import iid

__all__ = ["CLIENTS", "JAVA_CLIENT", "prepare_demo"]

CLIENTS = ("workstation", "laptop", "board")
"""Names of the Python clients, and of their classes of processor, the fastest first."""
JAVA_CLIENT = "phone"
"""Name of the Java client, which runs what phones run."""

_SEED = 1
_TEST_SHARE = 0.2
_EXPERIMENT = """\
# Written by `pocketfleet demo`; run it again with: pocketfleet train {file}
name = "digits"
rounds = {rounds}
seed = {seed}

[model]
bundle = "bundle"
trusted_key = "{trusted}"    # who has to have signed it

[data]
test = "test.npz"            # the server's own test data; clients never see it

[train]
epochs = 2
learning_rate = 0.05

# The board is the slowest: after a tenth of a second it sends what it has.
[strategy]
name = "processor_cutoff"
cutoff_s = {{ board = 0.1 }}

[server]
port = 0                     # any free one
min_clients = {count}
round_deadline_s = 60

# Processes on this machine that play the devices, the slower the nicer.
{clients}"""


def prepare_demo(
    folder: Path,
    *,
    rounds: int = 5,
    java_client: Optional[Path] = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Path:
    """Write data, bundle and experiment file of the demo.

    The digits are those of scikit-learn: 1,797 grey images of 8 by 8 pixels, a fifth of them held out.

    Parameters
    ----------
    folder
        Where to; made if it is not there. What an earlier demo left in it is replaced.
    rounds
        Rounds of the experiment.
    java_client
        The Java client's jar; with it, a Java client takes part, too.
    progress
        Hears what is being done.

    Returns
    -------
    Path
        The experiment file.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    from sklearn.datasets import load_digits

    from model_export import Sgd, export
    from model_export.zoo import ARCHITECTURES, build

    folder.mkdir(parents=True, exist_ok=True)
    progress("cutting the digits into clients")
    digits = load_digits()
    x = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    y = digits.target.astype(np.int32)
    order = np.random.default_rng(_SEED).permutation(len(x))
    held_out = int(_TEST_SHARE * len(x))
    test, train = order[:held_out], order[held_out:]
    np.savez(folder / "test.npz", x=x[test], y=y[test])
    names = (JAVA_CLIENT, *CLIENTS) if java_client else CLIENTS
    for name, rows in zip(names, iid(len(train), len(names), seed=_SEED)):
        np.savez(folder / f"{name}.npz", x=x[train[rows]], y=y[train[rows]])
    progress("exporting a CNN as a trainable TensorFlow Lite model")
    _seed_keras()
    private_key = folder / "signing_key.pem"
    signing_key = load_or_create_key(private_key)
    architecture = ARCHITECTURES["small_cnn"]
    export(
        build("small_cnn", (8, 8, 1), 10),
        folder / "bundle",
        batch_size=16,
        optimizer=Sgd(momentum=0.9),
        input_scale=architecture.input_scale,
        input_offset=architecture.input_offset,
        signing_key=signing_key,
        overwrite=True,
        measure=False,
        progress=lambda stage: progress(f"export: {stage}"),
    )
    file = folder / "experiment.toml"
    text = _EXPERIMENT.format(
        file=file,
        rounds=rounds,
        seed=_SEED,
        trusted=publish(private_key).name,
        count=len(names),
        clients=_client_tables(names, java_client),
    )
    write_atomically(file, text.encode())
    return file


def _client_tables(names: tuple[str, ...], java_client: Optional[Path]) -> str:
    power = load_profile("generic").power
    tables = []
    for name in names:
        nice = 9 * CLIENTS.index(name) if name in CLIENTS else 0
        table = f'[[clients]]\nname = "{name}"\nprocessor = "{name}"\ndata = "{name}.npz"\nthreads = 1\nnice = {nice}\n'
        if name == JAVA_CLIENT:
            watts = ["--power-idle-w", str(power.idle_w), "--power-active-w", str(power.busy_w_per_core)]
            table += f"command = {json.dumps(['java', '-jar', str(java_client)])}\nextra = {json.dumps(watts)}\n"
        tables.append(table)
    return "\n".join(tables)


def _seed_keras() -> None:
    import keras

    keras.utils.set_random_seed(_SEED)
