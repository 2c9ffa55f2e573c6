"""`pocketfleet inspect`: pictures, pages and the choice of a cut."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from model_export import Bundle, build, describe, export
from model_export.width import slice_channels
from python_server.bundle_picture import bundle_page, bundle_svg
from python_server.cli import main

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("picture") / "b"
    model = build("small_cnn", (8, 8, 1), 10, filters=(4, 8))
    return export(model, path, batch_size=2, cuts=("conv2", "logits"), name="a <b>")


@pytest.fixture(scope="module")
def description(bundle: Bundle) -> dict[str, Any]:
    return describe(bundle)


def test_bars_are_as_long_as_their_share(description: dict[str, Any]) -> None:
    root = ElementTree.fromstring(bundle_svg(description))
    bars = {}
    for bar in root.iter(f"{SVG}rect"):
        tip = bar.find(f"{SVG}title")
        assert tip is not None
        name, quantity, value = re.fullmatch(r"(.*), (.*): ([\d,]+)", tip.text or "").groups()  # type: ignore[union-attr]
        bars[name, quantity] = (float(bar.attrib["width"]), int(value.replace(",", "")))
    layers = {layer["name"]: layer for layer in description["layers"]}
    assert bars["conv2", "parameters"][1] == layers["conv2"]["parameters"] == 288
    assert bars["conv2", "parameters"][0] / bars["logits", "parameters"][0] == pytest.approx(288 / 90, rel=0.01)
    assert ("relu1", "parameters") not in bars
    cuts = [text.text for text in root.iter(f"{SVG}text") if text.attrib["class"] == "cutname"]
    assert [str(cut).split(":")[0] for cut in cuts] == ["cut conv2", "cut logits"]
    assert "90 parameters trained" in str(cuts[1])
    assert " MB, " in str(cuts[1])


def test_page_loads_nothing_and_escapes(description: dict[str, Any]) -> None:
    page = bundle_page(description)
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    assert "<h1>a &lt;b&gt;</h1>" in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("train_from_logits") >= 2


def test_files_are_written(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, svg = tmp_path / "b.html", tmp_path / "b.svg"
    assert main(["inspect", str(bundle.path), "--html", str(html), "--svg", str(svg)]) == 0
    ElementTree.parse(svg)
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "training step" in capsys.readouterr().out


def test_a_slice_tells_which_channels_it_has(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = slice_channels(build("small_cnn", (8, 8, 1), 10, filters=(4, 8)), {"conv2": [0, 2, 3, 7]})
    part = export(found.model, tmp_path / "part", batch_size=2, part_of=found.part_of(bundle.sha256), measure=False)
    assert main(["inspect", str(part.path), "--whole", str(bundle.path)]) == 0
    told = capsys.readouterr().out
    assert f"part of bundle {bundle.sha256}" in told
    assert "  conv2  4 of 8 channels: 0, 2–3, 7" in told
    assert "conv1 " not in told[told.index("part of bundle") : told.index("activations", told.index("part of bundle"))]
    alone, compared = describe(part), describe(part, bundle)
    assert alone["part_of"]["layers"] == [{"name": "conv2", "kept": 4, "of": None, "runs": [[0, 1], [2, 4], [7, 8]]}]
    assert compared["part_of"]["layers"][0]["of"] == 8
    assert describe(bundle)["part_of"] is None
    for description in (alone, compared):
        root = ElementTree.fromstring(bundle_svg(description))
        strips = [bar for bar in root.iter(f"{SVG}rect") if (bar.findtext(f"{SVG}title") or "").startswith("conv2: ")]
        assert [bar.findtext(f"{SVG}title") for bar in strips] == ["conv2: 0 to 0", "conv2: 2 to 3", "conv2: 7 to 7"]
        widths = [float(bar.attrib["width"]) for bar in strips]
        assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert main(["inspect", str(bundle.path), "--whole", str(part.path)]) == 1
    assert "is a part of no other bundle" in capsys.readouterr().err


def test_cut_for_a_device(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    measured = bundle.manifest.costs.measured
    assert measured is not None
    assert main(["inspect", str(bundle.path), "--memory", "1000", "--step", "100000"]) == 0
    assert capsys.readouterr().out == "cut: none needed, train fits\n"
    limit = str(measured.signatures["train_from_logits"].step_ms * 3.01)
    fits = [n for n in ("train", "train_from_conv2") if measured.signatures[n].step_ms * 3 <= float(limit)]
    code = main(["inspect", str(bundle.path), "--step", limit, "--times-slower", "3", "--json"])
    assert code == 0
    fitting = json.loads(capsys.readouterr().out)["fitting"]
    assert fitting["signature"] == ([*fits, "train_from_logits"])[0]
    assert main(["inspect", str(bundle.path), "--memory", "0.001"]) == 1
    assert "no part of the network trains within 0.001 MB: the least memory is" in capsys.readouterr().err
