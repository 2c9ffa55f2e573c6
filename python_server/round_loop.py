"""The rounds of a run: choose, plan, send, collect, check, aggregate, evaluate, commit.

The same loop serves every strategy and both ways of starting: `python_server.train` and `python_server.server_app`.
It holds nothing that a resumed run could not have: weights and strategy state come from the store, and all chance of a
round from a generator seeded by experiment and round number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

import numpy as np

from edge_client.records import QUERY, SERVER_ROUND, TRAIN, Scalar
from python_server.aggregate import Aggregator
from python_server.answers import add_evaluation, architecture_accuracies, contribution, train_row
from python_server.client_evaluation import client_evaluations, evaluation_columns, mean_evaluation
from python_server.device_history import DeviceHistory
from python_server.errors import FleetError, UpdateError
from python_server.experiment import Experiment
from python_server.fleet import Fleet
from python_server.live import LiveFile
from python_server.model import Evaluation, GlobalModel
from python_server.progress import Progress, SeveralProgress
from python_server.reported_energy import condition_rows, energy_rows, evaluation_download_rows, merged
from python_server.roster import Roster
from python_server.run_rows import (
    EVALUATION_ANSWERED,
    EVALUATION_STARTED,
    TRAINING_STARTED,
    DeviceRoundRow,
    EventRow,
    MeasurementRow,
    RoundRow,
)
from python_server.store import RoundCommit, RunStore, Upload
from python_server.strategies.base import Arrays, Contribution, Device, Plan, StrategyState
from python_server.submodels import Submodel
from python_server.tasks import Answer, Assignment, Clock, LateAnswer, Messenger
from python_server.upload_times import UploadTimes
from python_server.wire import Outbox, agreed

__all__ = ["RoundLoop"]

_MOST_EMPTY_ROUNDS = 3
_LAST_UPLOADS_S = 5.0
_ROUNDS_TO_LEARN_FROM = 200
"""Of each device, when a run is resumed: enough to hold the few that count, whatever came between."""


@dataclass
class _Training:
    """What the train phase of a round came to."""

    mean: dict[str, np.ndarray]
    rows: dict[str, DeviceRoundRow]
    used: list[Contribution]
    weight: int
    aggregate_s: float
    phase_s: float
    uploads: list[Upload] = field(default_factory=list)
    measurements: list[MeasurementRow] = field(default_factory=list)


class RoundLoop:
    """Works on one run.

    Parameters
    ----------
    experiment
        What to do.
    store
        Where the run is kept.
    model
        The global model.
    exchange
        Reaches the nodes; its late answers should go to `note_late`.
    names
        Names of enrolled devices by public key.
    progress
        Hears how it goes.
    notices
        Called now and then; returns lines worth telling, such as that a local client ended.
    clock
        Where the time is read; a simulation has its own.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: RunStore,
        model: GlobalModel,
        exchange: Messenger,
        *,
        names: Mapping[bytes, str],
        progress: Progress,
        notices: Callable[[], list[str]] = lambda: [],
        clock: Clock = time,
    ) -> None:
        self._experiment = experiment
        self._store = store
        self._model = model
        self._exchange = exchange
        self._progress = SeveralProgress(progress, LiveFile(store.path))
        self._notices = notices
        self._clock = clock
        self._run_id = store.path.name
        self._fleet = Fleet(
            exchange,
            names=names,
            bundle=model.sha256,
            variants={variant.sha256: variant.title for variant in model.variants.values()},
            packed_bundle=model.packed_bundle,
            query_deadline_s=experiment.server.query_deadline_s,
            bundle_deadline_s=experiment.server.round_deadline_s,
            note=lambda device, text: self._note("refused", text, device=device),
            clock=clock,
        )
        self._strategy = experiment.strategy.bind(model.variants, experiment.groups)
        self._history = DeviceHistory(model.variants)
        self._roster = Roster(
            self._fleet,
            self._strategy,
            self._history,
            lambda device, text: self._note("plan", text, device=device),
            clock,
        )
        self._remarks: set[str] = set()
        self._started = False
        self._names: dict[int, str] = {}
        self._uploads = UploadTimes()
        self._moments: list[MeasurementRow] = []

    def run(self) -> RoundRow:
        """Do the rounds that are still to do; return the last one's row.

        Raises
        ------
        FleetError
            The devices cannot do it: too few came, or several rounds in a row gave nothing to use.
        SuperLinkError, StoreError
            The SuperLink is gone, or the disk is full. The run can be resumed.
        """
        experiment, strategy = self._experiment, self._strategy
        checkpoint = self._store.checkpoint()
        if checkpoint is None:
            weights = self._model.initial()
            state = strategy.start(weights)
            last = self._commit_start(weights, state)
        else:
            weights = checkpoint.weights
            state = StrategyState(checkpoint.strategy_state, checkpoint.strategy_arrays)
            last = checkpoint.row
            rows = self._store.latest_device_rounds(_ROUNDS_TO_LEARN_FROM)
            self._history.learn(rows)
            self._uploads.resume(rows)
            self._note("resumed", f"resumed after round {checkpoint.row.round}")
        empty = 0
        for number in range(last.round + 1, experiment.rounds + 1):
            last, weights, state = self._round(number, weights, state)
            empty = 0 if last.used else empty + 1
            if empty in (_MOST_EMPTY_ROUNDS, experiment.rounds):
                count = "1 round" if empty == 1 else f"{empty} rounds in a row"
                raise FleetError(f"{count} gave no usable update; see the devices' reasons above")
        return last

    def collect_last_uploads(self) -> list[Upload]:
        """Ask the devices how long their last upload took."""
        if not self._uploads.awaited:
            return []
        devices = self._fleet.online()
        deadline_s = min(self._experiment.server.query_deadline_s, _LAST_UPLOADS_S)
        assignments = [
            Assignment(node_id, QUERY) for node_id, device in devices.items() if device.device in self._uploads.awaited
        ]
        uploads = []
        for answer in self._exchange.run(assignments, deadline_s=deadline_s, label="last uploads"):
            uploads += self._uploads.settle(devices[answer.node_id].device, answer)
        return uploads

    def note_late(self, late: LateAnswer) -> None:
        """Write down that an answer came after its round was over."""
        name = self._names.get(late.node_id, str(late.node_id))
        self._note("late", f"{name} answered {late.label} {late.seconds_late:.1f} s too late; its answer was dropped")

    def _round(
        self, number: int, weights: dict[str, np.ndarray], state: StrategyState
    ) -> tuple[RoundRow, dict[str, np.ndarray], StrategyState]:
        started_at, start = self._clock.time(), self._clock.monotonic()
        self._moments = []
        server, strategy = self._experiment.server, self._strategy
        needed = server.min_clients if self._started else max(server.start_clients, server.min_clients)
        turnout = self._roster.call(needed, server.min_clients, server.start_deadline_s, self._waiting)
        devices = turnout.able
        self._started = True
        self._names.update({node_id: device.name for node_id, device in devices.items()})
        random = np.random.default_rng([self._experiment.seed, number])
        self._remark([*devices.values(), *(device for device, _ in turnout.unable)])
        plans = strategy.select(state, number, list(devices.values()), random)
        passed_over = strategy.passed_over(state, number, list(devices.values()), plans)
        seed = int(random.integers(2**31))
        asked = self._fleet.equip(
            {node_id: device for node_id, device in devices.items() if device.device in plans},
            {device: plan.submodel.bundle or self._model.sha256 for device, plan in plans.items()},
        )
        plans = {
            device.device: agreed(
                plans[device.device], device, self._experiment.train, self._trained(plans[device.device])
            )
            for device in asked.values()
        }
        names = {device.device: device.name for device in asked.values()}
        self._progress.round_started(number, self._experiment.rounds, names)

        self._tell_notices()
        models = strategy.models(state, weights)
        training = self._train(number, seed, models, asked, plans)
        state = strategy.observe(state, number, list(training.rows.values()))
        state, weights = strategy.finish(state, models, training.mean, training.used)
        evaluate_start = self._clock.monotonic()
        models, architectures = strategy.models(state, weights), strategy.architectures(state)
        on_server, on_clients = self._evaluate(number, models, architectures, asked, plans, training)
        row = RoundRow(
            round=number,
            seed=seed,
            started_at=started_at,
            wall_s=self._clock.monotonic() - start,
            train_phase_s=training.phase_s,
            aggregate_s=training.aggregate_s,
            evaluate_s=self._clock.monotonic() - evaluate_start,
            asked=len(asked),
            used=len(training.used),
            weight=training.weight,
            weights_file="",
            weights_sha256="",
            strategy_state=state.values,
            **evaluation_columns(next(iter(on_server.values()), None), on_clients),
        )
        rows = list(training.rows.values())
        skipped = turnout.rows(number, passed_over)
        row = self._store.commit(
            RoundCommit(
                row,
                weights,
                strategy_arrays=state.arrays,
                devices=self._fleet.rows(),
                device_rounds=[*rows, *skipped],
                measurements=[
                    *merged(training.measurements),
                    *architecture_accuracies(number, on_server),
                    *self._moments,
                ],
                uploads=training.uploads,
            )
        )
        self._history.learn([*rows, *skipped], training.uploads)
        self._progress.round_done(row, rows)
        return row, weights, state

    def _waiting(self, present: int, needed: int) -> None:
        self._tell_notices()
        self._progress.waiting(present, needed)

    def _remark(self, devices: list[Device]) -> None:
        for line in self._strategy.remarks(devices):
            if line not in self._remarks:
                self._remarks.add(line)
                self._note("plan", line)

    def _tell_notices(self) -> None:
        for line in self._notices():
            self._note("client", line)

    def _train(
        self,
        number: int,
        seed: int,
        models: Arrays,
        asked: Mapping[int, Device],
        plans: Mapping[str, Plan],
    ) -> _Training:
        start = self._clock.monotonic()
        outbox = Outbox(models)
        assignments = [
            Assignment(
                node_id,
                TRAIN,
                plans[device.device].to_config(number=number, run=self._run_id, seed=seed),
                outbox.shipment(plans[device.device]).payload,
            )
            for node_id, device in asked.items()
        ]
        rows: dict[str, DeviceRoundRow] = {}
        used: list[Contribution] = []
        uploads: list[Upload] = []
        measurements: list[MeasurementRow] = []
        aggregate_s = 0.0
        with Aggregator(models) as aggregator:
            self._note_moment(number, TRAINING_STARTED)
            for answer in self._exchange.run(
                assignments,
                deadline_s=self._experiment.server.round_deadline_s,
                label=f"round {number}",
                max_arrays_bytes=outbox.largest_update_bytes,
            ):
                device = asked[answer.node_id]
                uploads += self._uploads.settle(device.device, answer)
                add_start = self._clock.monotonic()
                row, part = self._use(number, device, plans[device.device], answer, aggregator, outbox)
                aggregate_s += self._clock.monotonic() - add_start
                rows[device.device] = row
                if part is not None:
                    used.append(part)
                if answer.problem and not answer.late:
                    self._fleet.doubt(answer.node_id)
                if not answer.problem:
                    self._uploads.expect(device.device, number)
                    measurements += energy_rows(number, device.device, answer, "train")
                    measurements += condition_rows(number, device.device, answer)
                self._progress.answered(row)
            phase_s = self._clock.monotonic() - start
            add_start = self._clock.monotonic()
            mean = aggregator.result()
            aggregate_s += self._clock.monotonic() - add_start
            used.sort(key=lambda part: (part.device.name, part.device.device))
            return _Training(mean, rows, used, aggregator.weight, aggregate_s, phase_s, uploads, measurements)

    def _trained(self, plan: Plan) -> tuple[str, ...]:
        """Return the variables that a plan's cut trains in the bundle that the device holds."""
        return self._model.trained(plan.cut, plan.submodel.bundle)

    def _use(
        self, number: int, device: Device, plan: Plan, answer: Answer, aggregator: Aggregator, outbox: Outbox
    ) -> tuple[DeviceRoundRow, Optional[Contribution]]:
        """Add an answer to the mean, if it can be used."""
        row = train_row(number, device, plan, answer)
        if answer.problem:
            return row, None
        try:
            part = contribution(device, plan, answer)
            if answer.arrays is None:
                raise UpdateError("it sent no weights")
            weight = self._strategy.weigh(part)
            if weight < 1:
                raise UpdateError("it did not train a single step")
            arrays = outbox.shipment(plan).update(answer.arrays, plan.upload_codec or "float32")
            if plan.submodel.differences:
                arrays = outbox.moved(plan, arrays, self._model.held)
            update, where = plan.submodel.scatter(arrays)
            names = self._trained(plan) if plan.reply is None else plan.reply
            aggregator.add(update, weight, where, names=plan.submodel.global_names(names))
            part = replace(part, variables=names)
            if self._strategy.needs_distances:
                part = replace(part, distances=outbox.distances(plan, arrays))
        except UpdateError as error:
            return replace(row, outcome="rejected", reason=str(error)), None
        if part.steps < part.planned_steps:
            reason = f"{part.steps} of {part.planned_steps} steps before the cutoff"
            return replace(row, outcome="partial", reason=reason, weight=weight), part
        return replace(row, outcome="ok", weight=weight), part

    def _evaluate(
        self,
        number: int,
        models: Arrays,
        architectures: Sequence[Submodel],
        asked: Mapping[int, Device],
        plans: Mapping[str, Plan],
        training: _Training,
    ) -> tuple[dict[str, Evaluation], Optional[Evaluation]]:
        """Evaluate the new weights where the experiment says; on clients, into the devices' rows too.

        What the server finds comes by the architecture's name.
        """
        settings = self._experiment.evaluate
        if number % settings.every and number != self._experiment.rounds:
            return {}, None
        on_clients = None
        if settings.clients:
            config: dict[str, Scalar] = {SERVER_ROUND: number, "run": self._run_id}
            start_at = self._note_moment(number, EVALUATION_STARTED)
            tasks = client_evaluations(models, {id_: plans[device.device] for id_, device in asked.items()}, config)
            for answer in self._exchange.run(
                tasks, deadline_s=self._experiment.server.round_deadline_s, label=f"evaluation of round {number}"
            ):
                device = asked[answer.node_id].device
                if answer.replied_after_s is not None:
                    self._note_moment(number, EVALUATION_ANSWERED, start_at + answer.replied_after_s, device)
                training.uploads += self._uploads.settle(device, answer)
                if not answer.problem:
                    training.rows[device] = add_evaluation(training.rows[device], answer)
                    training.measurements += energy_rows(number, device, answer, "evaluate")
                    training.measurements += evaluation_download_rows(number, device, answer)
            on_clients = mean_evaluation(training.rows.values())
        return self._evaluate_here(models, architectures), on_clients

    def _evaluate_here(self, models: Arrays, architectures: Sequence[Submodel]) -> dict[str, Evaluation]:
        """Evaluate architectures on the server's data; none where there is none, or the experiment does not want it."""
        if not self._experiment.evaluate.server:
            return {}
        found = {each.name: self._model.evaluate(each.extract(models), each.bundle) for each in architectures}
        return {name: evaluation for name, evaluation in found.items() if evaluation is not None}

    def _commit_start(self, weights: dict[str, np.ndarray], state: StrategyState) -> RoundRow:
        started_at, start = self._clock.time(), self._clock.monotonic()
        strategy = self._strategy
        evaluations = self._evaluate_here(strategy.models(state, weights), strategy.architectures(state))
        seconds = self._clock.monotonic() - start
        row = RoundRow(
            round=0,
            seed=self._experiment.seed,
            started_at=started_at,
            wall_s=seconds,
            train_phase_s=0.0,
            aggregate_s=0.0,
            evaluate_s=seconds,
            asked=0,
            used=0,
            weight=0,
            weights_file="",
            weights_sha256="",
            strategy_state=state.values,
            **evaluation_columns(next(iter(evaluations.values()), None), None),
        )
        row = self._store.commit(RoundCommit(row, weights, strategy_arrays=state.arrays))
        self._progress.round_done(row, [])
        return row

    def _note_moment(self, number: int, what: str, at: Optional[float] = None, device: str = "") -> float:
        """Write down when something happened, now if not told; return it."""
        at = self._clock.time() if at is None else at
        self._moments.append(MeasurementRow(number, device, what, at, "s", "server's clock", "measured"))
        return at

    def _note(self, kind: str, text: str, *, device: str = "") -> None:
        self._store.add_event(EventRow(self._clock.time(), kind, text, device=device))
        self._progress.note(text)
