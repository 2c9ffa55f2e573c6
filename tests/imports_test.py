"""Imports point one way, down the table of ``docs/design.md``, and a client needs neither TensorFlow nor Flower."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED: dict[str, set[str]] = {
    "model_export": set(),
    "device_profiles": set(),
    "edge_client": {"model_export", "device_profiles"},
    "deployment": {"device_profiles", "model_export"},
    "python_server": {"model_export", "device_profiles", "edge_client", "deployment"},
}
TENSORFLOW_FREE = ("bundle", "codecs", "errors", "files", "formats", "k_means", "manifest", "signing", "tensors")
"""Modules of ``model_export`` that run where TensorFlow is not installed; other folders may import these alone."""


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _sources(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if not path.name.endswith("_test.py")]


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_one_way(folder: str) -> None:
    assert _sources(folder), f"no sources in {folder}"
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _sources(folder)
        for name in _imports(path)
        if name.partition(".")[0] in ALLOWED.keys() - ALLOWED[folder] - {folder}
    ]
    assert not wrong


@pytest.mark.parametrize("folder", ["edge_client", "deployment"])
def test_clients_see_only_the_part_of_export_that_needs_no_tensorflow(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _sources(folder)
        for name in _imports(path)
        if name.startswith("model_export") and name.split(".")[1] not in TENSORFLOW_FREE
    ]
    assert not wrong


def test_client_loads_neither_tensorflow_nor_flower() -> None:
    code = "import sys, edge_client.cli, edge_client.worker, edge_client.client\nprint(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"tensorflow", "keras", "flwr", "grpc", "jax", "torch"} & set(loaded.split())


def test_only_one_file_knows_the_runtimes_and_one_flower() -> None:
    for names, owner in (
        (("ai_edge_litert", "tflite_runtime"), "edge_client/runtime.py"),
        (("flwr",), "edge_client/client_app.py"),
    ):
        found = {
            str(path.relative_to(ROOT))
            for path in _sources("edge_client")
            for name in _imports(path)
            if name.partition(".")[0] in names
        }
        assert found <= {owner}


JAVA = ROOT / "android_app" / "core" / "src" / "main" / "java" / "org" / "pocketfleet"


def test_the_java_core_has_no_cycles_between_packages_and_no_android() -> None:
    uses: dict[str, set[str]] = {}
    for path in sorted(JAVA.rglob("*.java")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^import (android|androidx|dalvik)\.", text, re.MULTILINE), path
        package = path.parent.relative_to(JAVA).as_posix()
        found = re.findall(r"^import (?:static )?org\.pocketfleet\.([a-z]+)\.", text, re.MULTILINE)
        uses.setdefault(package, set()).update(set(found) - {package, "fleet"})
    assert "transport" in uses
    assert not uses.pop("."), "the root package is for what all others use"
    while leaves := {package for package, others in uses.items() if not others & uses.keys()}:
        uses = {package: others for package, others in uses.items() if package not in leaves}
    assert not uses, f"packages that need each other: {uses}"
