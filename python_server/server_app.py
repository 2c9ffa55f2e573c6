"""The round loop as a standard Flower ``ServerApp``, for a SuperLink that somebody else runs.

``flwr run`` starts it like any other; the run's configuration names the experiment::

    [tool.flwr.app.components]
    serverapp = "python_server.server_app:app"
    clientapp = "edge_client.client_app:app"

    [tool.flwr.app.config]
    experiment = "/path/to/digits.toml"
    runs = "runs"       # where the run directory goes
    resume = ""         # or the run directory to go on in

The experiment's ``[server]`` table then only gives deadlines and numbers of clients: address, certificates and
registration are the SuperLink's, and ``[[clients]]`` are not started. `python_server.train` is the other way: three
processes fewer, and a SuperLink whose control interface is closed to others.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid import HttpGrid

from python_server.errors import ExperimentError
from python_server.exchange import Exchange
from python_server.experiment import load_experiment
from python_server.new_run import reopen_run
from python_server.progress import PlainProgress
from python_server.round_loop import RoundLoop
from python_server.train import create_run, load_model, load_run

__all__ = ["app"]

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # flwr is not checked
def main(grid: Grid, context: Context) -> None:
    """Do the experiment that the run's configuration names.

    Raises
    ------
    ExperimentError
        There is no experiment, or it cannot be run here.
    ServerError
        The run failed; it can be resumed.
    """
    if not isinstance(grid, HttpGrid):
        raise ExperimentError("this app needs a SuperLink; for simulation there are other ways")
    config = context.run_config
    resume = Path(str(config["resume"])) if config.get("resume") else None
    if resume is None and not config.get("experiment"):
        raise ExperimentError("the run's configuration names no experiment; give one with --run-config")
    experiment = load_run(resume) if resume else load_experiment(Path(str(config["experiment"])))
    experiment.check_files()
    model = load_model(experiment)
    if resume:
        store = reopen_run(resume, experiment, model)
    else:
        runs = Path(str(config.get("runs") or "runs"))
        store = create_run(experiment, runs, model, {"flwr": importlib.metadata.version("flwr")})
    progress = PlainProgress(sys.stdout)
    try:
        store.start()
        exchange = Exchange(grid, on_late=lambda late: loop.note_late(late))
        loop = RoundLoop(experiment, store, model, exchange, names={}, progress=progress)
        loop.run()
        store.finish("finished", uploads=loop.collect_last_uploads())
    finally:
        store.close()
