"""The round loop against a real SuperLink and real clients that behave well, badly, or not at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import pytest

from edge_client.bundle_store import BundleStore
from edge_client.records import EVALUATE, Reply, Scalar, Task
from edge_client.worker import Worker
from model_export import signing
from model_export.bundle import Bundle, write_bundle
from python_server.errors import FleetError, NoClientsError
from python_server.exchange import Exchange
from python_server.experiment import Experiment, parse_experiment
from python_server.flower_run import open_run, register_devices
from python_server.identity import Identity, host_names
from python_server.model import BundleModel, Evaluation, GlobalModel
from python_server.progress import Progress
from python_server.round_loop import RoundLoop
from python_server.run_reader import RunReader
from python_server.run_rows import EVALUATION_DOWNLOAD, DeviceRoundRow, RoundRow
from python_server.store import RunStore
from python_server.superlink import SuperLink, SuperLinkSettings
from python_server.tasks import Clock
from python_server.variants import Variant
from tests.server_fleet import DyingSession, client, named, public_key

if TYPE_CHECKING:
    from conftest import Digits

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # within flwr

KERNEL, BIAS, FROZEN = np.zeros((3, 2), np.float32), np.array([5], np.float32), np.ones(2, np.float32)
START = {"a/kernel": KERNEL, "b/bias": BIAS, "c/frozen": FROZEN}


class FakeModel:
    """A model of plain arrays, of which ``c/frozen`` does not train."""

    sha256 = ""
    variants: Mapping[str, Variant] = {}

    def initial(self) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in START.items()}

    def trained(self, cut: str, bundle: str = "") -> tuple[str, ...]:
        return ("a/kernel", "b/bias")

    def packed_bundle(self, bundle: str = "") -> bytes:
        raise AssertionError("every device may hold any bundle")

    def held(self, weights: Mapping[str, np.ndarray], bundle: str) -> dict[str, np.ndarray]:
        raise AssertionError("no device compresses anything")

    def evaluate(self, weights: Any, bundle: str = "") -> Evaluation:
        return float(weights["a/kernel"].mean()), 0.5, 7


class AheadClock:
    """The time, but for what a test lets pass at once."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.sleep = time.sleep

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def time(self) -> float:
        return time.time() + self.ahead_s


