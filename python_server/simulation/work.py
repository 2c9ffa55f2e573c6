"""What a simulated device makes of a task, as `edge_client.worker` does on a real one.

Numbers really pass through the plan's codecs, and what a device keeps between rounds is kept as on devices, in files.
Bytes are those of the packed arrays and of the list of variables to reply; the rest of a message, about two kilobytes
of metrics and names, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Union

import numpy as np

from edge_client.local_weights import LocalWeights
from edge_client.plan import Plan
from edge_client.records import DOWNLOAD_BYTES, DOWNLOAD_S
from model_export import codecs
from model_export.bundle import Bundle
from model_export.errors import TensorFileError
from model_export.manifest import Manifest
from model_export.tensors import packed_bytes
from python_server.simulation.devices import SimulatedDevice
from python_server.simulation.engine import Arrays, TrainResult, TrainTask, steps_until_cutoff
from python_server.tasks import Answer, Assignment, Payload

__all__ = ["UnfitError", "Work", "Workshop"]


class UnfitError(ValueError):
    """A device cannot do a task; the message says why."""


@dataclass(frozen=True, eq=False)
class Work:
    """What a device will have done, and when.

    Attributes
    ----------
    received
        The weights that came with the task, decoded.
    reply
        The variables that it sends back.
    planned, steps
        Steps of the plan, and those before the cutoff.
    done_at
        Virtual second at which its answer is there.
    """

    node_id: int
    device: SimulatedDevice
    plan: Plan
    bundle: str
    received: Arrays
    reply: tuple[str, ...]
    planned: int
    steps: int
    epochs: int
    download_bytes: int
    upload_bytes: int
    download_s: float
    train_s: float
    upload_s: float
    done_at: float


class Workshop:
    """Does the devices' part of tasks, but for the training.

    Parameters
    ----------
    bundles
        By hash; see `python_server.model.RunBundles`.
    kept
        Folder for the weights that devices keep between rounds.
    """

    def __init__(self, bundles: Mapping[str, Bundle], kept: Path) -> None:
        self._manifests = {name: bundle.manifest for name, bundle in bundles.items()}
        self._kept = kept
        self._decoded: dict[int, tuple[Payload, Arrays]] = {}

    def manifest(self, device: SimulatedDevice) -> Manifest:
        """Return what the bundle that a device holds says of itself."""
        return self._manifests[device.bundle]

    def begin(self) -> None:
        """Forget what was decoded: a new round has begun."""
        self._decoded.clear()

    def foresee(self, assignment: Assignment, device: SimulatedDevice, start: float) -> Work:
        """Return what a device will do with a task that it is given at a virtual second.

        Raises
        ------
        UnfitError
            The task does not fit its bundle, or needs weights that it has not kept.
        edge_client.errors.TaskError
            The plan has a value that makes no sense.
        """
        plan, payload, manifest = Plan.of(assignment.config), assignment.payload, self.manifest(device)
        assert payload is not None
        received = self._receive(payload, plan.download_codec, manifest)
        check_fit(received, manifest, partly=plan.start_round is not None)
        if plan.start_round is not None and not self._keeper(device).holds(plan, device.bundle):
            raise UnfitError(f"it kept no weights of its own after round {plan.start_round}; send it all variables")
        per_epoch = -(-len(device.rows) // manifest.batch_size)
        planned = plan.steps or plan.epochs * per_epoch
        step_s = device.step_s[device.bundle][plan.cut]
        steps = steps_until_cutoff(planned, step_s, plan.cutoff_s)
        reply = plan.reply_variables or (manifest.state if plan.reply_all else manifest.trained(plan.cut))
        download_bytes = payload.bytes + len("\n".join(plan.reply_variables))
        upload_bytes = _update_bytes(
            tuple((path, manifest.variables[path].shape, manifest.variables[path].dtype) for path in reply),
            plan.upload_codec,
        )
        download_s, train_s = device.download_s(download_bytes), steps * step_s
        upload_s = device.upload_s(upload_bytes)
        return Work(
            assignment.node_id,
            device,
            plan,
            device.bundle,
            received,
            reply,
            planned,
            steps,
            -(-planned // per_epoch),
            download_bytes,
            upload_bytes,
            download_s,
            train_s,
            upload_s,
            max(start, device.busy_until) + download_s + train_s + upload_s,
        )

    def task(self, work: Work) -> TrainTask:
        """Return the training that a device has to do; its own weights are read now."""
        plan, device = work.plan, work.device
        weights = work.received
        if plan.start_round is not None:
            weights = {**self._keeper(device).load(plan, work.bundle), **weights}
        return TrainTask(
            rows=device.rows,
            weights=weights,
            epochs=work.epochs,
            steps=work.steps,
            learning_rate=plan.learning_rate,
            cut=plan.cut,
            mu=plan.mu,
            seed=plan.seed_for(device.name),
            bundle=work.bundle,
        )

    def answer(self, work: Work, task: TrainTask, result: TrainResult, start: float) -> Answer:
        """Return what a device answers, having trained; times count from a virtual second."""
        plan, device, after_s = work.plan, work.device, work.done_at - start
        if result.problem:
            return Answer(work.node_id, result.problem, replied_after_s=after_s, read_after_s=after_s)
        weights = {**task.weights, **result.weights}
        if plan.keep_weights:
            self._keeper(device).save(plan, work.bundle, weights)
        arrays = codecs.encode({path: weights[path] for path in work.reply}, plan.upload_codec, work.received)
        upload_bytes = packed_bytes(arrays)
        energy_j, idle_j, source = device.energy(work.train_s)
        metrics: dict[str, Union[int, float]] = {
            "num-examples": len(device.rows),
            "examples-processed": result.examples_processed,
            "steps": work.steps,
            "planned-steps": work.planned,
            "train-loss": result.loss,
            "train-s": work.train_s,
            "prepare-s": 0.0,
            DOWNLOAD_S: work.download_s,
            DOWNLOAD_BYTES: work.download_bytes,
            "energy-j": energy_j if source else -1.0,
            "energy-idle-j": idle_j if source else -1.0,
            **device.told_upload(),
        }
        device.upload = (plan.number, work.upload_s, upload_bytes)
        return Answer(
            work.node_id,
            metrics=metrics,
            info={"name": device.name, "energy-method": "modelled" if source else "none", "energy-source": source},
            arrays=arrays,
            replied_after_s=after_s,
            read_after_s=after_s,
            bytes=upload_bytes,
        )

    def _receive(self, payload: Payload, codec: str, manifest: Manifest) -> Arrays:
        """Decode a payload, once for all devices that get it."""
        if codec == "float32":
            return payload.arrays
        if id(payload) not in self._decoded:
            specs = {path: (variable.shape, variable.dtype) for path, variable in manifest.variables.items()}
            try:
                self._decoded[id(payload)] = payload, codecs.decode(payload.arrays, specs)
            except TensorFileError as error:
                raise UnfitError(str(error)) from None
        return self._decoded[id(payload)][1]

    def _keeper(self, device: SimulatedDevice) -> LocalWeights:
        return LocalWeights(self._kept / device.name)


def check_fit(arrays: Arrays, manifest: Manifest, *, partly: bool = False) -> None:
    """Raise `UnfitError` if weights are not those of a bundle; ``partly``: some may be missing."""
    for path, variable in manifest.variables.items():
        if path not in arrays and partly:
            continue
        if path not in arrays or arrays[path].shape != variable.shape:
            raise UnfitError(f"its part of the model has no {path} of shape {list(variable.shape)}, as the bundle has")


@lru_cache(maxsize=64)
def _update_bytes(variables: tuple[tuple[str, tuple[int, ...], str], ...], codec: str) -> int:
    """Return what an update weighs before its values are known: as much as one whose values all differ."""
    arrays = {path: np.arange(math.prod(shape), dtype=dtype).reshape(shape) for path, shape, dtype in variables}
    return packed_bytes(codecs.encode(arrays, codec))
