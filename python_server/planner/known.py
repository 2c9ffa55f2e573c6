"""What calibrations, the catalog and the export say of one device, and where each figure comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from device_profiles import Profile, load_profile
from device_profiles.power_fit import PowerFitError
from python_server.errors import PlanError
from python_server.model import RunBundles
from python_server.planner.calibrations import Calibrated
from python_server.simulation.devices import step_seconds
from python_server.simulation.settings import ProfileSettings

__all__ = ["Known", "known_of", "told"]


@dataclass(frozen=True)
class Known:
    """What is known of a device.

    Attributes
    ----------
    profile
        Its link, power, memory and battery.
    step_s
        Seconds of a step by bundle and cut.
    batch_evaluate_s
        Seconds of evaluating a batch by bundle, where that was measured.
    features_ms
        Of a batch through the frozen base; 0: there is none, or it was not measured.
    sources
        Where each comes from, in words.
    remarks
        What somebody should know before believing it.
    """

    profile: ProfileSettings
    step_s: Mapping[str, Mapping[str, float]]
    batch_evaluate_s: Mapping[str, float]
    features_ms: float
    sources: Mapping[str, str]
    remarks: tuple[str, ...]


def known_of(
    name: str,
    profile: ProfileSettings,
    known: Sequence[Calibrated],
    model: RunBundles,
    catalog_name: str,
    threads: int,
) -> Known:
    """Put together what calibrations, the catalog and the export say of a device.

    Parameters
    ----------
    name
        Of the device.
    profile
        What is given of it already; that stays.
    known
        Its calibrations, the best first.
    model
        The experiment's bundles.
    catalog_name
        Its profile in the catalog.
    threads
        That it trains with; 0: not known.

    Raises
    ------
    PlanError
        It was calibrated with a bundle that says nothing of this one.
    ExperimentError
        Nothing says how long its steps take.
    """
    own = {each.bundle: each for each in reversed(known)}
    usual = next((each for each in known if each.bundle in model.bundles), known[0] if known else None)
    remarks: list[str] = []
    steps, words = _steps(name, profile, own, usual, model, remarks)
    sources = {"steps": words}
    power = load_profile(catalog_name)
    sources["battery"] = f"profile {power.name}" if power.battery_wh else ""
    idle_w, power_w, sources["power"] = _power(name, power, usual, threads, remarks)
    profile = replace(
        profile,
        idle_w=profile.idle_w or idle_w,
        power_w=profile.power_w or power_w,
        battery_wh=profile.battery_wh or power.battery_wh or 0.0,
        memory_mb=profile.memory_mb or (1000 * min(power.memory_gb) if power.memory_gb else 0.0),
        device="",
    )
    if usual is None:
        sources["transfers"] = _link_words(profile)
        return Known(profile, steps, {}, 0.0, sources, tuple(remarks))
    profile = replace(
        profile,
        prepare_s=usual.prepare_s,
        download_mbps=profile.download_mbps or usual.download_mbps or 0.0,
        upload_mbps=profile.upload_mbps or usual.upload_mbps or 0.0,
        latency_s=profile.latency_s or usual.round_trip_s,
    )
    sources["transfers"] = f"calibrated {usual.when}: {usual.link_method}" if usual.link_method else "not known: none"
    batch_s = {each.bundle: each.evaluate_ms / 1000 for each in own.values()}
    features_ms = own[model.sha256].features_ms if model.sha256 in own else 0.0
    return Known(profile, steps, batch_s, features_ms, sources, tuple(remarks))


def _steps(
    name: str,
    profile: ProfileSettings,
    own: Mapping[str, Calibrated],
    usual: Optional[Calibrated],
    model: RunBundles,
    remarks: list[str],
) -> tuple[dict[str, dict[str, float]], str]:
    """Return the seconds of steps by bundle and cut, and where those of the experiment's bundle come from."""
    whole = model.bundles[""].manifest
    slower, words = 1.0, ""
    if usual is None:
        remarks.append(f"{name} has no calibration: taken to be as fast as the machine that exported the bundle")
        words = "export: as fast as the machine that exported (no calibration)"
    elif model.sha256 in own:
        here = own[model.sha256]
        low, high = here.spread_ms[""]
        words = f"calibrated {here.when}: {here.step_ms['']:.4g} ms ({low:.3g} to {high:.3g})"
    elif usual.times_slower is None:
        raise PlanError(
            f"{name} was calibrated with another bundle ({usual.model}, {usual.bundle[:12]}) that was exported without "
            f"measuring, which says nothing of this one; run: pocketfleet fleet calibrate BUNDLE --device {name}"
        )
    else:
        slower = usual.times_slower
        changed = "the bundle has changed since" if usual.model == whole.name else f"with another bundle, {usual.model}"
        remarks.append(f"{name} was calibrated {usual.when}, and {changed}: taken from how much slower it was then")
        words = f"export × {slower:.3g}, as calibrated {usual.when} with {usual.model} {usual.bundle[:12]}"
    steps = {}
    for variant in model.variants.values():
        given = own.get(variant.sha256)
        if given is not None and set(given.step_ms) >= {"", *variant.manifest.cuts}:
            steps[variant.sha256] = {cut: ms / 1000 for cut, ms in given.step_ms.items()}
        elif usual is not None and model.sha256 in own:
            as_given = replace(profile, step_ms=dict(own[model.sha256].step_ms))
            steps[variant.sha256] = step_seconds(as_given, variant.manifest, whole)
        else:
            as_given = profile if usual is None else replace(profile, step_ms=None, times_slower=slower)
            steps[variant.sha256] = step_seconds(as_given, variant.manifest, whole)
    return steps, words