class Setting:
    """A SuperLink with an open run, to which a test adds clients."""

    def __init__(self, folder: Path, superlink: SuperLink, exchange: Exchange, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.superlink = superlink
        self.exchange = exchange
        self.stack = stack
        self.keys: dict[bytes, str] = {}

    def add(self, name: str, behaviour: Any, *, uploads: bool = True, **facts: Any) -> None:
        self.connect(name, named(name, behaviour, facts), uploads=uploads)

    def connect(self, name: str, handler: Any, *, uploads: bool = True) -> None:
        state = self.folder / name
        key = public_key(state)
        self.keys[key] = name
        register_devices(self.superlink, [key])
        certificates = self.superlink.settings.certificates
        assert certificates is not None
        server = f"localhost:{self.superlink.port}"
        self.stack.enter_context(client(server, state, handler, ca_file=certificates.ca, uploads=uploads))

    def all_online(self) -> None:
        """Wait until every client that was connected is online."""
        end = time.monotonic() + 60
        while len(self.exchange.nodes()) < len(self.keys) and time.monotonic() < end:
            time.sleep(0.05)

    def run(
        self,
        rounds: int,
        model: Optional[GlobalModel] = None,
        groups: str = "",
        progress: Optional[Progress] = None,
        clock: Clock = time,
        **server: Any,
    ) -> tuple[RoundRow, RunReader]:
        experiment = an_experiment(rounds, groups, **{"start_clients": max(1, len(self.keys)), **server})
        store = RunStore.create(self.folder / "run", experiment.source, {})
        try:
            model = model or FakeModel()
            progress = progress or Progress()
            loop = RoundLoop(experiment, store, model, self.exchange, names=self.keys, progress=progress, clock=clock)
            self.exchange._on_late = loop.note_late
            last = loop.run()
            store.finish("finished", uploads=loop.collect_last_uploads())
        finally:
            store.close()
        return last, self.stack.enter_context(RunReader(self.folder / "run"))


def an_experiment(rounds: int, groups: str = "", **server: Any) -> Experiment:
    values = {"round_deadline_s": 60, "start_deadline_s": 60, **server}
    tables = "".join(f"{key} = {str(value).lower()}\n" for key, value in values.items() if key != "clients")
    evaluate = "[evaluate]\nclients = true\n" if server.get("clients") else ""
    text = f'name = "x"\nrounds = {rounds}\n[model]\nbundle = "b"\n{evaluate}[server]\n{tables}{groups}'
    return parse_experiment(text.encode(), Path("/"), "test")


@pytest.fixture(name="superlink", scope="module")
def start_superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    folder = tmp_path_factory.mktemp("server")
    certificates = Identity(folder / "identity").certificates(host_names())
    with SuperLink(SuperLinkSettings(port=0, certificates=certificates), folder / "superlink.log") as superlink:
        yield superlink


@pytest.fixture(name="setting")
def make_setting(superlink: SuperLink, tmp_path: Path) -> Iterator[Setting]:
    with open_run(superlink) as run, contextlib.ExitStack() as stack:
        yield Setting(tmp_path, superlink, Exchange(run.grid, check=superlink.check), stack)


@pytest.fixture(name="clock")
def make_clock(monkeypatch: pytest.MonkeyPatch) -> AheadClock:
    """Let the server read the time where a test can let it pass, so that none strikes because it is busy here."""
    clock = AheadClock()
    for module in ("exchange", "fetch"):
        monkeypatch.setattr(f"python_server.{module}.time", clock)
    return clock


def adding(amount: float, examples: int = 10, **metrics: Any) -> Any:
    """Return a client's behaviour: train by adding a number."""

    def handle(task: Task) -> Reply:
        figures: dict[str, Any] = {"num-examples": examples, "examples-processed": examples, "steps": 2}
        figures.update({"planned-steps": 2, "train-s": 0.01, "train-loss": 0.5, **metrics})
        if task.kind == EVALUATE:
            return Reply({"num-examples": examples, "eval-loss": amount, "eval-accuracy": amount / 10})
        arrays = {name: task.arrays[name] + np.float32(amount) for name in ("a/kernel", "b/bias")}
        return Reply(figures, arrays, {"energy-source": "a test", "energy-method": "modelled"})

    return handle


def test_the_weighted_mean_of_every_round_is_exact(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("python_server.round_loop._LAST_UPLOADS_S", 60.0)  # a busy machine may take longer than usual
    setting.add("one", adding(1, examples=10))
    setting.add("two", adding(4, examples=20))
    last, run = setting.run(3, query_deadline_s=60)
    # Each round adds (10 * 1 + 20 * 4) / 30 = 3.
    assert [run.weights(number)["a/kernel"][0, 0] for number in range(4)] == [0, 3, 6, 9]
    assert run.weights(3)["b/bias"].tolist() == [14]
    assert run.weights(3)["c/frozen"].tolist() == [1, 1]
    assert (last.loss, last.accuracy, last.examples) == (9, 0.5, 7)
    assert (last.asked, last.used, last.weight) == (2, 2, 30)
    assert [(row.round, row.name, row.outcome, row.weight) for row in run.device_rounds()] == [
        (number, name, "ok", weight) for number in (1, 2, 3) for name, weight in (("one", 10), ("two", 20))
    ]
    assert all(row.upload_s is not None and row.upload_s > 0 for row in run.device_rounds())
    assert all(row.download_bytes and row.upload_bytes for row in run.device_rounds())
    assert {device.name for device in run.devices()} == {"one", "two"}
    assert all(device.enrolled for device in run.devices())


def sending(arrays: dict[str, np.ndarray], **metrics: Any) -> Any:
    """Return a client's behaviour: always send these arrays."""
    return lambda task: Reply(metrics or {"num-examples": 5}, arrays)


NAN = np.full((3, 2), np.nan, np.float32)
BAD = {
    "nan": (sending({"a/kernel": NAN, "b/bias": BIAS}), "rejected", "'a/kernel' holds NaN"),
    "shape": (sending({"a/kernel": NAN[:2], "b/bias": BIAS}), "rejected", "has shape [2, 2] instead of [3, 2]"),
    "missing": (sending({"a/kernel": KERNEL}), "rejected", "'b/bias' is missing"),
    "frozen": (sending(START), "rejected", "'c/frozen', which it was not asked to train"),
    "unknown": (sending({"a/kernel": KERNEL, "b/bias": BIAS, "evil": BIAS}), "rejected", "the model does not have"),
    "no weights": (lambda task: Reply({"num-examples": 5}), "rejected", "it sent no weights"),
    "no examples": (sending(START, other=1), "rejected", "num-examples"),
    "negative": (adding(1, examples=-3), "rejected", "num-examples"),
    "too much work": (adding(1, **{"examples-processed": 999}), "rejected", "999 examples were processed"),
    "no step": (adding(1, steps=0), "rejected", "single step"),
    "exception": (lambda task: 1 / 0, "error", "ZeroDivisionError"),
    "too large": (sending({"a/kernel": np.zeros(10**6, np.float32)}), "error", "bytes allowed"),
}


@pytest.mark.parametrize(("behaviour", "outcome", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_answers_are_refused_by_name_and_the_round_goes_on(
    setting: Setting, behaviour: Any, outcome: str, reason: str
) -> None:
    setting.add("good", adding(2))
    setting.add("bad", behaviour)
    last, run = setting.run(1)
    assert run.weights(1)["a/kernel"].tolist() == [[2, 2]] * 3
    bad, good = run.device_rounds()
    assert (good.name, good.outcome) == ("good", "ok")
    assert (bad.name, bad.outcome) == ("bad", outcome)
    assert reason in bad.reason
    assert last.used == 1


def test_partial_work_counts(setting: Setting) -> None:
    setting.add("fast", adding(1))
    setting.add("slow", adding(3, **{"steps": 1, "examples-processed": 4}))
    _, run = setting.run(1)
    assert run.weights(1)["a/kernel"][0, 0] == 2
    assert [(row.name, row.outcome) for row in run.device_rounds()] == [("fast", "ok"), ("slow", "partial")]


def test_a_silent_client_costs_the_deadline_and_its_late_answer_is_dropped(setting: Setting, clock: AheadClock) -> None:
    asleep, round_1_is_over, came_late = threading.Event(), threading.Event(), threading.Event()

    class Watching(Progress):
        def answered(self, row: DeviceRoundRow) -> None:
            if (row.round, row.name) == (1, "steady"):
                asleep.wait(60)  # a task that was not taken up yet would be withdrawn
                clock.ahead_s += LONG_S

        def note(self, text: str) -> None:
            if "answered round 1" in text:
                came_late.set()

    def sleepy(task: Task) -> Reply:
        if task.config["server-round"] == 1:
            asleep.set()
            round_1_is_over.wait(60)
        return adding(100)(task)

    def steady(task: Task) -> Reply:
        if task.config["server-round"] == 2:
            round_1_is_over.set()
            came_late.wait(60)
        return adding(1)(task)

    setting.add("steady", steady)
    setting.add("sleepy", sleepy)
    _, run = setting.run(3, progress=Watching(), clock=clock, round_deadline_s=LONG_S)
    assert run.rounds()[1].train_phase_s >= LONG_S
    outcomes = {(row.round, row.name): row.outcome for row in run.device_rounds()}
    assert outcomes[1, "sleepy"] == "late"
    assert outcomes[1, "steady"] == "ok"
    assert run.weights(1)["a/kernel"][0, 0] == 1
    late = [event for event in run.events() if event.kind == "late"]
    assert len(late) == 1
    assert late[0].text.startswith("sleepy answered round 1 ")
    assert run.weights(3)["a/kernel"][0, 0] == 1 + 50.5 + 50.5


LONG_S = 600
"""A deadline that only an `AheadClock` reaches."""
PHONES = """
[[groups]]
name = "phones"
devices = ["phone"]
battery_percent = 30
"""


def test_a_phone_is_not_asked_before_its_battery_is_charged(setting: Setting) -> None:
    facts: dict[str, Scalar] = {"battery-percent": 10.0, "charging": False}

    def steady(task: Task) -> Reply:
        if task.config["server-round"] == 2:
            facts["battery-percent"] = 80.0
        return adding(1)(task)

    setting.add("board", steady)
    setting.connect("phone", named("phone", adding(3), facts))
    _, run = setting.run(3, groups=PHONES)
    rows = {(row.round, row.name): row for row in run.device_rounds()}
    assert [rows[number, "phone"].outcome for number in (1, 2, 3)] == ["skipped", "skipped", "ok"]
    assert rows[1, "phone"].reason == "group 'phones': its battery is at 10 %, below 30 %"
    assert [(row.asked, row.used) for row in run.rounds()[1:]] == [(1, 1), (1, 1), (2, 2)]
    assert [run.weights(number)["a/kernel"][0, 0] for number in (1, 2, 3)] == [1, 2, 4]
    (note,) = [event.text for event in run.events() if event.kind == "plan"]
    assert note == "phone is not asked for now: group 'phones': its battery is at 10 %, below 30 %"
    assert {device.name: device.facts.get("battery-percent") for device in run.devices()} == {
        "board": None,
        "phone": 80.0,
    }


def test_a_fleet_of_empty_batteries_is_named(setting: Setting, clock: AheadClock) -> None:
    class Watching(Progress):
        def note(self, text: str) -> None:
            clock.ahead_s += LONG_S

    setting.connect("phone", named("phone", adding(3), {"battery-percent": 10.0}))
    message = "0 of 1 devices can take part, and the experiment wants 1; phone, for one, cannot: .* at 10 %, below 30"
    with pytest.raises(NoClientsError, match=message):
        setting.run(1, groups=PHONES, progress=Watching(), clock=clock, start_deadline_s=LONG_S)


def test_a_client_that_dies_before_its_upload_costs_the_deadline(setting: Setting, clock: AheadClock) -> None:
    class Watching(Progress):
        def waiting(self, present: int, needed: int) -> None:
            clock.ahead_s += LONG_S * present

    setting.add("good", adding(2))
    setting.add("dying", adding(100), uploads=False)
    # It cannot even answer the query, so it has to be known already.
    with pytest.raises(NoClientsError, match="1 of 2 devices"):
        setting.run(1, progress=Watching(), clock=clock, query_deadline_s=1, start_deadline_s=LONG_S)


def test_an_upload_that_breaks_off_in_training(setting: Setting, clock: AheadClock) -> None:
    """A reply is announced, its objects never come: neither a wait of three minutes nor a lost round."""
    broken, announced = False, threading.Event()

    class Watching(Progress):
        def answered(self, row: DeviceRoundRow) -> None:
            if row.name == "good":
                clock.ahead_s += LONG_S

    def good(task: Task) -> Reply:
        announced.wait(60)
        return adding(2)(task)

    def dies(task: Task) -> Reply:
        nonlocal broken
        broken = True
        return adding(100)(task)

    original = DyingSession.call

    def call(self: Any, name: str, *arguments: Any, **options: Any) -> Any:
        if name == "push-object" and not broken:
            return super(DyingSession, self).call(name, *arguments, **options)
        if name == "push-object":
            announced.set()
        return original(self, name, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DyingSession, "call", call)
        setting.add("good", good)
        setting.add("dying", dies, uploads=False)
        _, run = setting.run(1, progress=Watching(), clock=clock, round_deadline_s=LONG_S)
    assert run.rounds()[1].train_phase_s < LONG_S + 90, "Flower itself would have waited for three minutes"
    rows = {row.name: row for row in run.device_rounds()}
    assert (rows["dying"].outcome, rows["good"].outcome) == ("late", "ok")
    assert "upload was not complete" in rows["dying"].reason
    assert run.weights(1)["a/kernel"][0, 0] == 2


def test_evaluation_on_clients(setting: Setting) -> None:
    setting.add("one", adding(1, examples=10))
    setting.add("two", adding(4, examples=30))
    last, run = setting.run(1, clients=True)
    assert last.client_loss == pytest.approx((10 * 1 + 30 * 4) / 40)
    assert last.client_accuracy == pytest.approx((10 * 0.1 + 30 * 0.4) / 40)
    assert last.client_examples == 40
    assert [row.eval_loss for row in run.device_rounds()] == [1, 4]
    fetched = {row.device: row.value for row in run.measurements() if row.quantity == EVALUATION_DOWNLOAD}
    assert fetched.keys() == {row.device for row in run.device_rounds()}
    assert min(fetched.values()) > 0


def test_no_client_before_the_deadline(setting: Setting) -> None:
    with pytest.raises(NoClientsError, match="0 of 1 devices came within 1 s"):
        setting.run(1, start_deadline_s=1, min_clients=1)


def test_a_fleet_that_gives_nothing_usable_ends_the_run(setting: Setting) -> None:
    setting.add("bad", lambda task: Reply({"num-examples": 5}))
    with pytest.raises(FleetError, match="3 rounds in a row"):
        setting.run(10)
    with RunReader(setting.folder / "run") as run:
        assert run.rounds()[-1].round == 3
        assert run.weights(3)["b/bias"].tolist() == [5]


def test_a_device_with_another_bundle_is_refused(setting: Setting) -> None:
    FakeModel.sha256 = "wanted"
    try:
        setting.add("right", adding(1), bundle="wanted")
        setting.add("wrong", adding(100), bundle="another")
        del setting.keys[next(key for key, name in setting.keys.items() if name == "wrong")]
        last, run = setting.run(1)
    finally:
        FakeModel.sha256 = ""
    assert last.asked == 1
    assert [row.name for row in run.device_rounds()] == ["right"]


def test_devices_without_the_bundle_get_it_and_others_stay_out(
    setting: Setting, digits_bundle: Path, digits: Digits, tmp_path: Path
) -> None:
    private = signing.load_or_create_key(tmp_path / "key.pem")
    trusted = signing.public_key(private)
    unsigned = Bundle.load(digits_bundle)
    files = {name: unsigned.read(name) for name in unsigned.manifest.files}
    bundle = write_bundle(tmp_path / "signed", unsigned.manifest, files, signing_key=private)
    older = write_bundle(tmp_path / "older", replace(bundle.manifest, name="older"), files, signing_key=private)
    data = digits.save(tmp_path / "data.npz", slice(0, 64))
    empty = BundleStore(tmp_path / "empty", trusted)
    outdated = BundleStore(tmp_path / "outdated", trusted)
    outdated.use(outdated.add(older.zipped(), older.sha256))
    suspicious = BundleStore(
        tmp_path / "suspicious", signing.public_key(signing.load_or_create_key(tmp_path / "other.pem"))
    )
    for name, source in (("empty", empty), ("outdated", outdated), ("suspicious", suspicious), ("fixed", older.path)):
        setting.connect(name, Worker(source, data, name=name, num_threads=1).handle)

    setting.all_online()  # or the run may be over before those who are refused have come
    last, reader = setting.run(2, BundleModel(bundle.path), start_clients=2, query_deadline_s=60)

    assert (last.asked, last.used) == (2, 2)
    assert {device.name for device in reader.devices()} == {"empty", "outdated"}
    for store in (empty, outdated):
        held = store.current()
        assert held is not None
        assert held.sha256 == bundle.sha256
    refused = sorted(event.text for event in reader.events() if event.kind == "refused")
    assert "fixed cannot take part: it holds another bundle than the experiment's" in refused[0]
    assert "suspicious cannot take part" in refused[1]
    assert "not by the trusted" in refused[1]
    assert suspicious.current() is None
