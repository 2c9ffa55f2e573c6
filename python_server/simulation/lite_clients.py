"""Clients that train by a bundle's own TensorFlow Lite model, through the trainer and the loop of a real client."""

from __future__ import annotations

from collections.abc import Iterator

from edge_client.data import Dataset
from edge_client.errors import EdgeError
from edge_client.trainer import Trainer
from model_export.bundle import Bundle
from python_server.simulation.engine import Arrays, TrainResult, TrainTask, astray

__all__ = ["LiteClients", "train_client"]


class LiteClients:
    """Clients of one bundle, one after the other in one interpreter.

    Parameters
    ----------
    bundle
        The bundle.
    data
        The samples of all clients.

    Raises
    ------
    edge_client.errors.NoRuntimeError
        No TensorFlow Lite runtime is installed.
    """

    def __init__(self, bundle: Bundle, data: Dataset) -> None:
        self._trainer = Trainer(bundle)
        self._data = data

    def train(self, tasks: list[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order."""
        return (train_client(self._trainer, self._data, task) for task in tasks)

    def evaluate(self, weights: Arrays, data: Dataset) -> tuple[float, float]:
        """Return mean loss and accuracy."""
        self._trainer.set_weights(weights)
        return self._trainer.evaluate(data.x, data.y)


def train_client(trainer: Trainer, data: Dataset, task: TrainTask) -> TrainResult:
    """Do a client's local training.

    Parameters
    ----------
    trainer
        Of the task's bundle; its weights are changed.
    data
        The samples of all clients.
    task
        What to do.
    """
    own = Dataset(data.x[task.rows], data.y[task.rows], data.name)
    trainer.set_weights(task.weights)
    try:
        done = trainer.fit(
            own,
            task.epochs,
            learning_rate=task.learning_rate,
            steps=task.steps,
            cut=task.cut or None,
            mu=task.mu,
            seed=task.seed,
        )
    except (EdgeError, ValueError) as error:
        return TrainResult({}, 0.0, 0, str(error))
    weights = trainer.weights()
    problem = astray(weights)
    if problem:
        return TrainResult({}, 0.0, 0, problem)
    return TrainResult({path: weights[path] for path in trainer.trained(task.cut)}, done.loss, done.examples_processed)
