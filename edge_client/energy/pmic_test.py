"""The answer of a busy Raspberry Pi 5, from the README of github.com/jfikar/RPi5-power."""

from __future__ import annotations

import fcntl
import struct
from pathlib import Path

import pytest

from edge_client.energy.pmic import Mailbox, find_pmic, watts_of
from edge_client.energy.source import ReadingError

ANSWER = """\
 3V7_WL_SW_A current(0)=0.00000000A
   3V3_SYS_A current(1)=0.06245952A
   1V8_SYS_A current(2)=0.16102850A
  DDR_VDD2_A current(3)=0.00780744A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.17566740A
    0V8_SW_A current(6)=0.32791250A
  VDD_CORE_A current(7)=10.87674000A
   3V3_DAC_A current(17)=0.00036630A
   3V3_ADC_A current(18)=0.00042735A
   0V8_AON_A current(16)=0.00579975A
      HDMI_A current(22)=0.01367520A
 3V7_WL_SW_V volt(8)=3.79999600V
   3V3_SYS_V volt(9)=3.30632200V
   1V8_SYS_V volt(10)=1.79828900V
  DDR_VDD2_V volt(11)=1.10292900V
  DDR_VDDQ_V volt(12)=0.60476130V
   1V1_SYS_V volt(13)=1.10439400V
    0V8_SW_V volt(14)=0.80256330V
  VDD_CORE_V volt(15)=0.89745940V
   3V3_DAC_V volt(20)=3.30494200V
   3V3_ADC_V volt(21)=3.30219400V
   0V8_AON_V volt(19)=0.79736190V
      HDMI_V volt(23)=5.07056000V
     EXT5V_V volt(24)=5.06788000V
      BATT_V volt(25)=3.01110800V
"""
WATTS = (
    (0.06245952 * 3.306322 + 0.1610285 * 1.798289 + 0.00780744 * 1.102929 + 0.1756674 * 1.104394)
    + (0.3279125 * 0.8025633 + 10.87674 * 0.8974594 + 0.0003663 * 3.304942 + 0.00042735 * 3.302194)
    + (0.00579975 * 0.7973619 + 0.0136752 * 5.07056)
)


def test_all_rails_with_a_current_add_up() -> None:
    assert watts_of(ANSWER) == pytest.approx(WATTS)
    assert pytest.approx(10.8, abs=0.1) == WATTS


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (ANSWER[:700], "is without its current or voltage"),
        (ANSWER.replace("VDD_CORE_V", "VDD_WHAT_V"), "rail VDD_CORE is without"),
        ('error=1 error_msg="Command not registered"', 'error_msg="Command not registered"'),
        ("", "no answer"),
    ],
)
def test_half_an_answer_is_none(answer: str, problem: str) -> None:
    with pytest.raises(ReadingError, match=problem):
        watts_of(answer)


def test_the_tool_is_asked_where_there_is_no_mailbox(tmp_path: Path) -> None:
    file = tmp_path / "usr/bin/vcgencmd"
    file.parent.mkdir(parents=True)
    (tmp_path / "answer").write_text(ANSWER)
    file.write_text(f'#!/bin/sh\n[ "$*" = pmic_read_adc ] && cat {tmp_path}/answer\n')
    file.chmod(0o755)
    source = find_pmic(tmp_path)
    assert source.read() == pytest.approx(WATTS)
    assert (source.about.method, source.about.covers, source.about.rate_hz) == ("rail", "parts", 1.0)
    assert source.helpers_cpu_s() > 0
    (tmp_path / "answer").write_text("error=2")
    with pytest.raises(ReadingError, match="error=2"):
        source.read()


def test_the_mailbox_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held against the layout that the firmware's wiki gives: size, request, tag, its length, 0, 0, words, end."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/vcio").touch()

    def firmware(descriptor: int, request: int, message: bytearray, mutate: bool) -> int:
        size, code, tag, length = struct.unpack_from("=4I", message)
        assert (size, code, tag, length) == (len(message), 0, 0x00030080, 1024)
        assert message[24:].startswith(b"pmic_read_adc\0")
        assert message[-4:] == bytes(4)
        assert request == (0xC0086400 if struct.calcsize("P") == 8 else 0xC0046400)
        message[24 : 24 + len(ANSWER)] = ANSWER.encode()
        return 0

    monkeypatch.setattr(fcntl, "ioctl", firmware)
    source = find_pmic(tmp_path)
    assert source.read() == pytest.approx(WATTS)
    assert (source.about.rate_hz, source.helpers_cpu_s()) == (10.0, 0.0)
    source.close()


def test_what_is_no_raspberry_pi_5(tmp_path: Path) -> None:
    with pytest.raises(ReadingError, match="no Raspberry Pi"):
        find_pmic(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/vcio").touch()  # a file is no mailbox
    with pytest.raises(ReadingError, match="the firmware's mailbox"):
        find_pmic(tmp_path)
    with pytest.raises(OSError, match="vcio"):
        Mailbox(tmp_path / "dev/vcio2")
