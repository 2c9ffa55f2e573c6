"""The beginning and the end of a run, whoever does its rounds: real devices or simulated ones."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from python_server.errors import ExperimentError, StoreError
from python_server.experiment import Experiment, parse_experiment
from python_server.model import GlobalModel, RunBundles
from python_server.run_reader import RunReader
from python_server.run_rows import RoundRow
from python_server.store import EXPERIMENT, RunStore

__all__ = ["TrainResult", "check_fit", "create_run", "load_run", "recording_the_end", "reopen_run"]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes
    ----------
    run
        The run directory.
    last
        The last round.
    """

    run: Path
    last: RoundRow


def check_fit(experiment: Experiment, model: Union[GlobalModel, RunBundles]) -> None:
    """Check an experiment against its model.

    Raises
    ------
    ExperimentError
        The bundle has no such cut as ``train.cut``, or the strategy or a group asks for what the bundles do not have.
    """
    with experiment.naming():
        try:
            model.trained(experiment.train.cut)
        except (KeyError, ValueError) as error:
            raise ExperimentError(f"train.cut: {error}") from None
        experiment.strategy.bind(model.variants, experiment.groups)


def create_run(
    experiment: Experiment, runs: Path, model: Union[GlobalModel, RunBundles], facts: Optional[Mapping[str, str]] = None
) -> RunStore:
    """Make a new run directory under ``runs``, named after the experiment and the time.

    ``facts`` are written down with it.

    Raises
    ------
    StoreError
        It cannot be made.
    """
    started = time.strftime("%Y%m%d-%H%M%S")
    info = {
        "name": experiment.name,
        "base": str(experiment.base),
        "bundle_sha256": model.sha256,
        "variants_sha256": json.dumps(_variants(model)),
        "experiment_sha256": experiment.sha256,
        "strategy": experiment.strategy_name,
        "rounds": str(experiment.rounds),
        "host": platform.platform(),
        "python": platform.python_version(),
        **(facts or {}),
    }
    for attempt in range(100):
        path = runs / (f"{experiment.name}-{started}" + (f"-{attempt + 1}" if attempt else ""))
        if not path.exists():
            return RunStore.create(path, experiment.source, info, keep=experiment.keep_weights)
    raise StoreError(f"{runs} already has a hundred runs of this second")


def reopen_run(run: Path, experiment: Experiment, model: RunBundles) -> RunStore:
    """Open an existing run to go on with it.

    Raises
    ------
    StoreError
        Its bundles are not those any more that it began with, or it is in use by another process.
    """
    with RunReader(run) as reader:
        began = {"": reader.meta.get("bundle_sha256", ""), **json.loads(reader.meta.get("variants_sha256", "{}"))}
    now = {"": model.sha256, **_variants(model)}
    paths = {"": experiment.model.bundle, **{each.name: each.bundle for each in experiment.variants}}
    for name, sha256 in began.items():
        if sha256 and now.get(name) != sha256:
            raise StoreError(
                f"{paths[name]} is another bundle than {run} began with; put that one back ({sha256[:12]}...), or "
                "begin a new run"
            )
    return RunStore.open(run, keep=experiment.keep_weights)


def _variants(model: Union[GlobalModel, RunBundles]) -> dict[str, str]:
    """Return the hashes of the variants' bundles by name."""
    return {name: variant.sha256 for name, variant in model.variants.items() if name}


def load_run(run: Path, *, simulated: bool = False) -> Experiment:
    """Return the experiment of an existing run, as it was when the run was made.

    Parameters
    ----------
    run
        The run directory.
    simulated
        Whether it has to be a run of simulated devices, or of real ones.

    Raises
    ------
    StoreError
        It is not a run directory, or one of the other kind.
    ExperimentError
        The experiment in it is damaged.
    """
    with RunReader(run) as reader:
        base = Path(reader.meta.get("base", str(run)))
        mode = reader.meta.get("mode")
    if (mode == "simulated") is not simulated:
        kind, command = ("real", "train") if simulated else ("simulated", "simulate")
        raise StoreError(f"{run} is a run of {kind} devices; go on with it by: pocketfleet {command} --resume {run}")
    source = (run / EXPERIMENT).read_bytes()
    return parse_experiment(source, base, str(run / EXPERIMENT))


@contextlib.contextmanager
def recording_the_end(store: RunStore) -> Iterator[None]:
    """Note in the run how it ended, where the disk still takes it."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(StoreError):
            store.finish("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
