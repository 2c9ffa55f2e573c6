"""Power recorded beside a device, by an instrument or by Android itself, brought into a run."""

from __future__ import annotations

from python_server.traces.align import Alignment, align
from python_server.traces.attach import Attached, attach
from python_server.traces.format import Hints
from python_server.traces.formats import FORMATS, read_trace
from python_server.traces.power_trace import PowerTrace
from python_server.traces.timeline import DevicePhase, device_phases

__all__ = [
    "FORMATS",
    "Alignment",
    "Attached",
    "DevicePhase",
    "Hints",
    "PowerTrace",
    "align",
    "attach",
    "device_phases",
    "read_trace",
]
