"""Time and memory of one training step of a whole network: our exported file beside four other frameworks.

A step is forward, backward and plain SGD on one batch of random images, with batch norm in training mode and every
parameter trained. The peers are our file on each TensorFlow Lite runtime, Keras as a ``tf.function`` (no XLA), PyTorch
(eager, the better of two memory layouts), ONNX Runtime Training and MNN. The last three want a Python of their own::

    python3.11 -m venv peers
    peers/bin/pip install torch onnxruntime-training "onnx<1.18" onnxscript cerberus h5py MNN
    .venv/bin/python benchmarks/training_step.py --peers peers/bin/python --legacy .venv-legacy/bin/python

A peer that cannot be run is reported as absent, with the reason. Every measurement is a process of its own; peers take
turns, so that other work on the machine hits all; the best median of the rounds counts. Memory is the highest resident
memory of the process, and beside it what it had after its imports. ``changed`` is the share of variables and moving
statistics that one more step changes, ``loss`` the first and the last one: both tell of a peer that drops gradients.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from step_peers.networks import NETWORKS

HERE = Path(__file__).resolve().parent / "step_peers"

TIMEOUT_S = 150


@dataclass(frozen=True)
class Peer:
    """A framework: the Python that runs it, the script in ``step_peers``, and the script's further arguments."""

    python: str
    script: str
    arguments: tuple[str, ...] = ()


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure, print a table in Markdown, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="Python with PyTorch, ONNX Runtime Training and MNN")
    parser.add_argument("--legacy", metavar="PYTHON", help="Python with tflite-runtime 2.14")
    parser.add_argument("--peers-only", action="store_true", help="leave our own file out")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each peer (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=15, help="timed steps of a process (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for them (default: %(default)s)")
    parser.add_argument("--prefix", type=shlex.split, default=[], help='before each command, as "chrt -r 10"')
    parser.add_argument("--folder", type=Path, help="keep the exported models here, and use those that are there")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args(arguments)
    found: dict[str, list[dict[str, Any]]] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        ready = peers(options)
        prepare(ready, absent, options.networks, folder)
        for number in range(options.rounds):
            for network in options.networks:
                for threads in options.threads:
                    for name, peer in ready.items():
                        key = f"{network} {threads} {name}"
                        if name in absent or f"{network} {name}" in absent:
                            continue
                        settings = [network, str(threads), str(options.steps), str(options.limit), str(folder)]
                        try:
                            figures = run(peer, settings, options.prefix)
                        except PeerError as error:
                            absent[f"{network} {name}"] = str(error)
                            continue
                        found.setdefault(key, []).append(figures)
                        print(f"round {number + 1}: {key}: {figures['median_ms']:.0f} ms", file=sys.stderr)
            if options.json:
                results = {key: best(values) for key, values in found.items()}
                options.json.write_text(json.dumps({"results": results, "absent": absent, "runs": found}, indent=1))
    print(markdown({key: best(values) for key, values in found.items()}, absent, options.networks, options.threads))
    return 0


class PeerError(RuntimeError):
    """A peer did not run to its end."""


def peers(options: argparse.Namespace) -> dict[str, Peer]:
    """Return the peers that the options ask for."""
    chosen = {"Keras": Peer(sys.executable, "keras_step.py")}
    if not options.peers_only:
        chosen["ours, LiteRT"] = Peer(sys.executable, "litert.py")
        if options.legacy:
            chosen["ours, tflite-runtime"] = Peer(options.legacy, "litert.py")
    if options.peers:
        chosen["PyTorch"] = Peer(options.peers, "torch_step.py", ("first",))
        chosen["PyTorch, channels last"] = Peer(options.peers, "torch_step.py", ("last",))
        chosen["ONNX Runtime"] = Peer(options.peers, "onnxruntime_step.py")
        chosen["MNN"] = Peer(options.peers, "mnn_step.py")
    return chosen


def prepare(chosen: Mapping[str, Peer], absent: dict[str, str], networks: Sequence[str], folder: Path) -> None:
    """Export what peers need to the folder, and note what is absent in ``absent``."""
    for network in networks:
        case = NETWORKS[network]
        bundle, artifacts = folder / f"{network}.bundle", folder / f"{network}.ort"
        if "ours, LiteRT" in chosen and not bundle.exists():
            command = [sys.executable, "-m", "python_server.cli", "export", case.architecture, "--classes", "10"]
            command += ["--input", f"{case.side}x{case.side}x3", "--batch", str(case.batch)]
            command += ["--no-sign", "--no-measure"]
            command += ["--option", "alpha=0.35"] if case.architecture == "mobilenet_v2" else []
            call([*command, "-o", str(bundle)])
        if "ONNX Runtime" in chosen and not (artifacts / "parameters.json").exists():
            python = chosen["ONNX Runtime"].python
            try:
                call([python, str(HERE / "onnxruntime_artifacts.py"), network, str(folder)])
            except PeerError as error:
                absent[f"{network} ONNX Runtime"] = str(error)


def run(peer: Peer, settings: Sequence[str], prefix: Sequence[str]) -> dict[str, Any]:
    """Run a peer's process and return the figures on its last line."""
    output = call([*prefix, peer.python, str(HERE / peer.script), *settings, *peer.arguments], settings[1])
    figures: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return figures


def call(command: Sequence[str], threads: str = "2") -> str:
    """Run a command and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=HERE.parent.parent, env=environment, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"not done within {TIMEOUT_S} s") from None
    except OSError as error:
        raise PeerError(str(error)) from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise PeerError(lines[-1][:300] if lines else f"exit status {done.returncode}")
    return done.stdout


def best(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the run with the lowest median."""
    return dict(min(runs, key=lambda figures: float(figures["median_ms"])))


def markdown(
    results: Mapping[str, Mapping[str, Any]], absent: Mapping[str, str], networks: Sequence[str], threads: Sequence[int]
) -> str:
    """Write the table; the ratio of a peer is its time over that of another one."""
    rivals = ("Keras", "ONNX Runtime", "MNN")
    lines = [
        "| network | threads | peer | ms, median | ms, least | MB, peak | MB, imports | "
        + " | ".join(f"÷ {rival}" for rival in rivals)
        + " | parameters | changed | loss |",
        "|---|" + "---:|" + "---|" + "---:|" * (7 + len(rivals)),
    ]
    for network in networks:
        for count in threads:
            start = f"{network} {count} "
            rows = {key[len(start) :]: figures for key, figures in results.items() if key.startswith(start)}
            for name, figures in rows.items():
                ratios = [
                    f"{figures['median_ms'] / rows[rival]['median_ms']:.2f}" if rival in rows else "–"
                    for rival in rivals
                ]
                cells = [network, str(count), name, f"{figures['median_ms']:.1f}", f"{figures['minimum_ms']:.1f}"]
                cells += [f"{figures[key] * 1024 / 1e6:.0f}" for key in ("peak_kib", "imports_kib")]
                cells += [*ratios, str(figures["parameters"]), f"{figures['changed']:.0%}"]
                cells.append(f"{figures['first_loss']:.3f} to {figures['last_loss']:.3f}")
                lines.append("| " + " | ".join(cells) + " |")
    lines += [f"\nAbsent: {key}: {reason}" for key, reason in absent.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
