"""Which codecs a device's numbers travel in: what is asked for, or the gentlest that a budget of traffic allows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Optional

from model_export import codecs
from model_export.manifest import Manifest
from python_server.errors import ExperimentError

__all__ = ["LADDER", "Codecs", "Fit", "Traffic", "fitting", "read_codecs"]


class Codecs(NamedTuple):
    """How numbers travel to the devices and from them (`model_export.codecs`)."""

    down: str = "float32"
    up: str = "float32"

    def __str__(self) -> str:
        return self.down if self.down == self.up else f"{self.down} down and {self.up} up"


LADDER = (
    Codecs(),
    Codecs("float16", "float16"),
    Codecs("int8", "int8"),
    Codecs("int8", "clusters16"),
)
"""From the gentlest to the smallest. What goes down is the weights, in which clusters would round small steps away."""


def read_codecs(raw: object, key: str) -> Codecs:
    """Read a codec's name, or a table with one for each direction.

    Raises
    ------
    ExperimentError
        There is no such codec or direction.
    """
    table = raw if isinstance(raw, Mapping) else {"down": raw, "up": raw}
    for direction, codec in table.items():
        if direction not in Codecs._fields:
            raise ExperimentError(f"{key}: {direction!r} is no direction; there are down and up")
        try:
            codecs.check(str(codec))
        except ValueError as error:
            raise ExperimentError(f"{key}: {error}") from None
    return Codecs(**table)


class Traffic(NamedTuple):
    """Bytes of a round's arrays to a device and from it."""

    down: int
    up: int

    @classmethod
    def of(cls, manifest: Manifest, cut: str, chosen: Codecs) -> Traffic:
        """Return what a device is sent that holds a bundle, and what it sends that trains from ``cut`` on."""
        specs = {path: (variable.shape, variable.dtype) for path, variable in manifest.variables.items()}
        trained = [specs[path] for path in manifest.trained(cut)]
        return cls(codecs.coded_bytes(specs.values(), chosen.down), codecs.coded_bytes(trained, chosen.up))


class Fit(NamedTuple):
    """Codecs that were chosen, 10⁶ bytes of a round with them, and what they come to in words."""

    codecs: Codecs
    megabytes: float
    reason: str


def fitting(
    manifest: Manifest,
    cut: str,
    known: Optional[Collection[str]],
    *,
    traffic_mb: float = 0.0,
    upload_s: float = 0.0,
    upload_mbps: Optional[float] = None,
) -> Fit:
    """Choose the gentlest codecs of `LADDER` that keep within a device's budgets of traffic.

    Parameters
    ----------
    manifest, cut
        What the device holds and trains.
    known
        Families of codecs that the device knows; None: all. float32 is known to every device.
    traffic_mb
        10⁶ bytes of a round, both ways together; 0: any.
    upload_s, upload_mbps
        Seconds of an upload (0: any), and the device's pace in 10⁶ bits a second; None: not known, any will do.

    Returns
    -------
    Fit
        The smallest that the device knows if none keeps within the budgets.
    """
    usable = [
        rung
        for rung in LADDER
        if known is None or all(codecs.family(each) in {*known, "float32"} for each in (rung.down, rung.up))
    ]
    for rung in usable:
        traffic = Traffic.of(manifest, cut, rung)
        megabytes, fits, words = sum(traffic) / 1e6, True, []
        if traffic_mb:
            fits = megabytes <= traffic_mb
            words.append(f"{megabytes:.3g} MB of {traffic_mb:g} MB a round")
        if upload_s and upload_mbps is not None:
            seconds = traffic.up * 8e-6 / upload_mbps
            fits = fits and seconds <= upload_s
            words.append(f"an upload of {seconds:.3g} s of {upload_s:g} s at {upload_mbps:.3g} Mbit/s")
        elif upload_s:
            words.append("the pace of its uploads is not known yet")
        found = Fit(rung, megabytes, f"{rung}, {' and '.join(words)}")
        if fits:
            break
    return found
