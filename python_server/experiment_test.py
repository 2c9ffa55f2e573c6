from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from python_server.errors import ExperimentError
from python_server.experiment import Experiment, load_experiment, parse_experiment
from python_server.strategies import FedAvg, ProcessorCutoff

MINIMAL = 'name = "x"\nrounds = 3\n[model]\nbundle = "b"\n'


def parse(text: str) -> Experiment:
    return parse_experiment(text.encode(), Path("/base"), "e.toml")


def test_defaults() -> None:
    experiment = parse(MINIMAL)
    assert (experiment.name, experiment.rounds, experiment.seed) == ("x", 3, 0)
    assert experiment.model.bundle == Path("/base/b")
    assert experiment.server.identity == Path("/base/identity")
    assert experiment.server.tls
    assert experiment.server.enrolled_only
    assert experiment.strategy_name == "fedavg"
    assert isinstance(experiment.strategy, FedAvg)
    assert experiment.train.learning_rate_at(7) == 0.01


def test_everything() -> None:
    experiment = parse(
        MINIMAL
        + """
        [train]
        epochs = 5
        learning_rate = { 1 = 0.1, 10 = 0.01 }
        [strategy]
        name = "processor_cutoff"
        weight_by = "work"
        cutoff_s = { cpu = 120, gpu = 0 }
        [server]
        port = 0
        tls = false
        [[clients]]
        name = "pi"
        data = "pi.npz"
        nice = 10
        extra = ["--power", "model"]
        [[clients]]
        name = "phone"
        data = "/elsewhere/phone.npz"
        processor = "gpu"
        """
    )
    strategy = experiment.strategy
    assert isinstance(strategy, ProcessorCutoff)
    assert strategy.options.cutoff_s == {"cpu": 120.0, "gpu": 0.0}
    assert strategy.options.weight_by == "work"
    assert [experiment.train.learning_rate_at(number) for number in (1, 9, 10, 11)] == [0.1, 0.1, 0.01, 0.01]
    assert [client.data for client in experiment.clients] == [Path("/base/pi.npz"), Path("/elsewhere/phone.npz")]
    assert experiment.server.start_clients == 2
    assert experiment.clients[0].extra == ("--power", "model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        ("rounds = 3\n[model]\nbundle='b'", "name is missing"),
        ("name = 'x'\nrounds = 3", "model is missing"),
        (MINIMAL + "pathh = 'x'", r"unknown key 'pathh' in \[model\]; it may have"),
        (MINIMAL + "bundel = 'x'", r"unknown key 'bundel' in \[model\]; did you mean 'bundle'\?"),
        (MINIMAL + "[trian]\nepochs = 2", r"unknown key 'trian' in the experiment; did you mean 'train'\?"),
        (MINIMAL + "[train]\nepochs = '2'", "train.epochs has to be a whole number; it is '2'"),
        (MINIMAL + "[train]\nepochs = true", "train.epochs has to be a whole number"),
        (MINIMAL + "[train]\nepochs = 0", "train.epochs is 0; it has to be at least 1"),
        (MINIMAL + "[train]\nlearning_rate = -1", "train.learning_rate is -1; it has to be a number greater than 0"),
        (MINIMAL + "[train]\nlearning_rate = { 2 = 0.1 }", "no rate for round 1"),
        (MINIMAL + "[train]\nlearning_rate = { first = 0.1 }", "'first' is no round"),
        (MINIMAL + "[server]\nport = 70000", "server.port is 70000; it has to be at most 65535"),
        (MINIMAL + "[server]\nround_deadline_s = 0", "it has to be greater than 0"),
        (MINIMAL + "[server]\nround_deadline_s = inf", "it has to be a finite number"),
        (MINIMAL + "[server]\nnames = 'x'", "server.names has to be a list"),
        (MINIMAL + "[server]\nnames = [1]", r"server.names\[0\] has to be text"),
        (MINIMAL + "[strategy]\nname = 'fedavgg'", "did you mean 'fedavg'"),
        (MINIMAL + "[strategy]\nfractoin = 0.5", r"unknown key 'fractoin' in \[strategy\]; did you mean 'fraction'"),
        (MINIMAL + "[strategy]\ncutoff_s = { cpu = 1 }", r"unknown key 'cutoff_s' in \[strategy\]"),
        (
            MINIMAL + "[strategy]\nname = 'processor_cutoff'\ncutoff_s = { cpu = -1 }",
            "strategy.cutoff_s.cpu is -1.0; it has to be at least 0",
        ),
        (MINIMAL + "[server]\n[[clients]]\ndata = 'd'", r"clients\[0\].name is missing"),
        (MINIMAL + "[[clients]]\nname='a b'\ndata = 'd'", r"clients\[0\].name is 'a b'; use letters"),
        (MINIMAL + "[[clients]]\nname='a'\ndata='d'\n[[clients]]\nname='a'\ndata='d'", "two \\[\\[clients\\]\\]"),
        (MINIMAL + "[[variants]]\nname='v'", r"variants\[0\].bundle is missing"),
        (
            MINIMAL + "[[variants]]\nname='v'\nbundle='b'\n[[variants]]\nname='v'\nbundle='b'",
            r"two \[\[variants\]\] have the name 'v'",
        ),
        (
            MINIMAL + "[[simulation.profiles]]\nname='p'\nstep_ms=1\n[[simulation.profiles]]\nname='p'\nstep_ms=9",
            r"two \[\[simulation.profiles\]\] have the name 'p'",
        ),
        (MINIMAL + "[train]\nlearning_rate = { '²' = 0.1 }", "'²' is no round"),
        (
            MINIMAL + "[simulation]\nengine = 'flower'\nbackend = 'jax'",
            "backend is 'jax', which is for engine = 'local'",
        ),
        (MINIMAL + "[simulation]\nbackend = 'tflite'\nside_by_side = 4", "side_by_side is 4, which needs .* 'jax'"),
        (
            MINIMAL + "[[clients]]\nname='a'\ndata='d'\nvariant='w'",
            r"client 'a': there is no variant 'w' among \[\[variants\]\]",
        ),
        (MINIMAL + "[[groups]]\nname='g'\nmemory_md=1", r"unknown key 'memory_md' in \[groups\[0\]\]; .* 'memory_mb'"),
        (MINIMAL + "[strategy]\nserver_optimizer = 'adan'", "did you mean 'adam'"),
        (MINIMAL + "[strategy]\nserver_momentum = 1", "server_momentum is 1.0; it has to be at most 0.9999"),
        (MINIMAL + "[strategy]\nname = 'fedcs'\ndeadline_s = 0", "deadline_s is 0.0; it has to be greater than 0"),
        ("model = 1\n" + MINIMAL.split("[")[0], "model has to be a table"),
        ("strategy = 1\n" + MINIMAL, "strategy has to be a table"),
        ("keep_weights = 'some'\n" + MINIMAL, "keep_weights is 'some'; it may be 'all' or 'last'"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("e.toml: ")
    assert "\n" not in str(caught.value)


def test_a_client_is_started_with_its_variant_s_bundle() -> None:
    clients = "[[clients]]\nname='v'\ndata='d'\nvariant='v'\n[[clients]]\nname='w'\ndata='d'\n"
    text = MINIMAL + "[[variants]]\nname='v'\nbundle='narrow'\n" + clients
    experiment = parse(text)
    assert [experiment.bundle_of(client).name for client in experiment.clients] == ["narrow", "b"]
    with pytest.raises(ExperimentError, match="bundle of variant 'v': there is no .*narrow"):
        replace(experiment, model=replace(experiment.model, bundle=Path("/"))).check_files()


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="no such file"):
        load_experiment(tmp_path / "none.toml")
    (tmp_path / "e.toml").write_text(MINIMAL)
    with pytest.raises(ExperimentError, match=f"model.bundle: there is no {tmp_path / 'b'}"):
        load_experiment(tmp_path / "e.toml").check_files()
