"""The plan of a run, kept in it from the start, so that its report can show what was foretold beside what came."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from deployment.errors import DeploymentError
from deployment.inventory import load_inventory
from edge_client.errors import EdgeError
from model_export.errors import BundleError
from python_server.errors import ServerError
from python_server.experiment import Experiment
from python_server.model import RunBundles
from python_server.planner.calibrations import Calibrations, calibration_file
from python_server.planner.fleet import of_clients, of_inventory
from python_server.planner.forecast import forecast
from python_server.planner.text import measurements
from python_server.run_rows import EventRow
from python_server.store import RunStore

__all__ = ["keep_plan"]

_ROUNDS = 20
"""Worked out at the start of a run, which should not wait for its plan."""


def keep_plan(
    store: RunStore,
    experiment: Experiment,
    model: RunBundles,
    ids: Mapping[str, str],
    inventory: Optional[Path] = None,
) -> str:
    """Work out a new run's plan, and keep it as measurements of round 0.

    A run goes on without a plan: what stood in its way is noted as an event.

    Parameters
    ----------
    store, experiment, model
        Of the run.
    ids
        Of the devices that may take part, by name.
    inventory
        Where they are described, with calibrations beside it; None: the experiment's ``[[clients]]``.

    Returns
    -------
    str
        A line for people; empty if there is nothing to plan for, or nobody asked for a plan and there is none.
    """
    told = True
    try:
        if inventory is not None:
            entries = [entry for entry in load_inventory(inventory).devices if entry.name in ids]
            fleet = of_inventory(entries, model, Calibrations(calibration_file(inventory)))
        else:
            fleet = of_clients(experiment, model)
        if not fleet:
            if inventory is None:
                return ""
            line = f"no plan: none of the devices of {inventory} is enrolled"
        else:
            plan = forecast(experiment, model, fleet, most_rounds=_ROUNDS)
            store.add_measurements(measurements(plan, ids))
            line = f"plan: {plan.round_s:.3g} s a round, {plan.total_s:.4g} s in all, {len(fleet)} devices"
    except (ServerError, DeploymentError, EdgeError, BundleError, ValueError) as error:
        line, told = f"no plan: {error}", inventory is not None
    store.add_event(EventRow(time.time(), "forecast", line))
    return line if told else ""