def _power(
    name: str, profile: Profile, usual: Optional[Calibrated], threads: int, remarks: list[str]
) -> tuple[float, float, str]:
    """Return idle and training power in watts, and where they come from."""
    busy = float(threads or 1)
    if usual is not None:
        busy = next(
            (each["cpu_s"] / each["wall_s"] for each in usual.power if each["threads"] and each["wall_s"]), busy
        )
        counted = usual.counted_power
        if len(counted) == 1 and counted[0]["threads"]:
            sample = counted[0]
            idle_w = profile.power.idle_w if sample["idle_j"] is None else sample["idle_j"] / sample["wall_s"]
            return idle_w, sample["energy_j"] / sample["wall_s"], f"{sample['source']}, in training on {usual.when}"
        try:
            fit = usual.power_fit()
        except PowerFitError as error:
            remarks.append(f"{name}: its power as calibrated is not used: {error}")
            fit = None
        if fit is not None:
            model = fit.power
            return model.idle_w, model.idle_w + busy * model.busy_w_per_core, f"{fit}; {model.source}"
    model = profile.power
    words = f"modelled: {model.idle_w:g} W + {model.busy_w_per_core:g} W × {busy:.2g} cores (profile {profile.name}: "
    return model.idle_w, model.idle_w + busy * model.busy_w_per_core, f"{words}{model.source})"


def told(profile: ProfileSettings, *, described: bool) -> dict[str, str]:
    """Return where the figures of a device come from that was not calibrated.

    Parameters
    ----------
    profile
        What is taken for it.
    described
        Whether the experiment file has ``[[simulation.profiles]]``.
    """
    words = f"profile {profile.name!r} of the experiment" if described else "the experiment says nothing"
    steps = f"{words}: step_ms" if profile.step_ms else f"export × {profile.times_slower:g} ({words})"
    if not described:
        steps = "export: as fast as the machine that exported (no calibration, no profile)"
    power = f"modelled: {profile.power_w:g} W while training ({words}{_catalog_words(profile)})"
    return {
        "steps": steps,
        "transfers": _link_words(profile),
        "power": power if profile.power_w else "",
        "battery": words if profile.battery_wh else "",
    }


def _catalog_words(profile: ProfileSettings) -> str:
    if not profile.device:
        return ""
    return f"; where not given there, {profile.device}: {load_profile(profile.device).power.source}"


def _link_words(profile: ProfileSettings) -> str:
    if not (profile.download_mbps or profile.upload_mbps):
        return "not known: transfers take no time"
    return (
        f"profile {profile.name!r} of the experiment: {profile.download_mbps:g} down, {profile.upload_mbps:g} Mbit/s up"
    )
