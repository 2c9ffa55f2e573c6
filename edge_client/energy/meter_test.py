from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import pytest

from device_profiles import PowerModel
from edge_client.energy import Energy, Phases, SampledMeter, sampler
from edge_client.energy.figure import added_up
from edge_client.energy.model import ModelSource
from edge_client.energy.rig_test import Clock, Scripted
from edge_client.energy.source import About, Accuracy, PowerSource, ReadingError

WATTS = About("test", "a test", "measured", "board", most_w=50.0)


def still(source: Scripted, clock: Clock) -> SampledMeter:
    """A meter that reads only where it is told to."""
    return SampledMeter(source, rate_hz=0.0, clock=clock, cpu=lambda: 0.0)


def run(meter: SampledMeter, clock: Clock, source: Scripted, watts: list[float], step_s: float = 0.1) -> None:
    for value in watts:
        clock.now += step_s
        source.value = value
        meter.mark()


def test_with_gives_the_joules_of_a_block(clock: Clock) -> None:
    source = Scripted(replace(WATTS, accuracy=Accuracy(0.01, 0.02, "a book")))
    meter = still(source, clock)
    source.value = 4.0
    with meter:
        run(meter, clock, source, [4.0] * 20)
    energy = meter.energy
    assert energy is not None
    assert energy.gross_j == pytest.approx(8.0, rel=1e-3)
    assert (energy.idle_j, energy.method, energy.covers, energy.flags) == (None, "measured", "board", ())
    assert energy.source == "a test; uncertainty: a book"
    assert energy.coverage == pytest.approx(1.0)
    assert energy.uncertainty_j == pytest.approx(math.hypot(0.01 * 8, 0.02 * 2), rel=1e-3)
    assert not energy.excluded


def test_idle_power_is_measured_and_subtracted(clock: Clock) -> None:
    source = Scripted(WATTS)
    meter = still(source, clock)
    readings = [2.0, 2.1, 1.9, 2.0, 9.0, 2.0, 2.05, 1.95]

    meter.measure_idle(1.0, sleep=lambda seconds: run(meter, clock, source, readings))
    assert meter.baseline is not None
    assert meter.baseline.power_w == pytest.approx(2.0)
    assert meter.baseline.uncertainty_w is not None
    assert 0 < meter.baseline.uncertainty_w < 0.1
    with meter:
        run(meter, clock, source, [6.0] * 10)
    assert meter.energy is not None
    assert meter.energy.idle_j == pytest.approx(2.0, rel=1e-3)
    assert meter.energy.source.startswith("a test; idle 2.000 W (± 0.0")


def test_no_idle_power_from_too_few_readings_or_in_no_time(clock: Clock) -> None:
    source = Scripted(WATTS)
    meter = still(source, clock)
    meter.measure_idle(0.0)
    assert meter.baseline is None
    source.problem = "gone"
    meter.measure_idle(1.0, sleep=lambda seconds: None)
    assert meter.baseline is None


def test_a_sensor_that_vanishes_leaves_a_figure_that_does_not_count(clock: Clock) -> None:
    source = Scripted(WATTS)
    source.value = 3.0
    meter = still(source, clock)
    with meter:
        run(meter, clock, source, [3.0] * 10)
        source.problem = "/sys/x: No such device"
        run(meter, clock, source, [3.0] * 10)
    assert meter.energy is not None
    assert meter.energy.coverage == pytest.approx(0.5, abs=0.01)
    assert meter.energy.excluded
    assert meter.energy.flags == (
        "11 readings failed, at last: /sys/x: No such device",
        "excluded: readings cover 50 % of the interval",
    )
    with meter:
        clock.now += 1.0
    assert meter.energy is not None
    assert meter.energy.excluded
    never = still(Scripted(WATTS), clock)
    never.sampler.source.problem = "gone"  # type: ignore[attr-defined]
    with never:
        clock.now += 1.0
    assert never.energy is None


def test_what_makes_readings_worthless_excludes_the_interval_alone(clock: Clock) -> None:
    source = Scripted(WATTS)
    source.value = 3.0
    meter = still(source, clock)
    with meter:
        run(meter, clock, source, [3.0] * 20)
        source.problem, source.excludes = "the battery is being charged", True
        run(meter, clock, source, [3.0])
        source.problem = ""
        run(meter, clock, source, [3.0] * 20)
    assert meter.energy is not None
    assert meter.energy.flags == ("excluded: the battery is being charged",)
    with meter:
        run(meter, clock, source, [3.0] * 3)
    energy = meter.energy
    assert energy is not None
    assert not energy.flags


def test_a_clock_that_is_set_does_not_matter_and_sleep_is_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Scripted(WATTS)
    source.value = 3.0
    meter = still(source, clock)
    with meter:
        run(meter, clock, source, [3.0] * 5)
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() - 3600)
        run(meter, clock, source, [3.0] * 5)
        start = sampler._boottime() - time.monotonic() + 100
        monkeypatch.setattr(sampler, "_boottime", lambda: time.monotonic() + start)
        monkeypatch.setattr(time, "time", lambda: now() - 3500)
        run(meter, clock, source, [3.0] * 5)
    assert meter.energy is not None
    assert meter.energy.gross_j == pytest.approx(4.5, rel=1e-3)
    assert meter.energy.flags == (
        "the clock was set by -3600 s; the figure does not depend on it",
        "the device slept for 100 s",
    )


