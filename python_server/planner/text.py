"""A plan as text, as JSON, and as measurements of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Optional

from deployment.device_farm.cost import Account, Estimate, estimate
from deployment.device_farm.plan import SETUP_MINUTES
from python_server.planner.results import Forecast
from python_server.run_rows import ENERGY, PREDICTED, MeasurementRow

__all__ = ["as_json", "farm_cost", "measurements", "render", "table"]

_BYTES = "arrays by bundle and codecs, without the two or three kilobytes of a message's small print"


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return rows as lines with aligned columns; columns that are empty everywhere are left out."""
    titles = [title for title in rows[0] if any(row[title] for row in rows)]
    widths = {title: max(len(title), *(len(row[title]) for row in rows)) for title in titles}
    lines = [{title: title for title in titles}, *rows]
    return ["  ".join(line[title].ljust(widths[title]) for title in titles).rstrip() for line in lines]


def render(plan: Forecast, farm: Optional[Estimate] = None) -> str:
    """Return a plan for people."""
    rows = []
    for each in plan.devices:
        joules = sum(each.energy_j.values())
        marks = [
            f"late in {each.late}" if each.late else "",
            f"cut off in {each.cut_off}" if each.cut_off else "",
            f"left out in {each.skipped}: {each.reason}" if each.skipped else "",
        ]
        rows.append(
            {
                "device": each.name,
                "samples": str(each.examples),
                "rounds": str(each.asked),
                "trains": " ".join(filter(None, [each.submodel, f"from {each.cut}" if each.cut else ""])) or "all",
                "E": str(each.epochs) if each.asked else "",
                "steps": f"{each.steps:.4g}" if each.asked else "",
                "down s": f"{each.download_s:.3g}" if each.asked else "",
                "train s": f"{each.train_s + each.prepare_s:.4g}" if each.asked else "",
                "up s": f"{each.upload_s:.3g}" if each.asked else "",
                "wait s": f"{each.wait_s:.3g}" if each.asked else "",
                "J a round": f"{joules:.3g}" if joules else "",
                "MB a round": f"{(each.download_bytes + each.upload_bytes) / 1e6:.3g}" if each.asked else "",
                "memory MB": f"{each.memory_bytes / 1e6:.0f}" if each.memory_bytes else "",
                "battery": f"{each.battery_percent:.1f} %" if each.battery_percent is not None else "",
                "": "; ".join(filter(None, marks)),
            }
        )
    lines = table(rows)
    spread = "" if plan.shortest_s == plan.longest_s else f" ({plan.shortest_s:.4g} to {plan.longest_s:.4g})"
    lines += ["", f"a round: {plan.round_s:.4g} s{spread}; {plan.rounds} rounds: {_duration(plan.total_s)}"]
    if plan.worked_out < plan.rounds:
        lines.append(f"the first {plan.worked_out} rounds were worked out and stand for all")
    if plan.energy_j:
        parts = ", ".join(f"{phase} {joules / 1000:.3g}" for phase, joules in plan.energy_j.items())
        lines.append(f"energy of all devices: {sum(plan.energy_j.values()) / 1000:.4g} kJ gross ({parts})")
    lines.append(f"traffic: {plan.download_bytes / 1e6:.4g} MB to the devices, {plan.upload_bytes / 1e6:.4g} MB back")
    if farm is not None:
        lines.append(f"Device Farm: {farm}")
    lines += ["", "where this comes from:", *_sources(plan), f"  beside the devices: {plan.overhead}"]
    remarks = [remark for each in plan.devices for remark in each.remarks]
    return "\n".join([*lines, *(f"note: {remark}" for remark in dict.fromkeys(remarks))])


def _sources(plan: Forecast) -> list[str]:
    """Return a line for each source, with the devices that it holds for."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in plan.devices:
        for what, words in each.sources.items():
            if words:
                found.setdefault((what, words), []).append(each.name)
    several = len(plan.devices) > 1
    lines = []
    for (what, words), names in sorted(found.items()):
        who = "all" if len(names) == len(plan.devices) else ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")
        lines.append(f"  {what}{f' ({who})' if several else ''}: {words}")
    return lines


def as_json(plan: Forecast, farm: Optional[Estimate] = None) -> dict[str, Any]:
    """Return a plan for a script."""
    return {**asdict(plan), "device_farm": farm.as_json() if farm else None}


def farm_cost(plan: Forecast, phones: int) -> Estimate:
    """Return what so many phones of Device Farm cost for a whole experiment, setting up included."""
    return estimate(phones, math.ceil(plan.total_s / 60) + SETUP_MINUTES, Account())


def measurements(plan: Forecast, ids: Mapping[str, str]) -> list[MeasurementRow]:
    """Return what a plan foretells of every round, as the run store keeps it.

    Parameters
    ----------
    plan
        The plan.
    ids
        Of the devices, by name; those without are left out.
    """
    traffic = (plan.download_bytes + plan.upload_bytes) / plan.rounds
    rows = [
        MeasurementRow(0, "", "round time", plan.round_s, "s", f"devices' own; {plan.overhead}", PREDICTED),
        MeasurementRow(0, "", "bytes", traffic, "B", _BYTES, PREDICTED),
    ]
    if plan.energy_j:
        joules = sum(plan.energy_j.values()) / plan.rounds
        rows.append(MeasurementRow(0, "", ENERGY, joules, "J", "devices' own", PREDICTED, {"idle_j": None}))
    for each in plan.devices:
        device = ids.get(each.name)
        if device is None or not each.asked:
            continue
        sources = each.sources
        steps = sources.get("steps", "")
        rows.append(MeasurementRow(0, device, "round time", each.own_s, "s", steps, PREDICTED))
        for phase in each.energy_j:
            info = {"phase": phase, "idle_j": each.energy_idle_j[phase]}
            rows.append(
                MeasurementRow(0, device, ENERGY, each.energy_j[phase], "J", sources.get("power", ""), PREDICTED, info)
            )
        size = each.download_bytes + each.upload_bytes
        rows.append(MeasurementRow(0, device, "bytes", size, "B", _BYTES, PREDICTED))
        if each.memory_bytes is not None:
            memory, words = float(each.memory_bytes), "measured at export, beyond what the client holds anyway"
            rows.append(MeasurementRow(0, device, "memory", memory, "B", words, PREDICTED))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.4g} s"
    return f"{seconds / 60:.4g} min" if seconds < 7200 else f"{seconds / 3600:.4g} h"
