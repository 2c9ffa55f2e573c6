"""How fast a device is with a bundle, and what power it draws: the figures that plans are made of.

Steps are timed in blocks, and a figure is the median of the blocks' means: a step that the system interrupts now and
then, by a quota of processor time for one, costs what it costs on average, and one bad second does not count.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from edge_client.calibration import Calibration, PowerSample, Timing
from edge_client.conditions import build, governor, temperature_c
from edge_client.energy import AUTO, EnergyMeter, find_meter
from edge_client.errors import SettingsError
from edge_client.runtime import default_threads
from edge_client.trainer import Trainer
from model_export.bundle import Bundle
from model_export.errors import BundleError

__all__ = ["calibrate", "sample_batch", "stepper", "timed"]

_BLOCKS = 5
_IDLE_SHARE = 0.5


def calibrate(
    bundle: Path,
    *,
    threads: Optional[int] = None,
    thread_counts: Iterable[int] = (),
    profile: str = "generic",
    source: str = AUTO,
    seconds: float = 2.0,
    trusted_key: Optional[bytes] = None,
    say: Callable[[str], None] = lambda line: None,
    make_trainer: Callable[..., Trainer] = Trainer,
    meter: Optional[EnergyMeter] = None,
    root: Path = Path("/"),
) -> Calibration:
    """Measure steps, transfers of weights, evaluation and power.

    Parameters
    ----------
    bundle
        A bundle, directory or zip. Its weights stay as they are: steps have a learning rate of zero.
    threads
        Threads that the client will train with; None takes what is fastest, as the client does.
    thread_counts
        Further numbers of threads to measure power at.
    profile, source
        Device profile, and which of its energy sources to read; see `edge_client.energy.find_meter`.
    seconds
        For each figure, at least; a tenth of it for small ones.
    trusted_key
        PEM of the public key that must have signed the bundle.
    say
        Told what is being measured.
    make_trainer, meter, root
        What trains and measures, and where ``sys`` is, where these are not the usual.

    Raises
    ------
    SettingsError
        ``seconds`` is no length of time, or the bundle does not train anything.
    model_export.errors.BundleError, edge_client.errors.NoRuntimeError
        The bundle cannot be used here.
    """
    if not 0 < seconds <= 600:
        raise SettingsError(f"--seconds is {seconds:g}; give more than 0 and at most 600")
    loaded = Bundle.load(bundle, trusted_key=trusted_key)
    manifest = loaded.manifest
    if not any(name.startswith("train") for name in manifest.signatures):
        raise BundleError(f"{bundle}: the bundle has no training signature, so there is nothing to calibrate")
    start_c = temperature_c(root)
    say("load")
    trainer = make_trainer(loaded, num_threads=threads)
    steps = {}
    for cut in ("", *manifest.cuts):
        say(f"steps of {trainer.train_signature(cut)}")
        steps[cut] = timed(stepper(trainer, cut), seconds)
    x, y = sample_batch(trainer)
    features = None
    if trainer.has_features:
        say("features of the frozen base")
        features = timed(lambda: trainer.features(x), seconds / 4)
    say("evaluation and weights")
    weights = trainer.weights()
    evaluate = timed(lambda: trainer.evaluate(x, y), seconds / 4)
    set_weights = timed(lambda: trainer.set_weights(weights), seconds / 10)
    get_weights = timed(trainer.weights, seconds / 10)
    with contextlib.ExitStack() as stack:
        if meter is None:
            meter = stack.enter_context(contextlib.closing(find_meter(profile, source=source)))
        say("power when idle")
        samples = [_power(meter, 0, lambda: time.sleep(seconds * _IDLE_SHARE))]
        for count in dict.fromkeys([threads or 0, *thread_counts]):
            say(f"power with {count or 'the usual'} threads")
            own = trainer if count == (threads or 0) else make_trainer(loaded, num_threads=count)
            step = stepper(own, "")
            step()
            work = functools.partial(_for_seconds, step, seconds)
            samples.append(_power(meter, count or default_threads(own.runtime), work))
    return Calibration(
        bundle=loaded.sha256,
        model=manifest.name,
        batch_size=manifest.batch_size,
        runtime=trainer.runtime,
        machine=platform.machine(),
        cores=os.cpu_count() or 0,
        python=platform.python_version(),
        governor=governor(),
        build=build(),
        threads=threads or 0,
        at=time.time(),
        steps=steps,
        evaluate=evaluate,
        features=features,
        set_weights=set_weights,
        get_weights=get_weights,
        power=tuple(sample for sample in samples if sample is not None),
        temperature_start_c=start_c,
        temperature_end_c=temperature_c(root),
    )


def timed(work: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Repeat something for so many seconds, after once that does not count, and say what it took.

    Parameters
    ----------
    work
        What is timed.
    seconds
        In all, at least; every block of the five does it once at least.
    clock
        Seconds.
    """
    work()
    means, count = [], 0
    for _ in range(_BLOCKS):
        began, done = clock(), 0
        while not done or clock() - began < seconds / _BLOCKS:
            work()
            done += 1
        means.append(1000 * (clock() - began) / done)
        count += done
    return Timing(statistics.median(means), min(means), max(means), count)


def sample_batch(trainer: Trainer) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch that no training data is needed for."""
    manifest = trainer.manifest
    shape, random = (manifest.batch_size, *manifest.input.shape), np.random.default_rng(0)
    if manifest.input.dtype.startswith("int"):
        x = np.zeros(shape, manifest.input.dtype)
    else:
        x = random.uniform(size=shape).astype(np.float32)
    return x, np.arange(manifest.batch_size, dtype=np.int32) % len(manifest.classes)


def stepper(trainer: Trainer, cut: str) -> Callable[[], object]:
    """Return what takes a training step from a cut on, at a learning rate of zero."""
    x, y = sample_batch(trainer)
    if trainer.has_features:
        features = trainer.features(x)
        return lambda: trainer.train_features(features, y, 0.0, cut)
    return lambda: trainer.train_step(x, y, 0.0, cut)


def _for_seconds(work: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work()


def _power(meter: EnergyMeter, threads: int, work: Callable[[], object]) -> Optional[PowerSample]:
    wall, cpu = time.monotonic(), time.process_time()
    with meter:
        work()
    wall_s, cpu_s, energy = time.monotonic() - wall, time.process_time() - cpu, meter.energy
    if energy is None:
        return None
    excluded = "; ".join(energy.flags) if energy.excluded else ""
    # Joules stand for the seconds that were seen; as much is taken for the others.
    seen = energy.coverage or 1.0
    idle_j = None if energy.idle_j is None else energy.idle_j / seen
    return PowerSample(
        threads, wall_s, cpu_s, energy.gross_j / seen, idle_j, energy.method, energy.source, energy.covers, excluded
    )
