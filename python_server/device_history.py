"""What earlier rounds say of a device: how long its steps take, and how fast it uploads.

It is learnt from the rows of the run store, so a resumed run knows what it knew before.
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Optional

from python_server.run_rows import DeviceRoundRow
from python_server.store import Upload
from python_server.strategies.base import Device
from python_server.variants import Variant

__all__ = ["DeviceHistory"]

_KEPT = 5
_FORGETTING = 0.9


class DeviceHistory:
    """Figures of the last rounds of each device; what counts is their median.

    A device that is left out, because of these figures maybe, brings none; so they shrink by a tenth a round until it
    is tried again.

    Parameters
    ----------
    variants
        What devices can be given, by name.
    """

    def __init__(self, variants: Mapping[str, Variant]) -> None:
        self._variants = variants
        self._slowness: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._mbps: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def learn(self, rows: Iterable[DeviceRoundRow], uploads: Iterable[Upload] = ()) -> None:
        """Take in what devices did in a round, and uploads of earlier ones that they have told of since."""
        for row in rows:
            slowness = self._times_slower(row)
            if row.outcome == "skipped":
                kept = self._slowness[row.device]
                self._slowness[row.device] = deque((each * _FORGETTING for each in kept), _KEPT)
            elif slowness is not None:
                self._slowness[row.device].append(slowness)
            if row.upload_s is not None:
                self._uploaded(row.device, row.upload_bytes, row.upload_s)
        for upload in uploads:
            self._uploaded(upload.device, upload.bytes, upload.seconds)

    def known(self, device: Device) -> Device:
        """Return a device with what is known of it."""
        return replace(
            device,
            times_slower=_median(self._slowness.get(device.device)),
            upload_mbps=_median(self._mbps.get(device.device)),
        )

    def _times_slower(self, row: DeviceRoundRow) -> Optional[float]:
        """Return how many times longer a step took than on the machine that exported; None: that cannot be said."""
        variant = self._variants.get(str(row.plan.get("submodel", "")))
        if variant is None or not row.train_s or not row.steps:
            return None
        step_ms = variant.step_ms(str(row.plan.get("cut", "")))
        return 1000 * row.train_s / row.steps / step_ms if step_ms else None

    def _uploaded(self, device: str, size: Optional[int], seconds: float) -> None:
        if size and seconds > 0:
            self._mbps[device].append(size * 8e-6 / seconds)


def _median(values: Optional[deque[float]]) -> Optional[float]:
    return statistics.median(values) if values else None
