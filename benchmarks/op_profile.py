"""Where the time of a signature goes, op by op.

Neither LiteRT nor tflite-runtime lets Python see the time of an op. So every op of the signature is made a model of its
own, with its shapes and constants, and timed alone; ops of the same kind and shapes are timed once and counted. What
this leaves out is what ops do to each other: alone, an op finds its data in the cache. The sum is therefore less than
a whole step, which is printed beside it. ``X`` marks ops that XNNPACK takes, on this runtime and by themselves.

    .venv/bin/python benchmarks/op_profile.py BUNDLE [--signature train] [--threads 1] [--top 20]
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from model_export.bundle import MODEL, Bundle

_TOUCH_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


@dataclass(frozen=True)
class Row:
    """All ops of a signature that are alike."""

    name: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    count: int
    each_ms: float
    delegated: bool

    @property
    def total_ms(self) -> float:
        """Time of all of them."""
        return self.count * self.each_ms


def main() -> None:
    """Print the profile."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="example: op_profile.py runs/bundle --threads 2"
    )
    parser.add_argument("model", type=Path, help="bundle or .tflite file")
    parser.add_argument("--signature", default="train")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--top", type=int, default=20, help="shapes to list")
    arguments = parser.parse_args()
    path = arguments.model
    content = path.read_bytes() if path.suffix == ".tflite" else Bundle.load(path).read(MODEL)
    rows = profile(content, arguments.signature, arguments.threads)
    whole = whole_ms(content, arguments.signature, arguments.threads)
    print(f"{path.name}, {arguments.signature}, {arguments.threads} threads: whole {whole:.1f} ms")
    print(f"ops one by one {sum(row.total_ms for row in rows):.1f} ms, {sum(row.count for row in rows)} ops\n")
    totals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for row in rows:
        totals[row.name] += row.total_ms
        counts[row.name] += row.count
        left[row.name] += 0.0 if row.delegated else row.total_ms
    print(f"{'op':20} {'count':>6} {'ms':>8}   of it not XNNPACK")
    for name, total in totals.most_common():
        print(f"{name:20} {counts[name]:6} {total:8.2f}   {left[name]:8.2f}")
    print()
    for row in sorted(rows, key=lambda row: -row.total_ms)[: arguments.top]:
        print(
            f"{row.total_ms:8.2f} ms = {row.count:3} × {row.each_ms:6.3f} {'X' if row.delegated else '-'} "
            f"{row.name} {' '.join(map(str, row.inputs))} → {' '.join(map(str, row.outputs))}"
        )


def profile(content: bytes, signature: str, threads: int) -> list[Row]:
    """Time every op of ``signature`` that touches no variable."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[_definition(model, signature).subgraphIndex]
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name not in _TOUCH_VARIABLES:
            alike.setdefault((name, *_kind(model, graph, op)), []).append(op)
    overhead = _best_ms(_Alone(_relu(), 1).invoke)
    rows = []
    for (name, *_), ops in alike.items():
        alone = _Alone(_single(model, graph, ops[0]), threads)
        each = max(_best_ms(alone.invoke) - overhead, 0.0)
        shapes = [[_shape(graph, i) for i in indices if i >= 0] for indices in (ops[0].inputs, ops[0].outputs)]
        rows.append(Row(name, tuple(shapes[0]), tuple(shapes[1]), len(ops), each, alone.delegated))
    return rows


def whole_ms(content: bytes, signature: str, threads: int) -> float:
    """Best time of the whole signature, on random numbers."""
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(signature)
    random = np.random.default_rng(0)
    fed = {
        name: (random.random(tuple(detail["shape"])) * 0.01).astype(detail["dtype"])
        for name, detail in runner.get_input_details().items()
    }
    return _best_ms(lambda: runner(**fed))


class _Alone:
    """A model of one op, ready to run."""

    def __init__(self, content: bytes, threads: int) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        random = np.random.default_rng(0)
        for detail in self._interpreter.get_input_details():
            value = np.asarray(random.random(tuple(detail["shape"])), detail["dtype"])
            self._interpreter.set_tensor(detail["index"], value)
        self.invoke = self._interpreter.invoke
        self.delegated = any(op["op_name"] == "DELEGATE" for op in self._interpreter._get_ops_details())


def _best_ms(run: Callable[[], object], repeats: int = 12) -> float:
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return 1000 * best


def _definition(model: Any, signature: str) -> Any:
    for definition in model.signatureDefs:
        if definition.signatureKey.decode() == signature:
            return definition
    known = ", ".join(definition.signatureKey.decode() for definition in model.signatureDefs)
    raise SystemExit(f"no signature {signature}; the model has {known}")


def _shape(graph: Any, index: int) -> tuple[int, ...]:
    shape = graph.tensors[index].shape
    return () if shape is None else tuple(int(size) for size in shape)


def _constant(model: Any, graph: Any, index: int) -> bool:
    data = model.buffers[graph.tensors[index].buffer].data
    return data is not None and len(data) > 0


def _kind(model: Any, graph: Any, op: Any) -> tuple[Any, ...]:
    """Return what makes two ops take the same time: shapes, dtypes, options, and integer constants such as paddings."""
    tensors = [
        (_shape(graph, i), graph.tensors[i].type, _constant(model, graph, i))
        for i in (*op.inputs, *op.outputs)
        if i >= 0
    ]
    constants = [
        bytes(model.buffers[graph.tensors[i].buffer].data)
        for i in op.inputs
        if i >= 0 and _constant(model, graph, i) and graph.tensors[i].type == schema.TensorType.INT32
    ]
    options = vars(op.builtinOptions) if op.builtinOptions is not None else {}
    return tuple(tensors), tuple(constants), tuple(sorted((key, str(value)) for key, value in options.items()))


def _single(model: Any, graph: Any, op: Any) -> bytes:
    """Return a model that holds ``op`` alone; its variable inputs become the model's."""
    alone = schema.ModelT()
    alone.version = model.version
    alone.operatorCodes = [copy.copy(model.operatorCodes[op.opcodeIndex])]
    alone.buffers = [schema.BufferT()]
    inner = schema.SubGraphT()
    inner.tensors = []
    places: dict[int, int] = {}

    def place(index: int) -> int:
        if index < 0 or index in places:
            return places.get(index, index)
        tensor = copy.copy(graph.tensors[index])
        data = model.buffers[tensor.buffer].data
        tensor.buffer = 0
        if data is not None and len(data):
            buffer = schema.BufferT()
            buffer.data = data
            alone.buffers.append(buffer)
            tensor.buffer = len(alone.buffers) - 1
        inner.tensors.append(tensor)
        places[index] = len(inner.tensors) - 1
        return places[index]

    copied = copy.copy(op)
    copied.opcodeIndex = 0
    copied.inputs = [place(int(i)) for i in op.inputs]
    copied.outputs = [place(int(i)) for i in op.outputs]
    inner.operators = [copied]
    inner.inputs = sorted({i for i in copied.inputs if i >= 0 and inner.tensors[i].buffer == 0})
    inner.outputs = list(copied.outputs)
    alone.subgraphs = [inner]
    return _packed(alone)


def _relu() -> bytes:
    """Return a model that does next to nothing, to time a call."""
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 1
    model.operatorCodes = [code]
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = []
    for name in (b"x", b"y"):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer, tensor.name = [1], schema.TensorType.FLOAT32, 0, name
        graph.tensors.append(tensor)
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = 0, [0], [1]
    graph.operators, graph.inputs, graph.outputs = [op], [0], [1]
    model.subgraphs = [graph]
    return _packed(model)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main()
