"""What ``pocketfleet energy`` does: show figures, attach a recording, detach it."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Optional

from device_profiles import ProfileError, load_profile
from edge_client.marker import MARKER
from python_server.energy_figures import TRACE, EnergyFigure, all_figures, counted
from python_server.errors import StoreError, TraceError
from python_server.run_reader import RunReader
from python_server.run_rows import ENERGY, ENERGY_EXCLUDED, ENERGY_PHASES, DeviceRow, MeasurementRow
from python_server.store import RunStore
from python_server.traces import DevicePhase, Hints, PowerTrace, align, attach, device_phases, read_trace
from python_server.traces.attach import TRACE_HASH

__all__ = ["attach_trace", "detach", "show"]

_WORTH_TELLING_S = 1.0
"""A clock that is off by more is told of; one that is off by less is put right."""
_SURE_CORRELATION = 0.7


def show(options: argparse.Namespace) -> int:
    """Print the energies of a run."""
    with RunReader(options.run) as run:
        figures, names = all_figures(run), {device.device: device.name for device in run.devices()}
    chosen = counted(figures)
    if options.json:
        lines = [
            {**asdict(each), "name": names.get(each.device, each.device), "counts": chosen.get(each.key) is each}
            for each in figures
        ]
        print(json.dumps(lines, indent=2, ensure_ascii=False))
        return 0
    if not figures:
        print("no energies: the devices told none, and no recording is attached")
        return 0
    print("\n".join(_table(chosen.values(), names, by_round=options.rounds)))
    excluded = [each for each in figures if each.excluded]
    if excluded:
        print("\nexcluded:")
        for each in excluded:
            print(
                f"  {names.get(each.device, each.device)}, round {each.round}, {each.phase}: {each.gross_j:.3g} J "
                f"({each.method}): {'; '.join(each.flags) or 'no reason told'}"
            )
    return 0


def attach_trace(options: argparse.Namespace) -> int:
    """Add what a recording says to a run."""
    if options.volts is not None and options.volts <= 0:
        raise TraceError(f"--volts {options.volts:g}: a supply has a positive voltage")
    with RunReader(options.run) as run:
        device = _device(run, options.device)
        phases = device_phases(device.device, run.rounds(), run.device_rounds(), run.measurements())
    if not phases:
        raise TraceError(f"{options.run}: {device.name} answered in no round, so there is nothing to attach to")
    rails = tuple(options.rail) or _rails_of(device)
    hints = Hints(tuple(options.column), options.volts, rails, options.covers)
    trace = read_trace(options.file, options.format, hints)
    try:
        trace, how, slack_s = _on_server_clock(trace, phases, options)
        found = attach(
            trace, device.device, phases, options.file, alignment=how, slack_s=slack_s, idle_w=options.idle_w
        )
        missed = [number for number in found.rounds if number not in found.covered]
        if missed and not options.partial:
            raise TraceError(
                f"it does not cover the training of {device.name} in round {_ranges(missed)} (of "
                f"{_ranges(found.rounds)}): accept that with --partial, or see --offset"
            )
    except TraceError as error:
        raise TraceError(f"{options.file}: {error}") from None
    if not options.dry_run:
        digest = found.rows[0].info[TRACE_HASH]
        store = RunStore.open(options.run)
        with contextlib.closing(store):
            store.replace_measurements(
                lambda row: row.device == device.device and row.info.get(TRACE_HASH) == digest, found.rows
            )
    if options.json:
        print(json.dumps([asdict(row) for row in found.rows], indent=2, ensure_ascii=False))
        return 0
    print(f"trace: {trace.rate_hz:.4g} Hz, {trace.end_s - trace.start_s:.1f} s, {trace.source}; {how}")
    for flag in trace.flags:
        print(f"flag: {flag}")
    idle = "not known; give it with --idle-w" if found.idle_w is None else f"{found.idle_w:.3f} W"
    print(f"idle: {idle}")
    for phase in ENERGY_PHASES:
        _print_phase(phase, [row for row in found.rows if row.info["phase"] == phase])
    print(f"{'would add' if options.dry_run else 'added'}: {len(found.rows)} figures of {device.name}")
    return 0


def detach(options: argparse.Namespace) -> int:
    """Remove what recordings added."""
    with RunReader(options.run) as run:
        device = _device(run, options.device)

    def doomed(row: MeasurementRow) -> bool:
        trace = row.info.get(TRACE)
        return row.device == device.device and bool(trace) and options.file in ("", trace)

    with contextlib.closing(RunStore.open(options.run)) as store:
        removed = store.replace_measurements(doomed, [])
    if not removed:
        what = f"'{options.file}'" if options.file else "any recording"
        raise TraceError(f"{options.run} holds no figures of {device.name} from {what}")
    print(f"removed: {removed} figures of {device.name}")
    return 0


def _device(run: RunReader, name: str) -> DeviceRow:
    devices = run.devices()
    found = [device for device in devices if name in (device.name, device.device)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(device.device for device in found)
        raise StoreError(f"{run.path}: several devices are called '{name}'; take one's id: {ids}")
    known = ", ".join(device.name for device in devices) or "none"
    raise StoreError(f"{run.path}: no device is called '{name}'; there are: {known}")


def _rails_of(device: DeviceRow) -> tuple[str, ...]:
    """Return the rails that make up a device's figure by its profile; empty: it does not say."""
    try:
        sources = load_profile(str(device.facts.get("profile") or "")).energy
    except ProfileError:
        return ()
    return next((source.rails for source in sources if source.kind == "rails"), ())


