"""Memory and time of training steps, each signature measured in a process of its own. Needs no TensorFlow.

An interpreter keeps the buffers of every signature that it ran, and TensorFlow fills the memory of a process that
exports; so a figure for one signature takes a fresh process::

    python -m model_export.measure MODEL.tflite INPUTS.json SIGNATURE THREADS

``INPUTS.json`` maps each input of the signature to ``[shape, dtype]``. The process prints one JSON object:
``runtime``, ``loaded_bytes``, ``memory_bytes`` and ``step_ms``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_export.costs import Measured, Measurement
from model_export.errors import ExportError
from model_export.manifest import Signature

__all__ = ["machine", "measure", "measure_signature"]

_ROOT = Path(__file__).resolve().parent.parent

# After a first step that plans memory and packs weights: enough for a median, and a slow network does not take minutes.
_FEWEST_STEPS, _MOST_STEPS, _ENOUGH_S = 3, 25, 0.5
_LIMIT_S = 600


def measure(content: bytes, signatures: Mapping[str, Signature], names: Sequence[str], threads: int = 1) -> Measurement:
    """Measure training signatures of a model.

    Parameters
    ----------
    content
        The ``.tflite`` file.
    signatures
        The manifest's entries of its signatures.
    names
        Which of them to measure.
    threads
        Threads of the runtime.

    Raises
    ------
    ExportError
        A process failed; the message says how to export without.
    """
    runtime, loaded, found = "", 0, {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"
        model.write_bytes(content)
        for name in names:
            result = measure_signature(model, signatures[name], name, threads)
            runtime, loaded = result["runtime"], result["loaded_bytes"]
            found[name] = Measured(result["memory_bytes"], result["step_ms"])
    return Measurement(runtime, threads, machine(), loaded, found)


def measure_signature(
    model: Path, signature: Signature, name: str, threads: int, python: str = sys.executable
) -> dict[str, Any]:
    """Measure one signature with the runtime that ``python`` has; return what the process printed.

    Raises
    ------
    ExportError
        The process failed.
    """
    inputs = model.with_name("inputs.json")
    inputs.write_text(json.dumps({key: [spec.shape, spec.dtype] for key, spec in signature.inputs.items()}))
    command = [python, "-m", "model_export.measure", str(model), str(inputs), name, str(threads)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=_LIMIT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        problem = f"no step ended within {_LIMIT_S} s"
    else:
        if done.returncode == 0:
            return dict(json.loads(done.stdout.splitlines()[-1]))
        problem = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise ExportError(
        f"cannot measure a step of {name}: {problem}; export without measuring (measure=False, --no-measure)"
    )


def machine() -> str:
    """Name the processor, and how many of it there are."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return ", ".join(filter(None, [platform.machine(), model, f"{os.cpu_count() or 1} processors"]))


def _main() -> None:
    model, inputs, name, threads = sys.argv[1:]
    from model_export.runner import SignatureRunner, runtime_name

    with open(inputs, encoding="utf-8") as file:
        specs = json.load(file)
    random = np.random.default_rng(0)
    fed = {key: _value(key, tuple(shape), dtype, random) for key, (shape, dtype) in specs.items()}
    runtime = runtime_name()
    content = Path(model).read_bytes()
    # The file's bytes are part of what a client holds, but they are here already.
    before = _start_of_peak() - len(content)
    run = SignatureRunner(content, int(threads))
    loaded = max(_peak() - before, len(content))
    run(name, **fed)
    times: list[float] = []
    while len(times) < _FEWEST_STEPS or (sum(times) < _ENOUGH_S and len(times) < _MOST_STEPS):
        began = time.perf_counter()
        run(name, **fed)
        times.append(time.perf_counter() - began)
    found = {"memory_bytes": max(_peak() - before, loaded), "step_ms": 1e3 * statistics.median(times)}
    print(json.dumps({"runtime": runtime, "loaded_bytes": loaded, **found}))


def _value(name: str, shape: tuple[int, ...], dtype: str, random: np.random.Generator) -> Any:
    """Make an input; the learning rate is zero, so that no step depends on those before it."""
    if name == "w":
        return np.ones(shape, dtype)
    if not shape or dtype.startswith("int"):
        return np.zeros(shape, dtype)
    return random.normal(0, 1, shape).astype(dtype)


def _start_of_peak() -> int:
    """Resident bytes now; from here on counts the peak, where the system lets it be reset."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> int:
    """Highest resident bytes of this process."""
    try:
        return _status("VmHWM")
    except OSError:
        import resource

        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(highest) * (1 if sys.platform == "darwin" else 1024)


def _status(key: str) -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(f"{key}:"))


if __name__ == "__main__":
    _main()
