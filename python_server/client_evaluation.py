"""Evaluation of the global weights on the clients' own test data, and what both kinds of evaluation come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

import numpy as np

from edge_client.records import EVALUATE, Scalar
from python_server.model import Evaluation
from python_server.run_rows import DeviceRoundRow
from python_server.strategies.base import Plan
from python_server.tasks import Assignment, Payload

__all__ = ["client_evaluations", "evaluation_columns", "mean_evaluation"]


def client_evaluations(
    weights: Mapping[str, np.ndarray], plans: Mapping[int, Plan], config: Mapping[str, Scalar]
) -> list[Assignment]:
    """Return the tasks of evaluating weights on nodes, each on the part of the model that its plan gives it."""
    submodels = {node_id: plan.submodel for node_id, plan in plans.items()}
    payloads = {submodel: Payload(submodel.extract(weights)) for submodel in set(submodels.values())}
    return [Assignment(node_id, EVALUATE, config, payloads[submodel]) for node_id, submodel in submodels.items()]


def mean_evaluation(rows: Iterable[DeviceRoundRow]) -> Optional[Evaluation]:
    """Return the mean over all clients' test examples."""
    held = [
        (row.eval_loss, row.eval_accuracy, row.eval_examples)
        for row in sorted(rows, key=lambda row: row.device)
        if row.eval_loss is not None and row.eval_accuracy is not None and row.eval_examples
    ]
    total = sum(examples for _, _, examples in held)
    if not total:
        return None
    loss = sum(loss * examples for loss, _, examples in held) / total
    return loss, sum(accuracy * examples for _, accuracy, examples in held) / total, total


def evaluation_columns(on_server: Optional[Evaluation], on_clients: Optional[Evaluation]) -> dict[str, Any]:
    """Return a round's columns for what was evaluated."""
    columns: dict[str, Any] = {}
    if on_server is not None:
        columns.update(zip(("loss", "accuracy", "examples"), on_server))
    if on_clients is not None:
        columns.update(zip(("client_loss", "client_accuracy", "client_examples"), on_clients))
    return columns