def test_a_look_at_the_clocks_that_was_interrupted_tells_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two clocks that are read one after the other a busy machine may do something else for seconds."""
    source = Scripted(WATTS)
    source.value = 3.0
    meter = still(source, clock)
    times = (time.monotonic, time.time)
    late = [0.0]

    def other_time() -> float:
        late[0] += 5.0  # whatever comes after this is late by as much
        return times[1]() + late[0]

    monkeypatch.setattr(time, "monotonic", lambda: times[0]() + late[0])
    monkeypatch.setattr(sampler, "_boottime", lambda: times[0]() + late[0])
    with meter:
        run(meter, clock, source, [3.0] * 5)
        monkeypatch.setattr(time, "time", other_time)
        run(meter, clock, source, [3.0])
        after = late[0]
        monkeypatch.setattr(time, "time", lambda: times[1]() + after)
        run(meter, clock, source, [3.0] * 5)
    assert meter.energy is not None
    assert meter.energy.flags == ()


def test_the_model_says_its_numbers() -> None:
    clock, cpu = Clock(), [1.0]
    source = ModelSource(PowerModel(0.5, 2.0, "a guess"), wall=clock, cpu=lambda: cpu[0])
    meter = SampledMeter(source, clock=clock, cpu=lambda: 0.0)
    with meter:
        clock.now += 4.0
        cpu[0] += 2.0
    assert meter.energy is not None
    assert meter.energy.gross_j == pytest.approx(4 * 0.5 + 2 * 2.0, rel=1e-4)
    assert meter.energy.idle_j == pytest.approx(2.0, rel=1e-4)
    assert (meter.energy.method, meter.energy.rate_hz, meter.energy.uncertainty_j) == ("modelled", None, None)
    assert "2.0 W per core" in meter.energy.source
    assert "a guess" in meter.energy.source
    assert meter.sampler.overhead is None


def test_a_thread_reads_by_itself_and_ends() -> None:
    source = Scripted(WATTS)
    source.value = 3.0
    meter = SampledMeter(source, rate_hz=200.0)
    start = meter.mark()
    while len(meter.sampler.powers(start, math.inf)) < 10:
        time.sleep(0.01)
    energy = meter.between(start, meter.mark())
    assert energy is not None
    assert energy.rate_hz is not None
    assert 0 < energy.rate_hz <= 200
    with meter:
        pass
    assert meter.energy is not None
    assert meter.energy.rate_hz == 200, "two readings in no time are no rate"
    assert meter.sampler.overhead is not None
    assert 0 < meter.sampler.overhead < 1
    thread = meter.sampler._thread
    assert thread is not None
    meter.close()
    assert source.closed
    assert not thread.is_alive()


class OutOfReach(PowerSource):
    """A meter whose first reading waits, in vain, until the test lets it fail."""

    about = WATTS

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked, self.over = threading.Event(), threading.Event()
        self.readers: list[str] = []
        self.failed = 0

    def read(self) -> float:
        """Wait and fail."""
        self.readers.append(threading.current_thread().name)
        self.asked.set()
        self.over.wait(20)
        self._clock.now += 5.0
        self.failed += 1
        raise ReadingError("no answer")


def test_work_does_not_wait_for_a_meter_that_is_out_of_reach(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_PATIENCE_S", 0.05)
    source = OutOfReach(clock)
    meter = SampledMeter(source, clock=clock, cpu=lambda: 0.0)
    meter.sampler.start()
    source.asked.wait()
    meter.mark()
    assert not source.failed, "it returned while the thread still waited"
    source.over.set()
    while not meter.sampler._unreachable:
        time.sleep(0.001)
    with meter:
        pass
    assert set(source.readers) == {"energy"}, "who marks does not wait for what has just failed"
    meter.close()


def test_phases_are_cut_from_one_series(clock: Clock) -> None:
    source = Scripted(WATTS)
    phases = Phases(still(source, clock))
    source.value = 1.0
    for phase, seconds in (("wait", 2.0), ("download", 0.4), ("", 0.4), ("train", 0.3), ("", 0.4), ("upload", 0.1)):
        phases.enter(phase)
        phases.enter(phase)
        for _ in range(round(seconds * 10)):
            clock.now += 0.1
            phases.meter.mark()
    phases.enter("wait")
    found = {phase: phases.take(phase) for phase in ("wait", "download", "train", "evaluate", "upload")}
    joules = {phase: round(energy.gross_j, 3) for phase, energy in found.items() if energy}
    assert joules == {"wait": 2.0, "download": 0.4, "train": 0.3, "upload": 0.1}
    assert phases.take("train") is None


def test_waiting_adds_up_and_the_rest_begins_anew(clock: Clock) -> None:
    source = Scripted(replace(WATTS, accuracy=Accuracy(0.1, 0.0, "")))
    source.value = 2.0
    phases = Phases(still(source, clock))
    for phase in ("wait", "download", "wait", "download", "train"):
        phases.enter(phase)
        clock.now += 0.4
    phases.enter("")
    waited, download = phases.take("wait"), phases.take("download")
    assert waited is not None
    assert download is not None
    assert (waited.gross_j, download.gross_j) == pytest.approx((1.6, 0.8), rel=1e-3)
    assert waited.uncertainty_j == pytest.approx(0.16, rel=1e-3)


def test_sums_of_figures() -> None:
    a = Energy(1.0, 0.5, "measured", "s", "board", 10.0, 1.0, 0.25, ("x",))
    b = Energy(3.0, None, "measured", "s", "board", 20.0, 0.5, 0.5, ("x", "y"))
    assert added_up([]) is None
    assert added_up([(1.0, a), (3.0, b)]) == Energy(4.0, None, "measured", "s", "board", 17.5, 0.625, 0.75, ("x", "y"))
