"""The order in which a model's ops run, chosen so that tensors live shortly.

A runtime runs the ops of a file one after the other, in the order in which they are written, and a tensor takes memory
from the op that makes it to the last one that reads it. The converter only cares that no op comes before its inputs: in
a training step it leaves all gradients of kernels to the end, and the activations they need alive until then.

Here every result that lasts (an output, the new value of a variable) is a goal. Goals are taken in the order of how
much has to be computed for them, and for each the missing ops are written just before it, the longest chain first. So a
kernel's gradient is taken as soon as the gradient of its layer's output is there, and what was kept or prepared for it
is let go. Variables are read first and assigned last: runtimes keep the order of such ops, and between them a delegate
takes the whole step in one piece, in our order, where it knows all its ops.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from model_export.tflite_file import op_names, read_model, schema

__all__ = ["in_short_lived_order", "order_of"]

# The fourth field of the schema's table SubGraph, as an offset in its vtable.
_OPERATORS = 10


def in_short_lived_order(content: bytes) -> bytes:
    """Return the ``.tflite`` file with the ops of every signature in the order that this module describes.

    Nothing else is changed, so the results are the same bit for bit.
    """
    changed = bytearray(content)
    model = read_model(content)
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        order = order_of(model, graph)
        vector = graph._tab.Vector(graph._tab.Offset(_OPERATORS))
        positions = [graph.Operators(i)._tab.Pos for i in order]
        for place, position in enumerate(positions):
            # An entry of a vector is the distance from the entry to what it means.
            entry = vector + 4 * place
            struct.pack_into("<I", changed, entry, position - entry)
    return bytes(changed)


def order_of(model: Any, graph: Any) -> list[int]:
    """Return the numbers of the ops of ``graph`` in the order to run them."""
    codes = op_names(model)
    names = [codes[graph.Operators(i).OpcodeIndex()] for i in range(graph.OperatorsLength())]
    made = {output: i for i in range(len(names)) for output in graph.Operators(i).OutputsAsNumpy()}
    before = _predecessors(graph, names, made)
    ancestors: list[int] = []
    for number, direct in enumerate(before):
        mask = 1 << number
        for other in direct:
            mask |= ancestors[other]
        ancestors.append(mask)
    count = [mask.bit_count() for mask in ancestors]
    ordered: list[int] = []
    done = [False] * len(before)
    first = [i for i, name in enumerate(names) if name in ("CALL_ONCE", "READ_VARIABLE")]
    last = [i for i, name in enumerate(names) if name == "ASSIGN_VARIABLE"]
    lasting = {made[output] for output in graph.OutputsAsNumpy() if output in made}
    lasting.update(made[graph.Operators(i).Inputs(1)] for i in last if graph.Operators(i).Inputs(1) in made)
    goals = sorted(lasting, key=lambda number: (count[number], number))
    for goal in [*first, *goals, *last]:
        _emit(goal, before, count, done, ordered)
    for number in range(len(before)):
        _emit(number, before, count, done, ordered)
    return ordered


def _emit(goal: int, before: Sequence[Sequence[int]], count: Sequence[int], done: list[bool], out: list[int]) -> None:
    """Append ``goal`` to ``out``, and before it whatever it needs and is not yet there."""
    stack = [goal]
    while stack:
        number = stack[-1]
        missing = [other for other in before[number] if not done[other]]
        if missing and not done[number]:
            stack.append(max(missing, key=lambda other: (count[other], -other)))
            continue
        stack.pop()
        if not done[number]:
            done[number] = True
            out.append(number)


def _predecessors(graph: Any, names: Sequence[str], made: dict[int, int]) -> list[list[int]]:
    """List for each op those that have to come before it: what makes its inputs, and earlier uses of its variable."""
    before: list[list[int]] = []
    handles: dict[int, bytes] = {}
    read: dict[bytes, list[int]] = {}
    written: dict[bytes, list[int]] = {}
    once: list[int] = []
    for number, name in enumerate(names):
        op = graph.Operators(number)
        inputs = [op.Inputs(i) for i in range(op.InputsLength())]
        direct = [made[tensor] for tensor in inputs if tensor in made]
        if name == "CALL_ONCE":
            once.append(number)
        elif name == "VAR_HANDLE":
            handles[op.Outputs(0)] = _variable(op)
        elif name in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            variable = handles[inputs[0]]
            direct += once + written.get(variable, [])
            if name == "READ_VARIABLE":
                read.setdefault(variable, []).append(number)
            else:
                direct += read.pop(variable, [])
                written[variable] = [number]
        before.append(direct)
    return before


def _variable(op: Any) -> bytes:
    table = op.BuiltinOptions()
    options = schema().VarHandleOptions()
    options.Init(table.Bytes, table.Pos)
    return bytes(options.Container() or b"") + b"/" + bytes(options.SharedName() or b"")
