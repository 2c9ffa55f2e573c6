"""Clients and servers that die at the worst moments, against a real SuperLink."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="needs Flower's SuperLink")

from tests.superlink import SuperLink, until
from tests.toy_client import CRASHES
from tests.toy_server import Exchange, Toy, handled

AFTER_TRAINING = ("reply-saved", "confirmed", "announced", "half-sent", "forgotten")


@pytest.fixture(scope="module")
def superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    with SuperLink(tmp_path_factory.mktemp("superlink")) as started:
        yield started


@pytest.mark.parametrize("crash", sorted(CRASHES))
def test_kill_9_loses_and_repeats_nothing(toy: Toy, superlink: SuperLink, tmp_path: Path, crash: str) -> None:
    state = tmp_path / "state"
    exchange = Exchange(superlink, tmp_path, rounds=2)
    with toy(superlink, state, f"--crash={crash}") as client:
        assert client.wait() == toy.crashed
    with toy(superlink, state) as client:
        replies = exchange.wait()
    assert [reply.get("weights") for reply in replies] == [
        {"dense/kernel": [number], "dense/bias": [number]} for number in (1.0, 2.0)
    ], replies
    again = ["train 1"] if crash == "training" else []
    assert handled(state) == ["train 1", *again, "train 2"]
    assert "duplicate reply" not in superlink.log
    assert not {"task", "reply"} & {file.name for file in state.iterdir()}


def test_error_of_the_handler_reaches_the_server_at_once(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    exchange = Exchange(superlink, tmp_path)
    with toy(superlink, tmp_path / "state", "--fail") as client:
        (reply,) = exchange.wait()
        assert reply["error"] in (
            "2 RuntimeError: the dog ate the gradients",
            "2 RuntimeException: the dog ate the gradients",
        )
        assert client.running()


def test_reply_sent_before_leaving_is_not_lost(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    """The server looks only every five seconds; a node that is gone by then would count as failed."""
    exchange = Exchange(superlink, tmp_path, poll_s=5.0)
    state = tmp_path / "state"
    with toy(superlink, state) as client:
        until(lambda: "event=reply" in client.output, what="the reply")
        assert client.stop() == 0
    (reply,) = exchange.wait()
    assert "weights" in reply, reply
    assert "event=left-unannounced" not in client.output


def test_leaving_while_training_tells_the_server_and_keeps_the_work(
    toy: Toy, superlink: SuperLink, tmp_path: Path
) -> None:
    exchange = Exchange(superlink, tmp_path)
    state = tmp_path / "state"
    with toy(superlink, state, "--train-s=60") as client:
        until(lambda: handled(state), what="training")
        assert client.stop() == 0
    (reply,) = exchange.wait()
    assert "Node Unavailable" in reply["error"]
    assert (state / "task").exists()


def test_left_task_is_taken_up_if_the_server_still_waits(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    exchange = Exchange(superlink, tmp_path, poll_s=12.0)
    state = tmp_path / "state"
    with toy(superlink, state, "--train-s=60") as client:
        until(lambda: handled(state), what="training")
        assert client.stop() == 0
    with toy(superlink, state):
        (reply,) = exchange.wait()
    assert "weights" in reply, reply


def test_run_that_ends_while_training(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    exchange = Exchange(superlink, tmp_path)
    state = tmp_path / "state"
    with toy(superlink, state, "--train-s=60") as client:
        until(lambda: handled(state), what="training")
        exchange.run.stop()
        (state / "finish").touch()
        until(lambda: "outcome=refused" in client.output, what="the refusal")
        assert "run status" in client.output
        exchange = Exchange(superlink, tmp_path)
        assert "weights" in exchange.wait()[0]


def test_second_client_on_the_same_state(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    with toy(superlink, tmp_path / "state") as first:
        until(lambda: "event=connected" in first.output, what="the connection")
        with toy(superlink, tmp_path / "state") as second:
            assert second.wait() == 1
        assert f"another client (process {first.popen.pid}) is using this state directory" in second.output
        assert first.running()


def test_lost_node_number_waits_for_the_old_session(toy: Toy, superlink: SuperLink, tmp_path: Path) -> None:
    """Only the key is left: the server believes the old session alive for twice the heartbeat interval."""
    state = tmp_path / "state"
    with toy(superlink, state, "--heartbeat=10") as client:
        until(lambda: "event=connected" in client.output, what="the connection")
        client.kill()
    (state / "node.json").unlink()
    with toy(superlink, state) as client:
        until(lambda: client.output.count("event=connected") == 2, within_s=60, what="the second connection")
        assert "earlier-session-still-active" in client.output


@pytest.mark.parametrize("hours", [-9, 9])
def test_clock_wrong_by_hours(toy: Toy, superlink: SuperLink, tmp_path: Path, hours: int) -> None:
    exchange = Exchange(superlink, tmp_path)
    with toy(superlink, tmp_path / "state", f"--clock-offset={hours * 3600}"):
        (reply,) = exchange.wait()
    assert "weights" in reply, reply


def test_new_superlink_that_never_heard_of_the_client(toy: Toy, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with SuperLink(tmp_path / "superlink") as superlink:
        Exchange(superlink, tmp_path)
        with toy(superlink, state, "--train-s=8") as client:
            until(lambda: handled(state), what="training")
            superlink.kill()
            superlink.start()
            until(lambda: "event=dropped what=reply" in client.output, within_s=60, what="dropping the dead reply")
            exchange = Exchange(superlink, tmp_path)
            (reply,) = exchange.wait()
    assert "weights" in reply, reply
    assert len(set(re.findall(r"event=connected .* node=(\d+)", client.output))) == 2


def test_superlink_with_a_database_comes_back(toy: Toy, tmp_path: Path) -> None:
    """The run is over, as its server app died with it, but the node is the same and takes part in the next."""
    state = tmp_path / "state"
    with SuperLink(tmp_path / "superlink", database=True) as superlink, toy(superlink, state) as client:
        until(lambda: "event=connected" in client.output, what="the connection")
        superlink.kill()
        until(lambda: "event=unreachable" in client.output, what="noticing")
        superlink.start()
        (reply,) = Exchange(superlink, tmp_path).wait()
    assert "weights" in reply, reply
    assert len(set(re.findall(r"event=connected .* node=(\d+)", client.output))) == 1


def test_server_that_stays_away(toy: Toy, tmp_path: Path) -> None:
    with SuperLink(tmp_path / "superlink") as superlink:
        pass
    with toy(superlink, tmp_path / "state", "--give-up-after=2") as client:
        assert client.wait() == 1
    assert "event=unreachable" in client.output
    assert re.search(
        r"Unreachable(Error|Exception): cannot connect to 127.0.0.1:\d+: Connection refused; gave up after 2 s",
        client.output,
    )
