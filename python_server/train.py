"""A run from start to end: SuperLink, devices, rounds, and nothing left behind.

Two processes: this one, which holds the round loop, and the SuperLink as its child (plus the local clients that the
experiment asks for). Flower's stock way of running a ServerApp would add three more, each importing Flower anew.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from pathlib import Path
from typing import Optional

from python_server.errors import IdentityError, PortInUseError
from python_server.exchange import Exchange
from python_server.experiment import Experiment
from python_server.flower_run import open_run, register_devices
from python_server.identity import Identity, host_names, normalized_public_key
from python_server.local_clients import client_public_key, run_clients
from python_server.model import BundleModel
from python_server.new_run import TrainResult, check_fit, create_run, load_run, recording_the_end, reopen_run
from python_server.planner.keep import keep_plan
from python_server.progress import Progress
from python_server.round_loop import RoundLoop
from python_server.store import LOGS, RunStore
from python_server.superlink import SuperLink, SuperLinkSettings, quiet_flower
from python_server.tasks import device_id

__all__ = ["TrainResult", "create_run", "load_model", "load_run", "train"]


def load_model(experiment: Experiment) -> BundleModel:
    """Return the experiment's model, with its test data if the server is to evaluate.

    Raises
    ------
    ExperimentError
        The bundle has no such cut as ``train.cut``, a variant does not fit it, or the strategy or a group asks for
        what they do not have.
    model_export.errors.BundleError, edge_client.errors.EdgeError
        The bundle or the test data cannot be used.
    """
    trusted = experiment.model.trusted_key
    with experiment.naming():
        model = BundleModel(
            experiment.model.bundle,
            test=experiment.data.test if experiment.evaluate.server else None,
            trusted_key=trusted.read_bytes() if trusted else None,
            variants={variant.name: variant.bundle for variant in experiment.variants},
        )
    check_fit(experiment, model)
    return model


def train(
    experiment: Experiment,
    *,
    runs: Path,
    progress: Progress,
    resume: Optional[Path] = None,
    inventory: Optional[Path] = None,
) -> TrainResult:
    """Do an experiment.

    Parameters
    ----------
    experiment
        What to do; for a resumed run the one from `load_run`.
    runs
        Directory of run directories, for a new run.
    progress
        Hears how it goes.
    resume
        The run directory to go on in.
    inventory
        Of the devices, for the plan that a new run keeps; None: the plan is for the ``[[clients]]``.

    Raises
    ------
    ServerError
        Something failed; where a run had begun, it can be resumed.
    model_export.errors.BundleError, edge_client.errors.EdgeError
        The bundle or the test data cannot be used.
    """
    quiet_flower()
    experiment.check_files()
    model = load_model(experiment)
    if resume is None:
        store = create_run(experiment, runs, model, {"flwr": importlib.metadata.version("flwr")})
    else:
        store = reopen_run(resume, experiment, model)
    try:
        return _train(experiment, store, model, progress, inventory)
    except PortInUseError:
        if resume is None:  # nothing has begun, so nothing is worth keeping
            shutil.rmtree(store.path)
        raise
    finally:
        store.close()


def _train(
    experiment: Experiment, store: RunStore, model: BundleModel, progress: Progress, inventory: Optional[Path]
) -> TrainResult:
    checkpoint = store.checkpoint()
    if checkpoint is not None and checkpoint.row.round >= experiment.rounds:
        return TrainResult(store.path, checkpoint.row)
    store.start()
    with recording_the_end(store), contextlib.ExitStack() as stack:
        settings, names = _identity(experiment)
        states = {client.name: _client_state(experiment, client.name) for client in experiment.clients}
        for client in experiment.clients:
            names[normalized_public_key(client_public_key(client, states[client.name]))] = client.name
        if checkpoint is None:
            ids = {name: device_id(key) for key, name in names.items()}
            line = keep_plan(store, experiment, model, ids, inventory)
            if line:
                progress.note(line)
        superlink = stack.enter_context(SuperLink(settings, store.path / LOGS / "superlink.log"))
        if settings.enrolled_only:
            register_devices(superlink, names)
        run = stack.enter_context(open_run(superlink))
        latecomers = _Latecomers(experiment, superlink, names)
        progress.started(store.path, f"{settings.host}:{superlink.port}", checkpoint.row.round if checkpoint else None)
        ended = stack.enter_context(
            run_clients(
                experiment.clients,
                server=superlink.local_address,
                bundle_of=experiment.bundle_of,
                states=states,
                logs=store.path / LOGS,
                ca=settings.certificates.ca if settings.certificates else None,
                trusted_key=experiment.model.trusted_key,
            )
        )
        exchange = Exchange(run.grid, check=superlink.check, on_late=lambda late: loop.note_late(late))
        loop = RoundLoop(
            experiment,
            store,
            model,
            exchange,
            names=names,
            progress=progress,
            notices=lambda: [*ended(), *latecomers.admit()],
        )
        last = loop.run()
        store.finish("finished", uploads=loop.collect_last_uploads())
        return TrainResult(store.path, last)


class _Latecomers:
    """Lets in devices that are enrolled while the run goes on."""

    def __init__(self, experiment: Experiment, superlink: SuperLink, names: dict[bytes, str]) -> None:
        self._superlink = superlink
        self._names = names
        self._identity = Identity(experiment.server.identity) if superlink.settings.enrolled_only else None
        self._seen = self._stamp()

    def admit(self) -> list[str]:
        """Register new keys, add their names, and return a line for each."""
        stamp = self._stamp()
        if self._identity is None or stamp == self._seen:
            return []
        self._seen = stamp
        new = {key: name for name, key in self._identity.devices().items() if key not in self._names}
        register_devices(self._superlink, new)
        self._names.update(new)
        return [f"enrolled while running: {name}" for name in new.values()]

    def _stamp(self) -> int:
        return self._identity.stamp() if self._identity else 0


def _identity(experiment: Experiment) -> tuple[SuperLinkSettings, dict[bytes, str]]:
    """Return how the SuperLink is to listen, and the names of enrolled devices by public key."""
    server = experiment.server
    settings = SuperLinkSettings(
        host=server.host,
        port=server.port,
        enrolled_only=server.enrolled_only,
        allow_insecure_network=server.insecure_network,
    )
    names: dict[bytes, str] = {}
    if server.tls or server.enrolled_only or experiment.clients:
        identity = Identity(server.identity)
        names = {key: name for name, key in identity.devices().items()}
        if server.tls:
            extra = [server.host] if server.host not in ("0.0.0.0", "::") else []  # noqa: S104 - compared, not bound
            settings = SuperLinkSettings(
                **{**vars(settings), "certificates": identity.certificates(host_names([*extra, *server.names]))}
            )
    for client in experiment.clients:
        if client.name in names.values():
            raise IdentityError(f"the name of client {client.name!r} is already that of an enrolled device")
    return settings, names


def _client_state(experiment: Experiment, name: str) -> Path:
    """Return where a local client keeps its key and unfinished work: outside the run, so that it survives it."""
    return experiment.server.identity / "local_clients" / experiment.name / name
