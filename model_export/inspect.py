"""What is in a bundle, for people and for scripts. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from model_export import tflite_file
from model_export.bundle import BASE, MODEL, Bundle
from model_export.inspect_part import describe_part, render_part
from model_export.manifest import Manifest
from model_export.signing import fingerprint

__all__ = ["QUANTITIES", "describe", "groups", "render"]

QUANTITIES = {"parameters": "parameters", "macs": "MACs", "activation_bytes": "activations"}
"""What lies in the layers: key of a layer, and the word for people."""

_MOST_BARS, _BAR = 40, 16


def describe(bundle: Bundle, whole: Optional[Bundle] = None) -> dict[str, Any]:
    """Summarize a bundle as plain values that JSON can hold; its files are checked on the way.

    Parameters
    ----------
    bundle
        The bundle.
    whole
        What its network is a slice of, to tell how many channels there were.

    Raises
    ------
    BundleError
        It is no slice of ``whole``.
    BundleAltered
        A file or the signature does not fit the manifest.
    ImportError
        There is neither LiteRT nor TensorFlow to read the model's ops with.
    """
    bundle.verify()
    manifest = bundle.manifest
    signer = bundle.signer()
    return {
        "path": str(bundle.path),
        "name": manifest.name,
        "sha256": bundle.sha256,
        "signed_by": fingerprint(signer) if signer is not None else None,
        "versions": dict(manifest.versions),
        "minimum_runtime": manifest.minimum_runtime,
        "input_shape": list(manifest.input.shape),
        "input_scale": manifest.input.scale,
        "input_offset": manifest.input.offset,
        "classes": list(manifest.classes),
        "batch_size": manifest.batch_size,
        "trainable": manifest.trainable,
        "base_format": manifest.base_format or None,
        "optimizer": dict(manifest.optimizer),
        "compression": dict(manifest.compression),
        "cuts": list(manifest.cuts),
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "state": "trained" if layer.trained else "held" if layer.variables else "frozen",
                "output_shape": list(layer.output_shape),
                "parameters": layer.parameters,
                "macs": layer.macs,
                "activation_bytes": layer.activation_bytes,
            }
            for layer in manifest.layers
        ],
        "totals": {
            "parameters": sum(layer.parameters for layer in manifest.layers),
            "trained_parameters": sum(layer.parameters for layer in manifest.layers if layer.trained),
            "macs": sum(layer.macs for layer in manifest.layers),
            "activation_bytes": sum(layer.activation_bytes for layer in manifest.layers),
        },
        "signatures": {
            name: {
                "inputs": {key: [list(spec.shape), spec.dtype] for key, spec in signature.inputs.items()},
                "outputs": {key: [list(spec.shape), spec.dtype] for key, spec in signature.outputs.items()},
                "updates": list(signature.updates),
            }
            for name, signature in manifest.signatures.items()
        },
        "parts": _parts(manifest),
        "part_of": describe_part(bundle, whole),
        "measured": _where_measured(manifest),
        "ops": tflite_file.op_counts(bundle.read(MODEL)),
        "base_ops": tflite_file.op_counts(bundle.read(BASE)) if BASE in manifest.files else None,
        "files": {name: entry.bytes for name, entry in manifest.files.items()},
    }


def _parts(manifest: Manifest) -> list[dict[str, Any]]:
    """Costs of each part that can be trained, the largest first; memory and time are None if they were not measured."""
    order = [layer.name for layer in manifest.layers]
    cuts = {manifest.training_signature(cut): cut for cut in sorted(manifest.cuts, key=order.index)}
    measured = manifest.costs.measured
    parts = []
    for name in [*sorted(set(manifest.costs.signatures) - set(cuts)), *cuts]:
        size = manifest.costs.signatures[name]
        step = measured.signatures[name] if measured else None
        parts.append(
            {
                "signature": name,
                "cut": cuts.get(name),
                "trained_parameters": size.trained_parameters,
                "activation_bytes": size.activation_bytes,
                "memory_bytes": step.memory_bytes if step else None,
                "step_ms": step.step_ms if step else None,
            }
        )
    return parts


def _where_measured(manifest: Manifest) -> Optional[dict[str, Any]]:
    measured = manifest.costs.measured
    if measured is None:
        return None
    return {
        "runtime": measured.runtime,
        "threads": measured.threads,
        "machine": measured.machine,
        "loaded_bytes": measured.loaded_bytes,
    }


def groups(description: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """Sum layers that follow each other, so that about ``most`` rows are left; a cut begins a new one.

    Returns
    -------
    list of dict
        ``name``, ``cut`` (the cut that begins here, or None), and a sum for each of `QUANTITIES`.
    """
    size = -(-len(description["layers"]) // most)
    rows: list[list[dict[str, Any]]] = []
    for layer in description["layers"]:
        if not rows or len(rows[-1]) == size or layer["name"] in description["cuts"]:
            rows.append([])
        rows[-1].append(layer)
    return [
        {
            "name": row[0]["name"] if len(row) == 1 else f"{row[0]['name']} +{len(row) - 1}",
            "cut": row[0]["name"] if row[0]["name"] in description["cuts"] else None,
            **{key: sum(layer[key] for layer in row) for key in QUANTITIES},
        }
        for row in rows
    ]


def render(description: dict[str, Any]) -> str:
    """Lay out what `describe` returns as text for a terminal; names in it cannot steer the terminal."""
    d = description
    name = {"sgd": "SGD", "adam": "Adam"}.get(d["optimizer"]["name"], d["optimizer"]["name"])
    optimizer = ", ".join(f"{key} {value}" for key, value in d["optimizer"].items() if key != "name" and value)
    layers = [
        (
            layer["name"],
            layer["type"],
            layer["state"] if layer["parameters"] else "",
            _shape(layer["output_shape"]),
            f"{layer['parameters']:,}" if layer["parameters"] else "",
            f"{layer['macs']:,}" if layer["macs"] else "",
            f"{layer['activation_bytes']:,}",
        )
        for layer in d["layers"]
    ]
    totals = d["totals"]
    offset = f"{'-' if d['input_offset'] < 0 else '+'} {abs(d['input_offset']):.6g}"
    layers.append(
        ("total", "", "", "", f"{totals['parameters']:,}", f"{totals['macs']:,}", f"{totals['activation_bytes']:,}")
    )
    lines = [
        f"{d['name']}  {d['path']}",
        f"  input        {_shape(d['input_shape'])}, pixel · {d['input_scale']:.6g} {offset}",
        f"  classes      {len(d['classes'])}: {_shortened(d['classes'])}",
        f"  training     {d['trainable']}, batches of {d['batch_size']}, {name}{', ' + optimizer if optimizer else ''}",
        f"  compression  {', '.join(f'{key} {value}' for key, value in d['compression'].items()) or 'none'}",
        f"  frozen base  {d['base_format'] or 'none'}",
        f"  cuts         {', '.join(d['cuts']) or 'none'}",
        f"  runtime      TensorFlow Lite {d['minimum_runtime'] or 'unknown'} or newer",
        f"  made with    {', '.join(f'{name} {version}' for name, version in d['versions'].items())}",
        f"  signature    {d['signed_by'] or 'none: not signed'}",
        f"  sha256       {d['sha256']}",
        "",
        *_table(("layer", "type", "", "output", "parameters", "MACs", "activation bytes"), layers, right=4),
        "",
        *_table(
            ("signature", "inputs", "outputs", "updates"),
            [
                (name, _names(signature["inputs"]), _names(signature["outputs"]), str(len(signature["updates"]) or ""))
                for name, signature in d["signatures"].items()
            ],
            right=3,
        ),
        "",
        *_render_parts(d),
        *render_part(d["part_of"]),
        "",
        *_bars(d),
        "",
        f"ops   {', '.join(f'{op} {count}' for op, count in d['ops'].items())}",
        *([f"base  {', '.join(f'{op} {count}' for op, count in d['base_ops'].items())}"] if d["base_ops"] else []),
        f"files {', '.join(f'{name} {size:,} bytes' for name, size in d['files'].items())}",
    ]
    text = "\n".join(lines)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text)


def _render_parts(d: dict[str, Any]) -> list[str]:
    rows = [
        (
            part["signature"],
            f"{part['trained_parameters']:,}",
            f"{part['activation_bytes'] / 1e6:.2f} MB",
            "–" if part["memory_bytes"] is None else f"{part['memory_bytes'] / 1e6:.1f} MB",
            "–" if part["step_ms"] is None else f"{part['step_ms']:.3g} ms",
        )
        for part in d["parts"]
    ]
    where = d["measured"]
    note = (
        f"measured at export: {where['runtime']}, {where['threads']} thread(s), {where['machine']}\n"
        f"{where['loaded_bytes'] / 1e6:.1f} MB of the memory is the loaded model"
        if where
        else "memory and time were not measured at export (--no-measure)"
    )
    return [*_table(("training step", "trained", "activations", "memory", "time"), rows, right=1), note]


def _bars(d: dict[str, Any]) -> list[str]:
    """Draw each layer's share of the parameters, MACs and activations; a line stands where a cut is."""
    totals = {key: d["totals"][key] or 1 for key in QUANTITIES}
    rows = groups(d, _MOST_BARS)
    width = max(len(_clipped(row["name"])) for row in rows)
    lines = [" ".join([" " * width, *(word.ljust(_BAR + 6) for word in QUANTITIES.values())]).rstrip()]
    for row in rows:
        if row["cut"]:
            lines.append(f"{'─' * width} cut {row['cut']}")
        shares = [row[key] / totals[key] for key in QUANTITIES]
        cells = [f"{_bar(share)}{f'{share:.1%}' if share else '':>5} " for share in shares]
        lines.append(f"{_clipped(row['name']):<{width}} {' '.join(cells)}".rstrip())
    return lines


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(_BAR)


def _clipped(name: str, most: int = 44) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _names(specs: dict[str, Any]) -> str:
    return _shortened(list(specs)) or "–"


def _shortened(names: Sequence[str], most: int = 6) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 2])}, …, {names[-1]}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, right: int) -> list[str]:
    """Align columns; those from ``right`` on to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [cell.rjust(w) if i >= right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return lines