def _on_server_clock(
    trace: PowerTrace, phases: list[DevicePhase], options: argparse.Namespace
) -> tuple[PowerTrace, str, float]:
    """Return the trace in Unix time, how that was found, and by how much it may be off."""
    if options.offset is not None:
        return trace.shifted(options.offset), f"clock set by --offset {options.offset:g}", 0.0
    if options.marker_at is not None:
        found = align(trace, [(options.marker_at + start, options.marker_at + end) for start, end in MARKER])
        return (
            trace.shifted(found.offset_s),
            f"clock set by the marker (correlation {found.correlation:.2f})",
            found.slack_s,
        )
    busy = [(phase.start_at, phase.end_at) for phase in phases if phase.phase == "train" and not phase.problem]
    if not trace.unix:
        found = align(trace, busy)
        return (
            trace.shifted(found.offset_s),
            f"clock set by the device's training (correlation {found.correlation:.2f})",
            found.slack_s,
        )
    try:
        found = align(trace, busy)
    except TraceError:  # it shows too little to say anything about its clock
        return trace, "its own Unix time", 0.0
    if found.correlation < _SURE_CORRELATION:
        return trace, "its own Unix time", 0.0
    if abs(found.offset_s) <= _WORTH_TELLING_S:
        words = f"its own Unix time, put right by {found.offset_s:+.2f} s (correlation {found.correlation:.2f})"
        return trace.shifted(found.offset_s), words, found.slack_s
    flag = (
        f"the training shows {abs(found.offset_s):.1f} s {'earlier' if found.offset_s > 0 else 'later'} in the trace "
        f"than in the run: one of the clocks is off; see --offset {found.offset_s:.2f}"
    )
    return replace(trace, flags=(*trace.flags, flag)), "its own Unix time", 0.0


def _print_phase(phase: str, rows: list[MeasurementRow]) -> None:
    kept = [row for row in rows if row.quantity == ENERGY]
    if kept:
        net = [row.value - row.info["idle_j"] for row in kept if row.info["idle_j"] is not None]
        less = f", {sum(net):.4g} J above idle" if net else ""
        share = min(row.info["coverage"] for row in kept)
        print(
            f"{phase}: {sum(row.value for row in kept):.4g} J in {len(kept)} rounds{less}, coverage {100 * share:.0f} %"
        )
    for row in rows:
        if row.quantity == ENERGY_EXCLUDED:
            print(f"{phase}, round {row.round}: excluded: {row.info['flags'][0]}")


def _table(figures: Iterable[EnergyFigure], names: dict[str, str], *, by_round: bool) -> list[str]:
    """Return lines of joules, summed up over the rounds whose figures have the same method."""
    sums: dict[tuple[str, Optional[int], str, str, bool], list[EnergyFigure]] = {}
    for each in figures:
        name = names.get(each.device, each.device)
        key = (name, each.round if by_round else None, each.phase, each.method, bool(each.trace))
        sums.setdefault(key, []).append(each)
    head = ("device", "round" if by_round else "rounds", "phase", "joules", "above idle", "coverage", "method")
    body = []
    sources = {}
    for key, several in sorted(sums.items(), key=lambda item: (item[0][0], item[0][1] or 0, _place(item[0][2]))):
        name, number, phase, method, external = key
        nets = [each.net_j for each in several if each.net_j is not None]
        how = f"{method}, trace" if external else method
        body.append(
            (
                name,
                str(number if by_round else len(several)),
                phase,
                f"{sum(each.gross_j for each in several):.4g}",
                f"{sum(nets):.4g}" if len(nets) == len(several) else "–",
                _percent([each.coverage for each in several]),
                how,
            )
        )
        sources[name, how] = several[-1].source
    widths = [max(len(line[place]) for line in (head, *body)) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in (head, *body)]
    return [*lines, "", "sources:", *(f"  {name}, {how}: {source}" for (name, how), source in sources.items())]


def _place(phase: str) -> int:
    return ENERGY_PHASES.index(phase)


def _percent(shares: list[Optional[float]]) -> str:
    known = [share for share in shares if share is not None]
    return f"{100 * min(known):.0f} %" if known else "–"


def _ranges(numbers: list[int]) -> str:
    """Return whole numbers in words: ``1 to 3, 5``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
