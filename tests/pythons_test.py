"""The client on the oldest and the newest Python that it supports, in an environment with what it needs and no more."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.trainer import Trainer
from tests.interpreters import find_interpreter

if TYPE_CHECKING:
    from conftest import Digits

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import json, sys
import numpy as np
import edge_client.cli, edge_client.client, edge_client.transport.fleet
from edge_client.data import load_dataset
from edge_client.trainer import Trainer
from edge_client.worker import Worker
bundle, data, out = sys.argv[1:]
trainer = Trainer(bundle, num_threads=1)
dataset = load_dataset(data, trainer.manifest.input, trainer.manifest.classes)
result = trainer.fit(dataset, 2, learning_rate=0.05, seed=3)
np.savez(out, **trainer.weights())
extra = sorted({"tensorflow", "keras", "flwr", "grpc"} & set(sys.modules))
print(json.dumps({"version": sys.version_info[:2], "loss": result.loss, "extra": extra}))
"""


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_client_trains_on(version: str, digits_bundle: Path, digits: Digits, tmp_path: Path) -> None:
    interpreter = find_interpreter(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine: install it to test the client on it")
    subprocess.run([interpreter, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}[edge]"]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    data = digits.save(tmp_path / "d.npz", slice(0, 250))
    command = [str(python), "-I", "-W", "error", "-c", CODE, str(digits_bundle), str(data), str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["version"] == [int(part) for part in version.split(".")]
    assert answer["extra"] == []
    here = Trainer(digits_bundle, num_threads=1)
    result = here.fit(Dataset(digits.x[:250], digits.y[:250], "d"), 2, learning_rate=0.05, seed=3)
    assert answer["loss"] == pytest.approx(result.loss, rel=1e-4)
    with np.load(tmp_path / "out.npz") as weights:
        # Other versions of the runtime round differently; see edge_client/trainer_test.py.
        for name, value in here.weights().items():
            np.testing.assert_allclose(weights[name], value, rtol=2e-3, atol=2e-3)
