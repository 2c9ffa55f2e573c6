"""``[simulation]`` of an experiment file: devices that ``pocketfleet simulate`` makes up (``docs/simulation.md``)."""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from device_profiles import catalog, load_profile
from python_server.errors import ExperimentError
from python_server.toml_tables import setting

__all__ = ["ENGINES", "PARTITIONS", "ProfileSettings", "SimulationSettings"]

ENGINES = ("local", "flower")
PARTITIONS = ("iid", "dirichlet", "shards", "domain", "user")


def _step_ms(raw: object, key: str) -> dict[str, float]:
    """Read a number, or a table from cut to number; the cut "" is all that the bundle trains."""
    table: Mapping[str, object] = raw if isinstance(raw, Mapping) else {"": raw}
    read: dict[str, float] = {}
    for cut, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            where = f"{key}.{cut}" if cut else key
            raise ExperimentError(f"{where} is {value!r}; it has to be a number greater than 0")
        read[str(cut)] = float(value)
    return read


def _catalog_name(raw: object, key: str) -> str:
    if raw not in catalog():
        raise ExperimentError(f"{key} is {raw!r}; the catalog of device profiles has: {', '.join(catalog())}")
    return str(raw)


@dataclass(frozen=True)
class ProfileSettings:
    """``[[simulation.profiles]]``: a kind of device.

    Attributes
    ----------
    name
        Of the kind. ``[[clients]]`` are of the kind that has their name, else their processor's, else their profile's.
    share
        How many of the simulated devices are of this kind, in relation to the others.
    processor
        As devices tell it, for processor-specific cutoffs; the kind's name by default.
    step_ms
        Time of one training step with the bundle's batch size: a number for all that the bundle trains, or a table from
        cut to number. What is not given follows from what is, by measured costs or by multiply-accumulates.
    times_slower
        Instead of ``step_ms``: how many times slower than the machine that measured the bundle's costs.
    download_mbps, upload_mbps
        Bandwidths in 10⁶ bits per second; 0: transfers take no time.
    latency_s
        Of each transfer, beside its bytes.
    prepare_s
        Setting weights in and getting them out, in each round.
    device
        A profile of the catalog (docs/devices.md): its power, memory and battery count where none is given here.
    threads
        Busy cores while it trains, for the catalog's power model.
    idle_w, power_w
        Power of the device when idle, and while it trains.
    transfer_w
        Power while it downloads or uploads; 0: as when idle.
    memory_mb
        All of its memory, as it tells the server, in 10⁶ bytes; 0: it does not tell.
    battery_wh, battery_percent
        Capacity of its battery, 0: it has none; and the charge that it begins with. It is never charged.
    """

    name: str = setting()
    share: float = setting(1.0, least=0)
    processor: str = setting("")
    step_ms: Optional[dict[str, float]] = setting(None, read=_step_ms)
    times_slower: float = setting(1.0, above=0)
    download_mbps: float = setting(0.0, least=0)
    upload_mbps: float = setting(0.0, least=0)
    latency_s: float = setting(0.0, least=0)
    prepare_s: float = setting(0.0, least=0)
    device: str = setting("", read=_catalog_name)
    threads: int = setting(1, least=1, most=256)
    idle_w: float = setting(0.0, least=0)
    power_w: float = setting(0.0, least=0)
    transfer_w: float = setting(0.0, least=0)
    memory_mb: float = setting(0.0, least=0)
    battery_wh: float = setting(0.0, least=0)
    battery_percent: float = setting(100.0, least=0, most=100)

    def completed(self) -> ProfileSettings:
        """Return the settings with what the catalog knows of ``device`` in the place of what is not given."""
        if not self.device:
            return self
        known = load_profile(self.device)
        power = known.power
        return replace(
            self,
            idle_w=self.idle_w or power.idle_w,
            power_w=self.power_w or power.idle_w + self.threads * power.busy_w_per_core,
            memory_mb=self.memory_mb or (min(known.memory_gb) * 1000 if known.memory_gb else 0.0),
            battery_wh=self.battery_wh or known.battery_wh or 0.0,
        )


@dataclass(frozen=True)
class SimulationSettings:
    """``[simulation]``.

    Attributes
    ----------
    engine
        ``local``: in one process, on Keras. ``flower``: the clients' own code on Ray, by Flower's simulation.
    backend
        Of Keras, for the local engine: ``tensorflow``, ``jax``, or ``auto``. ``tflite``: no Keras, but the bundles' own
        models, as on devices.
    side_by_side
        Clients that the local engine trains at once, on JAX; 0: as many as suit the machine.
    devices
        How many devices are made up, beside the ``[[clients]]``.
    data
        What they share: a ``.npz`` with ``x`` and ``y``, or a folder of images, as for clients.
    partition
        How they share it: ``iid``; ``dirichlet``, by label, with ``alpha``; ``shards``, each device ``classes`` classes
        (about); ``domain`` and ``user``, by the array ``column`` of the file.
    alpha
        Concentration of ``dirichlet``.
    classes
        Shards for each device of ``shards``.
    column
        Array of the ``.npz`` for ``domain`` and ``user``; their own names by default.
    dropout
        Probability that a device that is asked to train never answers.
    overhead_s
        What a round takes beside the devices: server, messages.
    seed
        Of the partition, the kinds of device and dropouts; the experiment's by default (−1).
    profiles
        Kinds of device; without any, all are as fast as the machine that measured the bundle's costs.
    """

    engine: str = setting("local", among=ENGINES)
    backend: str = setting("auto", among=("auto", "tensorflow", "jax", "tflite"))
    side_by_side: int = setting(0, least=0, most=1024)
    devices: int = setting(0, least=0, most=1_000_000)
    data: Optional[Path] = setting(None)
    partition: str = setting("iid", among=PARTITIONS)
    alpha: float = setting(0.5, above=0)
    classes: int = setting(2, least=1)
    column: str = setting("")
    dropout: float = setting(0.0, least=0, most=1)
    overhead_s: float = setting(0.0, least=0)
    seed: int = setting(-1, least=-1, most=2**31 - 1)
    profiles: tuple[ProfileSettings, ...] = setting(())

    def check(self) -> None:
        """Raise `ExperimentError` where an engine is asked for what another one does."""
        if self.engine == "flower" and self.backend not in ("auto", "tflite"):
            raise ExperimentError(
                f"simulation.backend is {self.backend!r}, which is for engine = 'local'; engine = 'flower' trains by "
                "TensorFlow Lite, so leave it out"
            )
        if self.side_by_side > 1 and (self.engine == "flower" or self.backend == "tflite"):
            raise ExperimentError(
                f"simulation.side_by_side is {self.side_by_side}, which needs engine = 'local' and backend = 'jax'"
            )
