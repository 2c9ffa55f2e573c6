"""The weights of a task: what came with it, what is to go back, and whether it may."""

from __future__ import annotations

import numpy as np

from edge_client.errors import DivergedError, TaskError
from edge_client.plan import Plan
from edge_client.records import Arrays, Task
from edge_client.trainer import Trainer
from model_export import codecs

__all__ = ["check_finite", "received_weights", "wanted_variables"]


def received_weights(plan: Plan, task: Task, trainer: Trainer) -> Arrays:
    """Return the weights that came with a task, as its plan's codec has them.

    Raises
    ------
    model_export.tensors.TensorFileError
        They are not what the codec makes of the model's variables.
    """
    if plan.download_codec == "float32":
        return task.arrays
    specs = {path: (variable.shape, variable.dtype) for path, variable in trainer.manifest.variables.items()}
    return codecs.decode(task.arrays, specs)


def wanted_variables(plan: Plan, trainer: Trainer) -> tuple[str, ...]:
    """Return the variables to send back.

    Raises
    ------
    edge_client.errors.TaskError
        The plan names one that the model does not have.
    """
    every = trainer.manifest.state
    unknown = [path for path in plan.reply_variables if path not in every]
    if unknown:
        raise TaskError(f"reply-variables: the model has no variable {unknown[0]!r}")
    return plan.reply_variables or (every if plan.reply_all else trainer.trained(plan.cut))


def check_finite(weights: Arrays) -> None:
    """Find out what the last step did: the loss of a step is that of the weights before it.

    Raises
    ------
    edge_client.errors.DivergedError
        A variable holds values that are no numbers.
    """
    for path, value in weights.items():
        if not np.isfinite(value).all():
            raise DivergedError(
                f"training went astray: {path} holds values that are no numbers; a lower learning rate may help"
            )
