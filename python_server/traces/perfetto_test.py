"""Perfetto traces, encoded by protobuf's own library from the messages' published field numbers and names."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from python_server.errors import TraceError
from python_server.traces import Hints, read_trace

_UINT64, _INT64, _UINT32, _STRING, _MESSAGE, _BYTES = 4, 3, 13, 9, 11, 12
_MESSAGES: dict[str, list[tuple[str, int, int, str, bool]]] = {
    "Trace": [("packet", 1, _MESSAGE, "TracePacket", True)],
    "TracePacket": [
        ("clock_snapshot", 6, _MESSAGE, "ClockSnapshot", False),
        ("timestamp", 8, _UINT64, "", False),
        ("synchronization_marker", 36, _BYTES, "", False),
        ("battery", 38, _MESSAGE, "BatteryCounters", False),
        ("power_rails", 40, _MESSAGE, "PowerRails", False),
        ("compressed_packets", 50, _BYTES, "", False),
        ("timestamp_clock_id", 58, _UINT32, "", False),
    ],
    "ClockSnapshot": [("clocks", 1, _MESSAGE, "Clock", True)],
    "Clock": [("clock_id", 1, _UINT32, "", False), ("timestamp", 2, _UINT64, "", False)],
    "PowerRails": [
        ("rail_descriptor", 1, _MESSAGE, "RailDescriptor", True),
        ("energy_data", 2, _MESSAGE, "EnergyData", True),
    ],
    "RailDescriptor": [
        ("index", 1, _UINT32, "", False),
        ("rail_name", 2, _STRING, "", False),
        ("subsys_name", 3, _STRING, "", False),
        ("sampling_rate", 4, _UINT32, "", False),
    ],
    "EnergyData": [
        ("index", 1, _UINT32, "", False),
        ("timestamp_ms", 2, _UINT64, "", False),
        ("energy", 3, _UINT64, "", False),
    ],
    "BatteryCounters": [
        ("charge_counter_uah", 1, _INT64, "", False),
        ("current_ua", 3, _INT64, "", False),
        ("voltage_uv", 7, _INT64, "", False),
    ],
}


def _trace_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="perfetto_test.proto", package="test", syntax="proto2")
    for name, members in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for member, number, kind, of, repeated in members:
            item = message.field.add(name=member, number=number, type=kind, label=3 if repeated else 1)
            if of:
                item.type_name = f".test.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Trace"))


TRACE = _trace_class()
BOOT_S, UNIX_S = 5000.0, 1_760_000_000.0


def rails(
    seconds: int = 8, *, names: tuple[str, ...] = ("S2M_VDD_CPUCL2", "VSYS_PWR_WLAN_BT"), clock: bool = True
) -> Any:
    """Return a trace of rails of 2 W and 0.5 W, read twice a second; names as on a Pixel 6."""
    trace = TRACE()
    if clock:
        clocks = trace.packet.add().clock_snapshot.clocks
        clocks.add(clock_id=6, timestamp=int(BOOT_S * 1e9))
        clocks.add(clock_id=1, timestamp=int(UNIX_S * 1e9))
    trace.packet.add(synchronization_marker=bytes.fromhex("82477a76b28d42ba81dc33326d57a079"))
    described = trace.packet.add(timestamp=int(BOOT_S * 1e9)).power_rails
    for index, name in enumerate(names):
        described.rail_descriptor.add(index=index, rail_name=name, subsys_name="cpu", sampling_rate=1023)
    for half in range(2 * seconds + 1):
        packet = trace.packet.add(timestamp=int((BOOT_S + half / 2) * 1e9) + 3)
        for index, watts in zip(range(len(names)), (2.0, 0.5)):
            packet.power_rails.energy_data.add(
                index=index, timestamp_ms=int(BOOT_S * 1000) + 500 * half, energy=10**9 + int(watts * half / 2 * 1e6)
            )
    return trace


def battery(microamps: int, charges: list[int], *, volts: bool = True) -> Any:
    """Return a trace of a battery read every quarter of a second."""
    trace = TRACE()
    for quarter, charge in enumerate(charges):
        packet = trace.packet.add(timestamp=int((BOOT_S + quarter / 4) * 1e9))
        packet.battery.charge_counter_uah = charge
        packet.battery.current_ua = microamps + quarter
        if volts:
            packet.battery.voltage_uv = 4_000_000
    return trace


def saved(tmp_path: Path, trace: Any) -> Path:
    path = tmp_path / "trace.perfetto-trace"
    path.write_bytes(trace.SerializeToString())
    return path


def test_rails_are_added_up_in_unix_time(tmp_path: Path) -> None:
    trace = read_trace(saved(tmp_path, rails()))
    assert trace.unix
    assert trace.over(UNIX_S + 1, UNIX_S + 5).joules == pytest.approx(4 * 2.5)
    assert (trace.method, trace.covers) == ("rail", "parts")
    assert trace.source == "power rails, sum of S2M_VDD_CPUCL2, VSYS_PWR_WLAN_BT"
    assert trace.rate_hz == pytest.approx(2)


def test_rails_are_chosen_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, rails(clock=False))
    trace = read_trace(path, hints=Hints(rails=("VSYS_PWR_WLAN_BT",)))
    assert not trace.unix
    assert trace.over(BOOT_S, BOOT_S + 8).joules == pytest.approx(4)
    with pytest.raises(TraceError, match="it has no rail VDD; it has S2M_VDD_CPUCL2, VSYS_PWR_WLAN_BT"):
        read_trace(path, hints=Hints(rails=("VDD",)))


def test_compressed_packets_are_unpacked(tmp_path: Path) -> None:
    plain = rails()
    trace = TRACE()
    trace.packet.append(plain.packet[0])
    rest = TRACE(packet=plain.packet[1:])
    trace.packet.add(compressed_packets=zlib.compress(rest.SerializeToString()))
    assert read_trace(saved(tmp_path, trace)).over(UNIX_S, UNIX_S + 8).joules == pytest.approx(8 * 2.5)
    nested = TRACE()
    nested.packet.add(compressed_packets=zlib.compress(trace.SerializeToString()))
    with pytest.raises(TraceError, match="a compressed packet holds another one"):
        read_trace(saved(tmp_path, nested))
    for damaged in (trace.packet[1].compressed_packets[:-20], b"not deflate"):
        trace.packet[1].compressed_packets = damaged
        with pytest.raises(TraceError, match="a compressed packet is damaged"):
            read_trace(saved(tmp_path, trace))


def test_a_trace_without_rails_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no power rails: only Pixel 6 .* try --format perfetto-battery"):
        read_trace(saved(tmp_path, battery(500_000, [9, 8])), "perfetto")
    described_only = rails(seconds=8)
    del described_only.packet[3:]
    with pytest.raises(TraceError, match="it holds no power rails"):
        read_trace(saved(tmp_path, described_only))


def test_two_recordings_in_one_are_refused(tmp_path: Path) -> None:
    trace = rails()
    trace.packet.add().power_rails.rail_descriptor.add(index=0, rail_name="S2S_VDD_G3D")
    with pytest.raises(TraceError, match="rail 0 is called S2M_VDD_CPUCL2 and S2S_VDD_G3D: it holds two recordings"):
        read_trace(saved(tmp_path, trace))


def test_another_clock_is_refused(tmp_path: Path) -> None:
    trace = rails()
    trace.packet[-1].timestamp_clock_id = 3
    with pytest.raises(TraceError, match="stamped by clock 3"):
        read_trace(saved(tmp_path, trace))


def test_a_trace_cut_off_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, rails())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(TraceError, match="cut off"):
        read_trace(path)


@pytest.mark.parametrize("sign", [1, -1])
def test_battery_counters_give_joules_whatever_the_sign(tmp_path: Path, sign: int) -> None:
    path = saved(tmp_path, battery(sign * 500_000, [3_000_000 - 35 * quarter for quarter in range(41)]))
    trace = read_trace(path, "perfetto-battery")
    assert trace.over(BOOT_S, BOOT_S + 10).joules == pytest.approx(10 * 0.5 * 4, rel=1e-3)
    assert (trace.method, trace.covers) == ("battery", "device")


def test_a_battery_that_was_charged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="the battery was charged meanwhile"):
        read_trace(saved(tmp_path, battery(-500_000, [100, 101, 102])), "perfetto-battery")


def test_a_battery_without_voltage_needs_one(tmp_path: Path) -> None:
    path = saved(tmp_path, battery(500_000, list(range(100, 59, -1)), volts=False))
    with pytest.raises(TraceError, match="give a typical one with --volts"):
        read_trace(path, "perfetto-battery")
    trace = read_trace(path, "perfetto-battery", Hints(volts=3.85))
    assert trace.over(BOOT_S, BOOT_S + 10).joules == pytest.approx(10 * 0.5 * 3.85, rel=1e-3)
    assert "3.85 V that --volts gave" in trace.source
