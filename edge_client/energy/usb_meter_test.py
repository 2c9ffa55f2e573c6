"""Answers as sigrok.org/wiki/RDTech_UM_series describes them, from the other end of a pseudo-terminal."""

from __future__ import annotations

import json
import math
import os
import pty
import select
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge_client.cli import main
from edge_client.energy import find, find_meter
from edge_client.energy.meter import SampledMeter
from edge_client.energy.rig_test import Clock
from edge_client.energy.source import ReadingError
from edge_client.energy.usb_meter import UsbMeterSource, find_usb_meter, take_reading
from edge_client.errors import SettingsError

UM24C, UM25C, UM34C = 0x0963, 0x09C9, 0x0D4C
CHECKED = "17 7 127 69 113 3 9 53 19 89 59 67 57 39 23 49 31 109 63 41 15 119 55 73 79 111 45 99 97 83 121 1"
"""Places of UM34C's checksum, in the wiki's order."""


def answer(model: int, volt_bits: int, ampere_bits: int, milliwatts: int) -> bytes:
    """Build an answer: 31 °C, no two bytes of the ten groups of counters alike, D+ 0.02 V, DCP 1.5 A, 8.3 Ω."""
    content = bytearray(130)
    struct.pack_into(">HHHIHHH", content, 0, model, volt_bits, ampere_bits, milliwatts, 31, 87, 0)
    content[16:96] = bytes(range(16, 96))
    content[102:118] = bytes(range(102, 118))
    struct.pack_into(">HHH", content, 96, 2, 0, 7)
    struct.pack_into(">HHIH", content, 118, 2, 4, 83, 1)
    content[128:] = b"\xff\xf1"
    if model == UM34C:
        content[129] = 0
        for place in CHECKED.split():
            content[129] ^= content[int(place)]
    return bytes(content)


class Meter:
    """The other end: sends to each request the next of its answers, the last one again and again, each in pieces."""

    def __init__(self, link: Path) -> None:
        self.answers: Sequence[Sequence[bytes]] = ((),)
        self.requests = 0
        self._answered = threading.Semaphore(0)
        self._link = link
        self.plug()

    def plug(self) -> None:
        self._near, self._far = pty.openpty()
        self._link.symlink_to(os.ttyname(self._far))
        self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        if self._link.is_symlink():
            self._link.unlink()
            os.close(self._stop[1])
            self._thread.join()
            for descriptor in (self._near, self._far, self._stop[0]):
                os.close(descriptor)

    def let_it_arrive(self) -> None:
        """Wait until the next request is answered to the end, and something lies unread at the reader's end; or was
        read already."""
        self._answered.acquire()
        select.select([self._far], [], [], 1.0)

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._near, self._stop[0]], [], [])
            if self._stop[0] in ready:
                return
            for request in os.read(self._near, 16):
                assert request == 0xF0
                pieces = self.answers[min(self.requests, len(self.answers) - 1)]
                self.requests += 1
                for piece in pieces:
                    os.write(self._near, piece)
                    # Let the reader run, so that it may see the piece alone.
                    time.sleep(0.002)
                self._answered.release()


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Meter]:
    found = Meter(tmp_path / "rfcomm0")
    yield found
    found.unplug()


@pytest.fixture
def port(tmp_path: Path) -> str:
    return str(tmp_path / "rfcomm0")


def patient(port: str) -> UsbMeterSource:
    """Open with more patience than any machine needs."""
    return UsbMeterSource(port, answer_s=30.0, first_answer_s=30.0)


@pytest.mark.parametrize(
    ("model", "name", "volt_bits", "ampere_bits"),
    [(UM24C, "UM24C", 510, 600), (UM25C, "UM25C", 5100, 6000), (UM34C, "UM34C", 510, 600)],
)
def test_every_model_by_its_scale(
    meter: Meter, port: str, model: int, name: str, volt_bits: int, ampere_bits: int
) -> None:
    content = answer(model, volt_bits, ampere_bits, 3060)
    reading = take_reading(bytearray(content))
    assert reading is not None
    assert (reading.model, reading.watts) == (name, 3.06)
    assert reading.volts == pytest.approx(5.1)
    assert reading.amperes == pytest.approx(0.6)
    meter.answers = [[content]]
    source = patient(port)
    assert source.read() == 3.06
    about = source.about
    assert (about.title, about.method, about.covers, about.rate_hz) == (
        f"{name} at {port}, 5.10 V",
        "measured",
        "device",
        2.0,
    )
    assert (about.accuracy is not None) == (name == "UM25C")
    source.close()


