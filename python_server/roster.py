"""Who can be asked in a round: the devices that are online, as they are now and as earlier rounds know them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from python_server.device_history import DeviceHistory
from python_server.errors import NoClientsError
from python_server.fleet import Fleet
from python_server.run_rows import DeviceRoundRow
from python_server.strategies.base import Device, Strategy
from python_server.tasks import Clock

__all__ = ["Roster", "Turnout"]

_LOOK_AGAIN_S = 5.0
"""A battery takes minutes to charge."""


@dataclass(frozen=True)
class Turnout:
    """The devices of a round.

    Attributes
    ----------
    able
        Those that can be asked, by node id.
    unable
        Of the others, the device and why it cannot.
    """

    able: dict[int, Device]
    unable: list[tuple[Device, str]]

    def rows(self, number: int, passed_over: Mapping[str, str]) -> list[DeviceRoundRow]:
        """Return what the run store keeps of those that were not asked in round ``number``.

        ``passed_over`` says why some that can be asked were not, by device id.
        """
        others = [(each, passed_over[each.device]) for each in self.able.values() if each.device in passed_over]
        return [
            DeviceRoundRow(round=number, device=device.device, name=device.name, outcome="skipped", reason=reason)
            for device, reason in [*self.unable, *others]
        ]


class Roster:
    """Parts those that can take part from those that cannot.

    Parameters
    ----------
    fleet
        The devices.
    strategy
        Says who cannot take part.
    history
        What earlier rounds say of them.
    note
        Called with a line, and the device's id, when one cannot take part that could before.
    clock
        Where the time is read.
    """

    def __init__(
        self,
        fleet: Fleet,
        strategy: Strategy,
        history: DeviceHistory,
        note: Callable[[str, str], None],
        clock: Clock = time,
    ) -> None:
        self._fleet = fleet
        self._strategy = strategy
        self._history = history
        self._note = note
        self._clock = clock
        self._unable: set[str] = set()

    def call(self, online: int, able: int, deadline_s: float, on_wait: Callable[[int, int], None]) -> Turnout:
        """Wait until so many devices are online and so many of them can take part.

        Raises
        ------
        NoClientsError
            There are fewer at the deadline; the message says why, if those that are there cannot take part.
        """
        end = self._clock.monotonic() + deadline_s
        while True:
            turnout = self._turnout(self._fleet.wait(online, deadline_s, on_wait))
            if len(turnout.able) >= able:
                return turnout
            if self._clock.monotonic() >= end:
                device, reason = turnout.unable[0]
                raise NoClientsError(
                    f"{len(turnout.able)} of {len(turnout.able) + len(turnout.unable)} devices can take part, and the "
                    f"experiment wants {able}; {device.name}, for one, cannot: {reason}"
                )
            on_wait(len(turnout.able), able)
            self._clock.sleep(min(_LOOK_AGAIN_S, max(0.0, end - self._clock.monotonic())))

    def _turnout(self, online: dict[int, Device]) -> Turnout:
        if self._strategy.follows_conditions:
            online = self._fleet.refreshed(online)
        devices = {node_id: self._history.known(device) for node_id, device in online.items()}
        reasons = self._strategy.unable(list(devices.values()))
        able = {node_id: device for node_id, device in devices.items() if device.device not in reasons}
        unable = [(device, reasons[device.device]) for device in devices.values() if device.device in reasons]
        for device, reason in unable:
            if device.device not in self._unable:
                self._note(device.device, f"{device.name} is not asked for now: {reason}")
        self._unable = set(reasons)
        return Turnout(able, unable)
