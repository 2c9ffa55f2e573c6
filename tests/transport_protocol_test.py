"""`protocol/fleet.proto` against the installed Flower, and the generated code against `protocol/fleet.proto`."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from edge_client.transport import fleet_pb2

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("fleet", "message", "recorddict", "node", "heartbeat", "error")
LEFT_OUT = {"RecordDict": {"items"}}
"""What Flower has and we do not speak: a message's content never travels in the message."""


def ours() -> Iterator[tuple[str, Descriptor]]:
    def walk(prefix: str, descriptor: Descriptor) -> Iterator[tuple[str, Descriptor]]:
        yield prefix + descriptor.name, descriptor
        for nested in descriptor.nested_types:
            yield from walk(f"{prefix}{descriptor.name}.", nested)

    for descriptor in fleet_pb2.DESCRIPTOR.message_types_by_name.values():
        yield from walk("", descriptor)


def theirs(name: str) -> Descriptor:
    first, *rest = name.split(".")
    for module in MODULES:
        found: Any = importlib.import_module(f"flwr.proto.{module}_pb2").DESCRIPTOR.message_types_by_name.get(first)
        if found is not None:
            for part in rest:
                found = found.nested_types_by_name[part]
            assert isinstance(found, Descriptor)
            return found
    raise AssertionError(f"the installed Flower has no message {name}")


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    message = field.message_type.full_name.split(".", 2)[2] if field.message_type else None
    choice = field.containing_oneof.name if field.containing_oneof else None
    return field.number, field.type, field.is_repeated, message, choice


@pytest.mark.parametrize(("name", "descriptor"), [pytest.param(*pair, id=pair[0]) for pair in ours()])
def test_same_as_flower(name: str, descriptor: Descriptor) -> None:
    pytest.importorskip("flwr", reason="compares with the installed Flower")
    flower = {field.name: shape(field) for field in theirs(name).fields}
    for left_out in LEFT_OUT.get(name, ()):
        del flower[left_out]
    assert {field.name: shape(field) for field in descriptor.fields} == flower


def test_generated_code_is_of_this_file() -> None:
    digest = hashlib.sha256((ROOT / "protocol" / "fleet.proto").read_bytes()).hexdigest()
    generated = (ROOT / "edge_client" / "transport" / "fleet_pb2.py").read_text()
    assert f"# sha256 of protocol/fleet.proto: {digest}\n" in generated, "run scripts/generate_protocol"


def test_generated_code_does_not_ask_for_one_version_of_protobuf() -> None:
    generated = (ROOT / "edge_client" / "transport" / "fleet_pb2.py").read_text()
    assert "runtime_version" not in generated
    assert "ValidateProtobufRuntimeVersion" not in generated
