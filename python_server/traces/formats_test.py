"""Files as instruments write them, small ones, each with the joules that a hand calculation gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from python_server.errors import TraceError
from python_server.traces import Hints, PowerTrace, read_trace

# Each is 4 V, 0.5 A for a second, then rising to 1.0 A in the next, then 1.0 A: 2 + 3 + 4 = 9 J in three seconds.
JOULES = 9.0
# PowerTool's columns, as published scripts that analyse its exports name them.
POWERTOOL = """\
Time (s),Main Avg Current (mA),Main Avg Voltage (V)
0,500,4.0
1,500,4.0
2,1000,4.0
3,1000,4.0
"""
# PyMonsoon, Monsoon/sampleEngine.py: a comma ends each line, "Time(ms)" is in seconds, readings of a packet share it.
PYMONSOON = """\
Time(ms),Main(mA),Main Voltage(V),
0.0,400.0,4.0,
0.0,600.0,4.0,
1.0,500.0,4.0,
2.0,1000.0,4.0,
3.0,1000.0,4.0,
"""
# jetperch/pyjoulescope_ui: "#time,current,voltage,power,charge,energy"; the energy counts on between the lines written.
JOULESCOPE = """\
#time,current,voltage,power,charge,energy
1.0,0.5,4.0,2.0,0.5,2.0
2.0,0.75,4.0,3.0,1.25,5.0
3.0,1.0,4.0,4.0,2.25,9.0
4.0,0.5,4.0,2.0,2.75,11.0
"""
OTII_POWER = '"Timestamp","Value"\n0.000000,2\n1.000000,2\n2.000000,4\n3.000000,4\n'
OTII_CURRENT = '"Timestamp","Value"\n0.000000,0.5\n1.000000,0.5\n2.000000,1\n3.000000,1\n'
OTII_VOLTAGE = '"Timestamp","Value"\n0.500000,4\n2.500000,4\n'


def file(tmp_path: Path, text: str, name: str = "trace.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def total(trace: PowerTrace) -> float:
    return trace.over(trace.start_s, trace.end_s).joules


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (POWERTOOL, "trace.csv", "Monsoon power monitor, Main channel"),
        (POWERTOOL.replace("Main", "USB"), "trace.csv", "Monsoon power monitor, USB channel"),
        (PYMONSOON, "trace.csv", "Monsoon power monitor, Main channel"),
        (OTII_POWER, "Main power - Ace.csv", "Otii, power"),
        ("time,watts\n0,2\n1,2\n2,4\n3,4\n", "trace.csv", "watts from watts"),
        ("t;power (mW)\n0;2000,0\n1;2000,0\n2;4000,0\n3;4000,0\n", "trace.csv", "watts from power (mW)"),
        (
            "Some meter, firmware 3\n\ntime_ms\tvolts\tamps\n0\t4\t.5\n1000\t4\t.5\n2000\t4\t1\n3000\t4\t1\n",
            "t.tsv",
            "amps",
        ),
        ("time,energy_mWh\n0,0\n1,0.5555556\n3,2.5\n", "trace.csv", "joules from energy_mWh"),
        ("Time [sec],Power (kW)\n0,.002\n1,.002\n2,.004\n3,.004\n", "trace.csv", "watts from Power (kW)"),
        ("Time (UTC),P (mw) avg\n0,2000\n1,2000\n2,4000\n3,4000\n", "trace.csv", "watts from P (mw) avg"),
        ("Time/ms,I/μA,U/V\n0,5e5,4\n1e3,5e5,4\n2e3,1e6,4\n3e3,1e6,4\n", "trace.csv", "amps from I/μA"),
    ],
)
def test_exports_give_the_joules_of_a_hand_calculation(tmp_path: Path, text: str, name: str, words: str) -> None:
    trace = read_trace(file(tmp_path, text, name))
    assert total(trace) == pytest.approx(JOULES)
    assert trace.over(0.5, 1.5).joules == pytest.approx(1 + 1.5, abs=0.51)  # linear within a step
    assert words in trace.source
    assert (trace.method, trace.covers, trace.unix) == ("measured", "device", False)


def test_joulescope_counts_between_the_lines(tmp_path: Path) -> None:
    trace = read_trace(file(tmp_path, JOULESCOPE))
    assert total(trace) == pytest.approx(9.0)
    assert trace.over(1.0, 3.0).joules == pytest.approx(7.0)
    assert "own counter" in trace.source


def test_current_needs_a_voltage(tmp_path: Path) -> None:
    current = file(tmp_path, OTII_CURRENT, "Main current - Arc.csv")
    with pytest.raises(TraceError, match="put 'Main voltage - Arc.csv' beside it, or give the voltage with --volts"):
        read_trace(current)
    assert total(read_trace(current, hints=Hints(volts=4.0))) == pytest.approx(JOULES)
    file(tmp_path, OTII_VOLTAGE, "Main voltage - Arc.csv")
    assert total(read_trace(current)) == pytest.approx(JOULES)
    alone = file(tmp_path, "time,current\n0,0.5\n1,0.5\n2,1\n3,1\n")
    with pytest.raises(TraceError, match="the supply's with --volts"):
        read_trace(alone)
    trace = read_trace(alone, hints=Hints(volts=4.0, covers="board"))
    assert total(trace) == pytest.approx(JOULES)
    assert "4 V that --volts gave" in trace.source
    assert trace.covers == "board"


def test_columns_are_named_by_the_user(tmp_path: Path) -> None:
    path = file(tmp_path, "when,load,I bat\n0,1,-500\n1000,1,-500\n2000,1,-1000\n3000,1,-1000\n")
    with pytest.raises(TraceError, match="none of the formats"):
        read_trace(path)
    hints = Hints(columns=("time=when:ms", "amps=-I bat:mA"), volts=4.0)
    assert total(read_trace(path, hints=hints)) == pytest.approx(JOULES)


def test_dates_are_unix_time(tmp_path: Path) -> None:
    lines = [f"2026-03-01T12:00:0{second}+00:00,{watts}\n" for second, watts in enumerate((2, 2, 4, 4))]
    trace = read_trace(file(tmp_path, "timestamp,power\n" + "".join(lines)))
    assert trace.unix
    assert trace.start_s == 1772366400.0
    assert total(trace) == pytest.approx(JOULES)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    lines = [f"{second},1\n".encode() for second in range(10_000)]
    path.write_bytes(b"time,power\n" + b"".join(lines) + b"10000,\xff\xfe\n")
    with pytest.raises(TraceError, match="line 10002, column 'power': '.*' is no number"):
        read_trace(path)
    path.write_bytes(b"time,power\n0,1\n1,\xff\xfe\n")
    with pytest.raises(TraceError, match="it is no text"):
        read_trace(path, "csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("1,2\n3,4\n", "none of the formats"),
        ("time,power\n", "it holds no readings"),
        ("time,power\n0,1\n", "fewer than two readings"),
        ("time,power\n0,1\n1,x\n", "line 3, column 'power': 'x' is no number"),
        ('time,power\n0,1\n1,"2\n2,3\n', r"line 3, column 'power': '2\\n2,3' is no number"),
        ("time,power\n0,1\n2,1\n1,1\n", r"time goes back from 2.000000 to 1.000000 s at reading 3"),
        ("time,power\n0,1\n,1\n2,1\n", "reading 2 has no time"),
        ("time,power\n0,\n1,\n2,1\n", "no stretch of time in which power is known"),
        ("time,power\n0,2000\n1,2100\n", "mean power is 2.05e.03 W, which no phone or board uses"),
        ("time,current_mA,voltage\n0,-900,5\n1,-905,5\n", "mean power is -4.51 W"),
        ("time,power\n0,0\n1,0\n", "mean power is 0 W"),
        (
            "time,power (dBm)\n0,30\n1,31\n",
            r"column 'power \(dBm\)': 'dBm' is no unit that is known here; say .*:UNIT'",
        ),
        ("time,energy (mAh)\n0,1\n1,2\n", "'mAh' is no unit that is known here"),
        ("time,energy\n0,0\n1,1e6\n2,2e6\n", "mean power is 1e.06 W"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(TraceError, match=words) as refusal:
        read_trace(path)
    assert str(path) in str(refusal.value)


def test_gaps_and_missing_values_are_not_filled() -> None:
    times = np.concatenate([np.arange(0, 10, 0.1), np.arange(60, 70, 0.1)])
    watts = np.where((times > 5) & (times < 6), np.nan, 2 + 0.01 * np.sin(times))
    trace = PowerTrace.of_watts(times, watts, unix=False, source="", covers="device")
    span = trace.over(0, 69.9)
    assert span.covered_s == pytest.approx(9.9 - 1.0 + 9.9, abs=0.11)
    assert span.watts == pytest.approx(2, abs=0.01)
    assert trace.flags == ("1 gaps, 50.1 s in all",)


def test_readings_that_cannot_be_true_are_left_out_and_told() -> None:
    """An overflow of one reading is a spike of millions of joules; a counter's is worse."""
    times = np.arange(0, 100, 0.01)
    watts = 2 + 0.01 * np.sin(times)
    watts[5000] = 4.294967295e9
    trace = PowerTrace.of_watts(times, watts, unix=False, source="", covers="device")
    assert trace.over(0, 99).watts == pytest.approx(2, abs=0.001)
    assert trace.over(0, 99).covered_s == pytest.approx(99 - 0.02)
    assert trace.flags == ("1 readings beyond 500 W were left out",)
    counter = 3.6 * np.floor(np.cumsum(watts * 0.01 * (watts < 500)) / 3.6)
    counter[7000:] += 1e6
    trace = PowerTrace.of_joules(times, counter, unix=False, source="", method="rail", covers="parts")
    assert trace.over(0, 99).watts == pytest.approx(2, abs=0.05)
    assert trace.flags == ("its counter jumped 1 times by more than can be true",)


