"""The beginning and the end of a run, whoever does its rounds: real devices or simulated ones."""

from __future__ import annotations

import contextlib
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

__all__ = ["TrainResult", "check_fit", "create_run", "load_run", "recording_the_end"]


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
    try:
        model.trained(experiment.train.cut)
    except (KeyError, ValueError) as error:
        raise ExperimentError(f"train.cut: {error}") from None
    experiment.strategy.bind(model.variants, experiment.groups)


def create_run(
    experiment: Experiment, runs: Path, model: GlobalModel, facts: Optional[Mapping[str, str]] = None
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


def load_run(run: Path) -> Experiment:
    """Return the experiment of an existing run, as it was when the run was made.

    Raises
    ------
    StoreError
        It is not a run directory.
    ExperimentError
        The experiment in it is damaged.
    """
    with RunReader(run) as reader:
        base = Path(reader.meta.get("base", str(run)))
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
