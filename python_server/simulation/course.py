"""What a task comes to on a device: amounts, then the seconds and joules of each phase.

The simulator's virtual clock and the planner (`python_server.planner`) both ask here, so that what is planned is what
would be simulated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge_client.plan import Plan
from model_export import codecs
from model_export.manifest import Manifest
from model_export.tensors import packed_bytes
from python_server.simulation.devices import Joules, SimulatedDevice
from python_server.simulation.engine import steps_until_cutoff

__all__ = ["Course", "arrays_bytes", "course_of", "reply_of"]


@dataclass(frozen=True)
class Course:
    """A task on one device.

    Attributes
    ----------
    planned, steps
        Steps of the plan, and those before the cutoff.
    epochs
        Passes through the samples that the planned steps need.
    download_bytes, upload_bytes
        Of the packed arrays and of the list of variables to reply.
    download_s, prepare_s, train_s, upload_s
        One after the other; ``prepare_s`` is setting weights and getting them.
    """

    planned: int
    steps: int
    epochs: int
    download_bytes: int
    upload_bytes: int
    download_s: float
    prepare_s: float
    train_s: float
    upload_s: float

    @property
    def seconds(self) -> float:
        """From the task's arrival to the end of its upload."""
        return self.download_s + self.prepare_s + self.train_s + self.upload_s

    def joules(self, device: SimulatedDevice, wait_s: float) -> dict[str, Joules]:
        """Return gross and idle joules by phase, after a wait of so many seconds; empty where no power is known.

        Preparing belongs to no phase, on devices as here.
        """
        if not device.profile.power_w:
            return {}
        return {
            "wait": device.joules("wait", wait_s),
            "download": device.joules("download", self.download_s),
            "train": device.joules("train", self.train_s),
            "upload": device.joules("upload", self.upload_s),
        }


def course_of(device: SimulatedDevice, manifest: Manifest, plan: Plan, payload_bytes: int) -> Course:
    """Return what a plan comes to on a device.

    Parameters
    ----------
    device
        Its data, steps and network.
    manifest
        Of the bundle that it holds then.
    plan
        As it travels.
    payload_bytes
        Packed arrays that come with it.

    Raises
    ------
    KeyError
        The device has no time of a step for the plan's cut.
    """
    per_epoch = -(-len(device.rows) // manifest.batch_size)
    planned = plan.steps or plan.epochs * per_epoch
    step_s = device.step_s[device.bundle][plan.cut]
    steps = steps_until_cutoff(planned, step_s, plan.cutoff_s)
    download_bytes = payload_bytes + len("\n".join(plan.reply_variables))
    upload_bytes = arrays_bytes(manifest, reply_of(manifest, plan), plan.upload_codec)
    return Course(
        planned=planned,
        steps=steps,
        epochs=-(-planned // per_epoch),
        download_bytes=download_bytes,
        upload_bytes=upload_bytes,
        download_s=device.download_s(download_bytes),
        prepare_s=device.profile.prepare_s,
        train_s=steps * step_s,
        upload_s=device.upload_s(upload_bytes),
    )


def reply_of(manifest: Manifest, plan: Plan) -> tuple[str, ...]:
    """Return the variables that a plan asks back."""
    return plan.reply_variables or (manifest.state if plan.reply_all else manifest.trained(plan.cut))


def arrays_bytes(manifest: Manifest, names: Sequence[str], codec: str) -> int:
    """Return what variables weigh in a codec, before their values are known."""
    variables = manifest.variables
    return _packed_bytes(tuple((name, variables[name].shape, variables[name].dtype) for name in names), codec)


@lru_cache(maxsize=256)
def _packed_bytes(variables: tuple[tuple[str, tuple[int, ...], str], ...], codec: str) -> int:
    """Return what an update weighs before its values are known: as much as one whose values all differ."""
    arrays = {path: np.arange(math.prod(shape), dtype=dtype).reshape(shape) for path, shape, dtype in variables}
    return packed_bytes(codecs.encode(arrays, codec))