def test_joules_by_hand(meter: Meter, port: str, clock: Clock) -> None:
    """3 W, 4 W and 6 W, two seconds from one to the next: 7 J + 10 J."""
    powers = (3000, 3000, 4000, 6000)  # the first answers when the port is opened
    meter.answers = [[answer(UM25C, 5000, 2 * power, power)] for power in powers]
    found = SampledMeter(patient(port), rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
    with found:
        clock.now += 2.0
        found.mark()
        clock.now += 2.0
    energy = found.energy
    assert energy is not None
    assert energy.gross_j == pytest.approx(17.0, rel=1e-4)
    assert energy.coverage == pytest.approx(1.0, rel=1e-4)
    assert energy.flags == ()
    assert energy.source.endswith("uncertainty: UM25C's maker as quoted by davatorium/um25c-client, at 5.00 V")
    gain = math.hypot(0.0005 + 0.002 / 5, 0.001) / math.sqrt(3)
    offset_w = math.hypot(0.0004 * 5, 0.0005) / math.sqrt(3)
    between = math.hypot(1 * 2, 2 * 2) / math.sqrt(12)
    assert energy.uncertainty_j == pytest.approx(math.hypot(gain * 17, offset_w * 4, between), rel=1e-3)
    found.close()


def test_pieces_and_garbage_before_an_answer(meter: Meter, port: str) -> None:
    """The garbage ends in a model's number, and holds the end of an answer that came too late."""
    whole = answer(UM24C, 512, 700, 3584)
    meter.answers = [[whole[90:], b"\x09\x63", whole[:1], whole[1:60], whole[60:]]]
    source = patient(port)
    assert (source.read(), source.read()) == (3.584, 3.584)
    source.close()


def test_an_answer_that_came_too_late_is_no_reading_of_now(meter: Meter, port: str) -> None:
    early, late, now = (answer(UM24C, 500, power // 5, power) for power in (3000, 4000, 5000))
    meter.answers = [[early, late], [now]]
    source = patient(port)
    meter.let_it_arrive()
    assert source.read() == 5.0
    source.close()


@pytest.mark.parametrize("model", [UM24C, UM34C])
def test_an_answer_with_a_wrong_end_is_passed_over(model: int) -> None:
    good = answer(model, 510, 600, 3060)
    received = bytearray(good[:-1] + bytes([good[-1] ^ 1]) + good + good[:50])
    reading = take_reading(received)
    assert reading is not None
    assert reading.watts == 3.06
    assert received == good[:50]
    assert take_reading(received) is None


def test_fields_that_contradict_each_other_are_no_reading() -> None:
    """Ten times the current, as another model's scale would give."""
    received = bytearray(answer(UM25C, 5100, 60000, 3060))
    assert take_reading(received) is None
    assert len(received) < 2


def test_silence(meter: Meter, port: str) -> None:
    with pytest.raises(ReadingError, match=r"rfcomm0: no answer in 0.05 s; is the meter on, paired and in reach\?"):
        UsbMeterSource(port, first_answer_s=0.05)


def test_something_else_answers(meter: Meter, port: str) -> None:
    meter.answers = [[b"$GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M\r\n" * 20]]
    with pytest.raises(ReadingError, match=r"\d+ bytes came that are no answer of a UM24C, UM25C or UM34C"):
        patient(port)


def test_unplugged_and_plugged_in_again(meter: Meter, port: str, clock: Clock) -> None:
    meter.answers = [[answer(UM24C, 500, 600, 3000)]]
    found = SampledMeter(patient(port), rate_hz=0.0, clock=clock, cpu=lambda: 0.0)
    with found:
        for second in range(10):
            if second == 4:
                meter.unplug()
            clock.now += 1.0
            found.mark()
    gone = found.energy
    assert gone is not None
    assert gone.excluded
    assert gone.gross_j == pytest.approx(12.0, rel=1e-3)
    assert gone.coverage == pytest.approx(0.4, rel=1e-3)
    assert any(flag.startswith("7 readings failed, at last: ") for flag in gone.flags)
    with pytest.raises(ReadingError, match="there is no such device; for a meter on Bluetooth: rfcomm bind"):
        found.sampler.source.read()
    meter.plug()
    found.mark()
    clock.now += 1.0
    with found:
        clock.now += 1.0
    back = found.energy
    assert back is not None
    assert back.gross_j == pytest.approx(3.0, rel=1e-3)
    assert not back.flags
    found.close()


def test_the_first_failure_says_that_it_is_gone(meter: Meter, port: str) -> None:
    meter.answers = [[answer(UM24C, 500, 600, 3000)]]
    source = patient(port)
    meter.unplug()
    with pytest.raises(ReadingError, match="the meter is gone: unplugged, switched off or out of reach"):
        source.read()
    source.close()


def test_two_programs_do_not_share_a_meter(meter: Meter, port: str) -> None:
    meter.answers = [[answer(UM24C, 500, 600, 3000)]]
    source = patient(port)
    with pytest.raises(ReadingError, match="another program uses it"):
        patient(port)
    source.close()
    patient(port).close()


def test_ports_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingsError, match="^--energy usb-meter:/dev/rfcomm77: /dev/rfcomm77: there is no such device"
    ):
        find_meter(source="usb-meter:/dev/rfcomm77")
    for missing in ("usb-meter", "usb-meter:"):
        with pytest.raises(SettingsError, match="only if its serial port is named: --energy usb-meter:/dev/rfcomm0"):
            find_meter(source=missing)
    with pytest.raises(ReadingError, match="no serial port"):
        find_usb_meter("/dev/null")
    with pytest.raises(ReadingError, match="no serial port"):
        find_usb_meter(str(tmp_path))

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReadingError, match="/dev/rfcomm0: no permission; is this user in the group dialout"):
        find_usb_meter("/dev/rfcomm0")


def test_the_command_shows_it(
    meter: Meter, port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(find, "find_usb_meter", lambda device: patient(device) if device else find_usb_meter(device))
    meter.answers = [[answer(UM25C, 5100, 6000, 3060)]]
    assert main(["meter", "--energy", f"usb-meter:{port}", "--seconds", "0.05", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["taken"], found["why"], found["method"]) == ("usb-meter", "asked for", "measured")
    assert found["power_w"] == pytest.approx(3.06)
    listed = {each["kind"]: each for each in found["sources"]}
    assert listed["usb-meter"] == {"kind": "usb-meter", "available": True, "text": f"UM25C at {port}, 5.10 V"}
    assert main(["meter", "--energy", "model", "--seconds", "0.05"]) == 0
    assert "usb-meter  no   only if its serial port is named" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["usb-meter:/dev/rfcomm77", "rapl:/dev/rfcomm0"])
def test_the_command_refuses_in_a_line(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        ended = main(["meter", "--energy", source])
    except SystemExit as exit_:
        ended = int(exit_.code or 0)
    assert ended == 2
    assert source in capsys.readouterr().err.splitlines()[-1]
