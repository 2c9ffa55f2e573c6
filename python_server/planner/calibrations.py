"""What devices measured of themselves, in a file beside the inventory: ``fleet.calibration.json`` for ``fleet.toml``.

One entry for each device, bundle and number of threads; a new one takes the place of the old.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from device_profiles.power_fit import PowerFit, Sample, fit_power
from model_export.files import write_atomically
from python_server.errors import PlanError

__all__ = ["Calibrated", "Calibrations", "calibration_file"]

_FORMAT = 1
_MEASURED = ("measured", "rail", "battery")
"""Methods of energy figures that a power model may be fitted to; a modelled figure would only give its model back."""


def calibration_file(inventory: Path) -> Path:
    """Return where the calibrations of an inventory are kept."""
    return inventory.with_name(f"{inventory.stem}.calibration.json")


@dataclass(frozen=True)
class Calibrated:
    """A device's figures with one bundle.

    Attributes
    ----------
    device
        Its name in the inventory, or among ``[[clients]]``.
    bundle, model
        Hash and name of the bundle.
    threads
        That it trains with; 0: as many as are fastest.
    at
        Unix time.
    step_ms
        Of a training step, by cut.
    spread_ms
        Fastest and slowest block of steps, by cut.
    evaluate_ms, features_ms
        Of a batch; ``features_ms`` is 0 without a frozen base.
    prepare_s
        Setting weights in and getting them out.
    download_mbps, upload_mbps, round_trip_s
        Of its link; None: not told.
    link_method
        How the link was timed.
    times_slower
        Than the machine that exported the bundle; None: the export did not measure.
    power
        Threads, length, processor seconds, joules, method and source of each sample.
    """

    device: str
    bundle: str
    model: str
    threads: int
    at: float
    step_ms: Mapping[str, float]
    spread_ms: Mapping[str, tuple[float, float]]
    evaluate_ms: float
    features_ms: float
    prepare_s: float
    download_mbps: Optional[float]
    upload_mbps: Optional[float]
    round_trip_s: float
    link_method: str
    times_slower: Optional[float]
    power: Sequence[Mapping[str, Any]]

    @property
    def when(self) -> str:
        """The day, for people."""
        return time.strftime("%Y-%m-%d", time.gmtime(self.at))

    @property
    def counted_power(self) -> list[Mapping[str, Any]]:
        """The samples of power that were measured, and are to be trusted."""
        return [each for each in self.power if each["method"] in _MEASURED and not each.get("excluded")]

    def power_fit(self) -> Optional[PowerFit]:
        """Return the power model that fits what was measured; None where nothing that counts was.

        Raises
        ------
        device_profiles.power_fit.PowerFitError
            Something was measured, and no model fits it.
        """
        counted = self.counted_power
        if not counted:
            return None
        samples = [Sample(float(each["wall_s"]), float(each["cpu_s"]), float(each["energy_j"])) for each in counted]
        return fit_power(samples, f"{counted[0]['source']}, calibrated {self.when}")


class Calibrations:
    """A file of calibrations.

    Parameters
    ----------
    path
        The file; it need not exist. None: there is none.

    Raises
    ------
    PlanError
        It is there and is no such file.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self.path = path
        self._entries: list[dict[str, Any]] = []
        self._read: list[Calibrated] = []
        if path is None:
            return
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path}: cannot be read: {error}") from None
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise PlanError(f"{path}: format {content['format']!r}; this program reads {_FORMAT}: calibrate again")
            self._entries = [dict(each) for each in content["calibrations"]]
            self._read = [_calibrated(each) for each in self._entries]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, PlanError):
                raise
            problem = f"{type(error).__name__} {error}"
            raise PlanError(f"{path} is no file of calibrations ({problem}); remove it, and calibrate again") from None

    def __len__(self) -> int:
        return len(self._read)

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Take in what devices measured, and write the file.

        Parameters
        ----------
        entries
            Of each ``device``, ``measured`` (`edge_client.calibration.Calibration`), ``link``, ``release`` of the
            client, and ``exported_ms``: what the export measured, by signature.

        Raises
        ------
        PlanError
            An entry lacks a figure, and is left out; the others are written.
        """
        problems, before = [], self._entries
        for entry in entries:
            try:
                new = _calibrated(entry)
                json.dumps(entry, allow_nan=False)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                problems.append(f"{entry.get('device')}: its figures make no sense: {error!r}")
                continue
            key = (new.device, new.bundle, new.threads)
            kept = [i for i, old in enumerate(self._read) if (old.device, old.bundle, old.threads) != key]
            self._entries = [*(self._entries[i] for i in kept), dict(entry)]
            self._read = [*(self._read[i] for i in kept), new]
        if self._entries is not before:
            assert self.path is not None
            content = {"format": _FORMAT, "calibrations": self._entries}
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
            write_atomically(self.path, text.encode() + b"\n")
        if problems:
            raise PlanError("; ".join(problems))

    def include(self, entries: Iterable[Calibrated]) -> None:
        """Take in what is known of devices from elsewhere; it is not written."""
        self._read += entries

    def of(self, device: str, threads: int = 0) -> list[Calibrated]:
        """Return a device's calibrations, the newest first; those with as many threads before others."""
        found = [each for each in self._read if each.device == device]
        return sorted(found, key=lambda each: (each.threads == threads, each.at), reverse=True)

    @property
    def devices(self) -> set[str]:
        """Names of all devices that were calibrated."""
        return {each.device for each in self._read}


def _calibrated(entry: Mapping[str, Any]) -> Calibrated:
    measured, link = entry["measured"], entry.get("link") or {}
    steps = measured["steps"]
    if "" not in steps:
        raise ValueError("there is no time of a whole step")
    exported = entry.get("exported_ms", {})
    exported_ms = _number(exported.get("train_head", exported.get("train", 0.0)))
    weights_ms = _number(measured["set_weights"]["ms"]) + _number(measured["get_weights"]["ms"])
    return Calibrated(
        device=str(entry["device"]),
        bundle=str(measured["bundle"]),
        model=str(measured["model"]),
        threads=int(measured["threads"]),
        at=_number(measured["at"]),
        step_ms={cut: _number(each["ms"]) for cut, each in steps.items()},
        spread_ms={cut: (_number(each["low_ms"]), _number(each["high_ms"])) for cut, each in steps.items()},
        evaluate_ms=_number(measured["evaluate"]["ms"]),
        features_ms=_number(measured["features"]["ms"]) if measured["features"] else 0.0,
        prepare_s=weights_ms / 1000,
        download_mbps=_number(link["download_mbps"]) if link.get("download_mbps") else None,
        upload_mbps=_number(link["upload_mbps"]) if link.get("upload_mbps") else None,
        round_trip_s=_number(link.get("round_trip_s", 0.0)),
        link_method=str(link.get("method", "")),
        times_slower=_number(steps[""]["ms"]) / exported_ms if exported_ms else None,
        power=tuple(_sample(each) for each in measured["power"]),
    )


def _sample(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample of power, with every figure a number."""
    wall_s, threads = _number(told["wall_s"]), told["threads"]
    if not wall_s or isinstance(threads, bool) or not isinstance(threads, int):
        raise ValueError("a sample of power is of no time, or of no number of threads")
    return {
        **told,
        "wall_s": wall_s,
        "cpu_s": _number(told["cpu_s"]),
        "energy_j": _number(told["energy_j"]),
        "idle_j": None if told.get("idle_j") is None else _number(told["idle_j"]),
        "method": str(told["method"]),
        "source": str(told["source"]),
        "threads": threads,
    }


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no figure")
    return float(value)
