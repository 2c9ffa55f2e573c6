"""What can be read off a ``.tflite`` file. Needs a runtime's schema, but no TensorFlow."""

from __future__ import annotations

import importlib
import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = [
    "foreign_ops",
    "minimum_runtime",
    "newest_of",
    "op_counts",
    "op_names",
    "read_model",
    "rename_signature",
    "schema",
]

_SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")
# The schema lists StableHLO among its own ops, but no runtime on a device computes them.
_FOREIGN = ("CUSTOM", "custom ", "STABLEHLO_")
# The third field of the schema's table SignatureDef, as an offset in its vtable.
_SIGNATURE_KEY = 8
_MINIMUM_RUNTIME = b"min_runtime_version"


def op_counts(content: bytes) -> dict[str, int]:
    """Count the ops of all signatures by name, the most frequent first; a custom op's name begins with "custom "."""
    model = read_model(content)
    codes = op_names(model)
    counts: Counter[str] = Counter()
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        counts.update(codes[graph.Operators(j).OpcodeIndex()] for j in range(graph.OperatorsLength()))
    return dict(counts.most_common())


def read_model(content: bytes) -> Any:
    """Return the root table of the file."""
    return schema().Model.GetRootAs(content, 0)


def op_names(model: Any) -> list[str]:
    """Names of the model's operator codes, in their order."""
    names = {value: name for name, value in vars(schema().BuiltinOperator).items() if not name.startswith("_")}
    codes = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        custom = code.CustomCode()
        builtin = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        codes.append(f"custom {custom.decode()}" if custom else builtin)
    return codes


def foreign_ops(content: bytes) -> list[str]:
    """Names of the ops that no TFLite runtime has built in."""
    return sorted(op for op in op_counts(content) if op.startswith(_FOREIGN))


def minimum_runtime(content: bytes) -> str:
    """Oldest TensorFlow Lite that runs the file, as the converter noted it; "" if it did not."""
    model = read_model(content)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == _MINIMUM_RUNTIME:
            data: bytes = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            return data.rstrip(b"\0").decode()
    return ""


def newest_of(versions: Iterable[str]) -> str:
    """Return the newest of versions such as "2.7.0"; "" is older than all."""
    return max(versions, key=lambda version: [int(part) for part in version.split(".") if part.isdigit()])


def rename_signature(content: bytes, name: str, shorter: str) -> bytes:
    """Return the file with another name for a signature; the new one may not be longer.

    Raises
    ------
    ValueError
        There is no such signature, or the new name is longer.
    """
    model = read_model(content)
    changed = bytearray(content)
    for i in range(model.SignatureDefsLength()):
        table = model.SignatureDefs(i)._tab
        field = table.Pos + table.Offset(_SIGNATURE_KEY)
        if table.String(field) == name.encode() and len(shorter) <= len(name):
            start = table.Indirect(field)
            struct.pack_into("<I", changed, start, len(shorter))
            changed[start + 4 : start + 4 + len(name)] = shorter.encode().ljust(len(name), b"\0")
            return bytes(changed)
    raise ValueError(f"no signature {name} can be renamed to {shorter}")


def schema() -> Any:
    """Return the module of the file's schema.

    Raises
    ------
    ImportError
        There is neither LiteRT nor TensorFlow.
    """
    for name in _SCHEMAS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("reading a .tflite file needs ai-edge-litert or tensorflow; install one of them")
