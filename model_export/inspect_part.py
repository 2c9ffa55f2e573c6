"""Which channels of another network a bundle's layers have, for people and for scripts. Needs no TensorFlow."""

from __future__ import annotations

from typing import Any, Optional

from model_export.bundle import Bundle
from model_export.errors import BundleError
from model_export.manifest import Layer, Manifest

__all__ = ["describe_part", "render_part"]

_MOST_RUNS = 6


def describe_part(bundle: Bundle, whole: Optional[Bundle] = None) -> Optional[dict[str, Any]]:
    """Summarize ``part_of`` of a manifest; None if the network is no part of another.

    Parameters
    ----------
    bundle
        The slice.
    whole
        What it is a slice of; None: how many channels there were is not known.

    Returns
    -------
    dict
        ``bundle`` (hash of the whole network's bundle) and ``layers``: of each whose output is narrower, ``name``, the
        number of channels ``kept`` and ``of`` how many (None: not known), and ``runs`` of their indices, half-open.

    Raises
    ------
    BundleError
        It is no part of ``whole``.
    """
    part = bundle.manifest.part_of
    if whole is not None and (part is None or part.bundle != whole.sha256):
        of = f"of another bundle ({part.bundle[:12]})" if part else "of no other bundle"
        raise BundleError(f"{bundle.path} is a part {of}, not of {whole.path} ({whole.sha256[:12]})")
    if part is None:
        return None
    layers = []
    for layer in bundle.manifest.layers:
        found = _channel_axis(layer)
        runs = part.parts[found[0]][found[1]] if found else None
        if found and runs is not None:
            layers.append(
                {
                    "name": layer.name,
                    "kept": sum(stop - start for start, stop in runs),
                    "of": _size(whole.manifest, *found) if whole else None,
                    "runs": [list(run) for run in runs],
                }
            )
    return {"bundle": part.bundle, "layers": layers}


def _channel_axis(layer: Layer) -> Optional[tuple[str, int]]:
    """Return the variable and axis that count a layer's output channels; None for layers that only follow others."""
    kernels = [each for each in layer.variables if len(each.shape) > 1]
    if not kernels:
        return None
    depthwise = layer.type == "DepthwiseConv2D"
    return kernels[0].path, len(kernels[0].shape) - (2 if depthwise else 1)


def _size(manifest: Manifest, path: str, axis: int) -> int:
    return manifest.variables[path].shape[axis]


def render_part(part: Optional[dict[str, Any]]) -> list[str]:
    """Lay out what `describe_part` returns as lines of text."""
    if part is None:
        return []
    names = max((len(layer["name"]) for layer in part["layers"]), default=0)
    lines = ["", f"part of bundle {part['bundle']}"]
    for layer in part["layers"]:
        of = f" of {layer['of']}" if layer["of"] else ""
        shown = [str(start) if stop - start == 1 else f"{start}–{stop - 1}" for start, stop in layer["runs"]]
        more = ", …" if len(shown) > _MOST_RUNS else ""
        lines.append(f"  {layer['name']:<{names}}  {layer['kept']}{of} channels: {', '.join(shown[:_MOST_RUNS])}{more}")
    return lines
