from __future__ import annotations

import csv
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from python_server.cli import main
from python_server.errors import StoreError
from python_server.report import gather, table_2, table_3, write_report
from python_server.run_reader import RunReader
from python_server.run_rows import (
    ENERGY,
    ENERGY_EXCLUDED,
    PREDICTED,
    TEMPERATURE,
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    MeasurementRow,
    RoundRow,
)
from python_server.store import RoundCommit, RunStore

HOSTILE = "<script>alert(1)</script>"
PART = {"submodel": "half", "cut": "conv3", "reason": f"group {HOSTILE!r}: all it can"}


def _device_round(number: int, device: str, name: str, **changes: object) -> DeviceRoundRow:
    values: dict[str, object] = {
        "plan": {"epochs": 5, "cutoff_s": 0.0},
        "num_examples": 100,
        "examples_processed": 500,
        "steps": 40,
        "planned_steps": 40,
        "train_loss": 1.0 / number,
        "download_s": 0.1,
        "prepare_s": 0.05,
        "train_s": 2.0,
        "upload_s": 0.2,
        "sent_after_s": 0.1,
        "replied_after_s": 2.8,
        "read_after_s": 3.1,
        "download_bytes": 1_000_000,
        "upload_bytes": 1_000_000,
        "energy_j": 30.0,
        "energy_idle_j": 10.0,
        "energy_method": "modelled",
        "energy_source": "CPU time",
    }
    return DeviceRoundRow(number, device, name, **{"outcome": "ok", **values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "digits"
    store = RunStore.create(path, f'name = "{HOSTILE}"\n'.encode(), {"name": HOSTILE, "bundle": "abc"})
    devices = [
        DeviceRow("d1", "pixel", "gpu", True, 0.0, 9.0, {}),
        DeviceRow("d2", HOSTILE, "cpu", True, 0.0, 9.0, {}),
    ]
    for number in range(4):
        rows = [] if number == 0 else [
            _device_round(number, "d1", "pixel"),
            _device_round(
                number, "d2", HOSTILE, outcome="partial", steps=10, examples_processed=125, energy_j=None,
                energy_idle_j=None, energy_method="", energy_source="", plan={"epochs": 5, "cutoff_s": 1.5, **PART},
            ),
        ]  # fmt: skip
        row = RoundRow(
            number, 1, float(number), 3.5, 3.0, 0.1, 0.2, 2, 2, 200, "", "",
            loss=math.nan if number == 2 else 2.0 / (number + 1), accuracy=0.1 + 0.2 * number, examples=50,
        )  # fmt: skip
        store.commit(RoundCommit(row, {"w": np.zeros(2, np.float32)}, devices=devices, device_rounds=rows))
    store.add_event(EventRow(5.0, "late", f"{HOSTILE} answered late", round=2, device="d2"))
    store.finish("finished", uploads=[])
    store.close()
    return path


def test_figures_add_up(run: Path) -> None:
    with RunReader(run) as reader:
        figures = gather(reader)
    summary = figures.summary
    assert (summary.clients, summary.local_epochs, summary.rounds, summary.processors) == (2, 5, 3, "cpu, gpu")
    assert summary.cutoffs_s == {"gpu": 0.0, "cpu": 1.5}
    assert summary.accuracy == summary.best_accuracy == pytest.approx(0.7)
    assert summary.time_s == pytest.approx(10.5)
    assert summary.bytes_moved == 12_000_000
    assert summary.partial == 3
    assert summary.energy is not None
    assert (summary.energy.gross_j, summary.energy.above_idle_j) == (90.0, 60.0)
    assert (summary.energy.covered, summary.energy.asked) == (3, 6)
    pixel = next(device for device in figures.devices if device.name == "pixel")
    assert pixel.seconds == pytest.approx({"download": 0.1, "prepare": 0.05, "train": 2.0, "upload": 0.2, "wait": 0.65})
    assert pixel.outcomes == {"ok": 3}
    assert (pixel.parts, pixel.reasons) == ({"whole": 3}, ())
    other = next(device for device in figures.devices if device.name == HOSTILE)
    assert (other.parts, other.reasons) == ({"half from conv3": 3}, (PART["reason"],))


class _Page(HTMLParser):
    """Collects what could reach the network or run, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action") and value]
        if tag not in self.VOID and tag not in ("polyline", "circle", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("polyline", "circle", "line"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_page_is_self_contained_and_escapes_what_devices_say(run: Path) -> None:
    page = write_report(run)
    text = page.read_text()
    parser = _Page()
    parser.feed(text)
    assert parser.open == []
    assert parser.scripts == 0
    assert [address for address in parser.addresses if not address.startswith("#")] == ["data:,"]
    assert all(f'id="{address[1:]}"' in text for address in parser.addresses if address.startswith("#"))
    assert not re.search(r"url\(|@import|https?://", text)
    shown = " ".join(parser.text)
    assert HOSTILE in shown
    assert "0.700" in shown
    assert "modelled, 3 of 6 device rounds" in shown
    assert text.count("<svg") == 13
    # For those who hear the page: every picture has words, every table can be reached and says what its cells are.
    assert all('role="img" aria-label="' in svg or "aria-hidden" in svg for svg in re.findall(r"<svg[^>]*>", text))
    assert all(' scope="' in head for head in re.findall(r"<th[ >][^>]*", text))
    assert text.count("<table>") == text.count('tabindex="0" role="region" aria-label="') - text.count('class="strip')


def test_csv_and_json_hold_the_same_figures(run: Path, tmp_path: Path) -> None:
    page = write_report(run, tmp_path / "out" / "x.html")
    assert sorted(p.name for p in page.parent.iterdir()) == [
        "x.html", "x.json", "x_device_rounds.csv", "x_energy.csv", "x_rounds.csv",
    ]  # fmt: skip
    data = json.loads((page.parent / "x.json").read_text())
    assert data["summary"]["accuracy"] == pytest.approx(0.7)
    assert data["rounds"][2]["loss"] is None
    with open(page.parent / "x_rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == pytest.approx([0.1, 0.3, 0.5, 0.7])
    with open(page.parent / "x_device_rounds.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_spreadsheets_take_no_formula_from_a_device(tmp_path: Path) -> None:
    path = tmp_path / "run"
    store = RunStore.create(path, b"", {})
    row = RoundRow(0, 1, 0.0, 1.0, 1.0, 0.0, 0.0, 1, 1, 1, "", "")
    evil = _device_round(1, "d", "=HYPERLINK(1)")
    store.commit(RoundCommit(row, {"w": np.zeros(1, np.float32)}, device_rounds=[evil]))
    store.close()
    write_report(path)
    with open(path / "report_device_rounds.csv", newline="") as file:
        assert next(csv.DictReader(file))["name"] == "'=HYPERLINK(1)"


def test_run_without_rounds_has_a_page(tmp_path: Path) -> None:
    RunStore.create(tmp_path / "new", b"", {"name": "new"}).close()
    assert "No figures." in write_report(tmp_path / "new").read_text()


def test_where_the_page_may_go(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pages").mkdir()
    assert main(["report", str(run), "-o", str(tmp_path / "pages")]) == 0
    assert (tmp_path / "pages/report.html").read_text().startswith("<!doctype html>")
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(run), "-o", str(tmp_path / "figures.json")])
    assert "figures.json: name the HTML file; JSON and CSV of the same name go beside it" in capsys.readouterr().err
    assert not list(tmp_path.glob("figures*"))


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run directory"):
        write_report(tmp_path)


def test_tables_in_the_papers_form(run: Path) -> None:
    with RunReader(run) as reader:
        summary = gather(reader).summary
    lines = table_2([summary], vary="clients").splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:4]] == [
        "Number of Clients (C)", "Accuracy", "Convergence Time (mins)",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[2].split("|")[1:5]] == ["2", "0.700", "0.17", "0.090"]
    lines = table_3({"GPU (τ = 0)": summary, "CPU (τ = 0)": summary}).splitlines()
    assert [cell.strip() for cell in lines[3].split("|")[1:4]] == ["Accuracy lost (points)", "0.0", "0.0"]
    assert "0.17 (1.00x)" in lines[4]
    assert len({len(line) for line in lines}) == 1


def test_a_device_that_was_not_asked_says_why_and_counts_for_nothing(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", b'name = "x"\n', {"name": "x"})
    devices = [DeviceRow(each, each, "cpu", True, 0.0, 9.0, {}) for each in ("board", "phone")]
    skipped = DeviceRoundRow(1, "phone", "phone", "skipped", "group 'phones': its battery is at 10 %, below 30 %")
    row = RoundRow(1, 1, 0.0, 3.5, 3.0, 0.1, 0.2, 1, 1, 100, "", "")
    rows = [_device_round(1, "board", "board"), skipped]
    store.commit(RoundCommit(row, {"w": np.zeros(2, np.float32)}, devices=devices, device_rounds=rows))
    store.close()
    with RunReader(tmp_path / "run") as reader:
        figures = gather(reader)
    _, phone = figures.devices
    assert (phone.outcomes, phone.parts, phone.energy) == ({"skipped": 1}, {}, None)
    assert phone.reasons == ("not asked: group 'phones': its battery is at 10 %, below 30 %",)
    assert (figures.summary.clients, figures.summary.local_epochs) == (1, 5)
    assert figures.summary.energy is not None
    assert figures.summary.energy.asked == 1


def test_numbers_that_are_none_break_nothing(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", b"x = [", {"name": "x"})
    bad = math.inf
    for number in (1, 2):
        row = RoundRow(
            number, 1, 0.0, bad, 3.0, bad, 0.1, 1, 1, 1, "", "", loss=bad, accuracy=-bad, client_loss=math.nan
        )
        rows = [
            _device_round(
                number, "d", "d", train_s=bad, download_s=math.nan, upload_s=-1.0, read_after_s=bad, energy_j=bad
            )
        ]
        measured = [
            MeasurementRow(number, "d", ENERGY, -bad, "J", "s", "measured", {"phase": "train", "flags": None}),
            MeasurementRow(number, "d", TEMPERATURE, bad, "°C", "s", "measured", {"at": "end"}),
            MeasurementRow(0, "", "round time", bad, "s", "p", PREDICTED),
        ]
        devices = [DeviceRow("d", "d", "cpu", True, 0.0, 1.0)]
        weights = {"w": np.zeros(1, np.float32)}
        store.commit(RoundCommit(row, weights, devices=devices, device_rounds=rows, measurements=measured))
    # The run is still going on: it is read beside its writer.
    page = write_report(tmp_path / "run")
    store.close()
    assert "running" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["rounds"][0]["loss"] is None


def test_a_run_that_lost_its_experiment_file_is_still_reported(run: Path) -> None:
    (run / "experiment.toml").unlink()
    assert "It is not in the run directory." in write_report(run).read_text()


def test_a_run_without_energy_says_so(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", b"", {"name": "x"})
    row = RoundRow(1, 1, 0.0, 3.5, 3.0, 0.1, 0.2, 1, 1, 100, "", "", accuracy=0.5)
    device = DeviceRow("d", "pi", "cpu", True, 0.0, 9.0)
    rows = [_device_round(1, "d", "pi", energy_j=None, energy_idle_j=None, energy_method="", energy_source="")]
    store.commit(RoundCommit(row, {"w": np.zeros(1, np.float32)}, devices=[device], device_rounds=rows))
    store.close()
    page = write_report(tmp_path / "run")
    assert "No device reported energy." in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["spent"][0]["energy_j"] is None


def test_energy_shows_method_coverage_and_what_was_excluded(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", b"", {"name": "x"})
    row = RoundRow(1, 1, 0.0, 3.5, 3.0, 0.1, 0.2, 1, 1, 100, "", "", accuracy=0.5)
    device = DeviceRow("d", "pi", "cpu", True, 0.0, 9.0)
    info = {"phase": "upload", "covers": "board", "coverage": 0.5, "uncertainty_j": 0.25, "flags": ["gap of 1 s"]}
    measured = [
        MeasurementRow(1, "d", ENERGY, 2.0, "J", "INA3221", "measured", info),
        MeasurementRow(1, "d", ENERGY_EXCLUDED, 7.0, "J", "gauge", "battery", {"phase": "wait", "flags": ["charging"]}),
        MeasurementRow(0, "d", "round time", 4.0, "s", "calibrated", PREDICTED),
    ]
    commit = RoundCommit(
        row, {"w": np.zeros(1, np.float32)}, devices=[device], device_rounds=[_device_round(1, "d", "pi")],
        measurements=measured,
    )  # fmt: skip
    store.commit(commit)
    store.close()
    page = write_report(tmp_path / "run")
    parser = _Page()
    parser.feed(page.read_text())
    shown = " ".join(" ".join(parser.text).split())
    assert "pi upload 2 J – ± 0.25 J measured board 50 % 1 of 1 gap of 1 s (1)" in shown
    assert "pi wait 1 (1) 7 J 0 charging" in shown
    assert "pi round time 4.00 s 2.35 s +70 % 1 calibrated" in shown
    with open(page.with_name("report_energy.csv"), newline="") as file:
        energy = [(row["phase"], row["gross_j"], row["excluded_because"]) for row in csv.DictReader(file)]
    assert energy == [("train", "30.0", ""), ("upload", "2.0", ""), ("wait", "7.0", "charging")]


def test_devices_of_one_name_stay_apart(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", b"", {"name": "x"})
    devices = [DeviceRow(f"sha256:00000{n}", "pi", "cpu", True, 0.0, 9.0) for n in (1, 2)]
    row = RoundRow(1, 1, 0.0, 3.5, 3.0, 0.1, 0.2, 1, 1, 100, "", "")
    rows = [_device_round(1, device.device, "pi") for device in devices]
    store.commit(RoundCommit(row, {"w": np.zeros(1, np.float32)}, devices=devices, device_rounds=rows))
    store.close()
    with RunReader(tmp_path / "run") as reader:
        figures = gather(reader)
    assert [line.device for line in figures.energy] == ["pi (000001)", "pi (000002)"]
