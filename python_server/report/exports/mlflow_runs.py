"""A run as a run of MLflow: the experiment file as parameters, figures by round as metrics, the report as files."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from python_server.errors import StoreError
from python_server.report.compare import flattened
from python_server.report.exports.optional import needed
from python_server.report.exports.tensorboard import scalars
from python_server.report.figures import RunFigures, gather
from python_server.report.write import write_report
from python_server.run_reader import RunReader

__all__ = ["RUN_TAG", "to_mlflow"]

RUN_TAG = "pocketfleet.run"
"""Tag of an MLflow run that holds the id of ours and when it was made; an export replaces what has the same."""

_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_BATCH = 1000
_LONGEST_VALUE = 500


def to_mlflow(run: Path, where: str) -> str:
    """Log a run, finished or going on, to MLflow; a second time replaces the first.

    Parameters
    ----------
    run
        The run directory.
    where
        A tracking server's address or another tracking URI; or a folder, which gets the database ``mlflow.db`` and the
        files in ``artifacts`` (``mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db``).

    Returns
    -------
    The tracking URI.

    Raises
    ------
    python_server.errors.StoreError
        The run cannot be read, or MLflow does not take it.
    ImportError
        MLflow is not installed.
    """
    with RunReader(run) as reader:
        figures = gather(reader)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a run's figures are nobody else's business
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    mlflow = needed("mlflow")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri, artifacts = _place(where)
    try:
        client = mlflow.MlflowClient(uri)
        _log(client, _experiment(client, figures.meta.get("name") or figures.run_id, artifacts), run, figures)
    except mlflow.exceptions.MlflowException as error:
        raise StoreError(f"MLflow at {where}: {' '.join(str(error).split())[:300]}") from error
    return uri


def _place(where: str) -> tuple[str, str | None]:
    if "://" in where:
        return where, None
    folder = Path(where).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts))


def _log(client: Any, experiment: str, run: Path, figures: RunFigures) -> None:
    entities = needed("mlflow.entities")
    identity = f"{figures.run_id} {figures.meta.get('created_at', '')}"
    for before in client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{identity}'"):
        client.delete_run(before.info.run_id)
    started = float(figures.meta.get("created_at", 0.0))
    tags = {RUN_TAG: identity, "mode": figures.meta.get("mode", "devices")}
    made = client.create_run(experiment, start_time=int(1000 * started), tags=tags, run_name=figures.run_id)
    known = {**flattened(figures.experiment), "bundle_sha256": figures.meta.get("bundle_sha256", "")}
    params = [entities.Param(_key(key), value[:_LONGEST_VALUE]) for key, value in known.items()]
    metrics = [entities.Metric(_key(s.tag), s.value, int(1000 * s.at), s.step) for s in scalars(figures)]
    for batch in _batches(params, 100):
        client.log_batch(made.info.run_id, params=batch)
    for batch in _batches(metrics, _BATCH):
        client.log_batch(made.info.run_id, metrics=batch)
    with tempfile.TemporaryDirectory() as folder:
        write_report(run, Path(folder) / "report.html")
        (Path(folder) / "experiment.toml").write_text(figures.experiment, encoding="utf-8")
        client.log_artifacts(made.info.run_id, folder)
    if figures.status in _STATUS:
        ended = float(figures.meta.get("ended_at", started))
        client.set_terminated(made.info.run_id, _STATUS[figures.status], end_time=int(1000 * ended))


def _key(name: str) -> str:
    """Return a name that MLflow takes: letters, digits and a few signs."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