def test_power_that_flows_back_is_told() -> None:
    times = np.arange(0, 100, 0.1)
    noisy = 0.2 * np.sin(99 * times)
    noise = PowerTrace.of_watts(times, noisy + 0.199, unix=False, source="", covers="device")
    assert noise.flags == ()
    fed = PowerTrace.of_watts(times, np.where(times < 20, -1, 3) + noisy, unix=False, source="", covers="device")
    assert fed.flags[0].startswith("power below zero for 19.9 s")


def test_a_stuck_instrument_covers_nothing() -> None:
    times = np.arange(0, 120, 0.5)
    watts = np.where((times >= 40) & (times < 100), 3.21, 3 + 0.01 * np.sin(times))
    trace = PowerTrace.of_watts(times, watts, unix=False, source="", covers="device")
    assert trace.over(45, 95).covered_s == 0
    assert trace.over(0, 39).covered_s == pytest.approx(39)
    assert trace.flags == ("the instrument repeats the same reading for 60 s",)


def test_a_counter_that_starts_anew_loses_that_step_alone() -> None:
    times, counter = np.arange(6.0), np.array([100.0, 102.0, 104.0, 1.0, 3.0, 5.0])
    trace = PowerTrace.of_joules(times, counter, unix=False, source="", method="rail", covers="parts")
    assert trace.over(0, 5).joules == 8
    assert trace.over(0, 5).covered_s == 4
