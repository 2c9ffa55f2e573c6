"""What is in a bundle, for people and for scripts. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model_export import tflite_file
from model_export.bundle import BASE, MODEL, Bundle
from model_export.signing import fingerprint

__all__ = ["describe", "render"]


def describe(bundle: Bundle) -> dict[str, Any]:
    """Summarize a bundle as plain values that JSON can hold; its files are checked on the way.

    Raises
    ------
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
        "ops": tflite_file.op_counts(bundle.read(MODEL)),
        "base_ops": tflite_file.op_counts(bundle.read(BASE)) if BASE in manifest.files else None,
        "files": {name: entry.bytes for name, entry in manifest.files.items()},
    }


def render(description: dict[str, Any]) -> str:
    """Lay out what `describe` returns as text for a terminal."""
    d = description
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
        f"  training     {d['trainable']}, batches of {d['batch_size']}, SGD{', ' + optimizer if optimizer else ''}",
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
        f"ops   {', '.join(f'{op} {count}' for op, count in d['ops'].items())}",
        *([f"base  {', '.join(f'{op} {count}' for op, count in d['base_ops'].items())}"] if d["base_ops"] else []),
        f"files {', '.join(f'{name} {size:,} bytes' for name, size in d['files'].items())}",
    ]
    return "\n".join(lines)


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
