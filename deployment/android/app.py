"""Talking to the Android app through ``am``: it answers broadcasts of the adb shell with JSON (docs/android.md)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployment.connector import Completed, Connector, check
from deployment.errors import CommandError, CommandTimeoutError, NotThereError

__all__ = ["FILES", "PACKAGE", "AppStatus", "broadcast", "extras", "public_key", "start", "status", "stop"]

PACKAGE = "org.pocketfleet.app"
FILES = f"/sdcard/Android/data/{PACKAGE}/files"
"""Where the adb shell and the app both read and write."""
_ACTION = "org.pocketfleet."
_ANSWER = re.compile(r'Broadcast completed: result=(-?\d+)(?:, data="(.*)")?', re.DOTALL)
_POLL_S = 0.5


@dataclass(frozen=True)
class AppStatus:
    """What the app is doing.

    Attributes
    ----------
    running
        A client is there.
    phase
        ``stopped``, ``starting``, ``waiting``, ``working``, ``declined``, ``trouble`` or ``failed``.
    task, round, step, steps
        What is at work; empty and 0: nothing.
    words
        More about it, for people.
    server
        Address of its server; empty: none yet.
    results
        Folder with what it wrote.
    """

    running: bool
    phase: str
    task: str
    round: int
    step: int
    steps: int
    words: str
    server: str
    results: str


def extras(settings: Mapping[str, str]) -> list[str]:
    """Return settings (names as in docs/android.md) as words for ``am``."""
    return [word for name, value in settings.items() for word in ("--es", name, value)]


def broadcast(connector: Connector, action: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Send the app a broadcast and return its answer.

    Parameters
    ----------
    action
        ``CONFIGURE``, ``STATUS``, ``STOP`` or ``KEY``.

    Raises
    ------
    deployment.errors.NotThereError
        The app is not installed.
    deployment.errors.CommandError
        It refuses; its reason is in the message.
    """
    words = ["am", "broadcast", "-n", f"{PACKAGE}/.ShellReceiver", "-a", _ACTION + action, *extras(settings or {})]
    completed = _am(connector, words)
    found = _ANSWER.search(completed.text)
    if found is None:
        raise CommandError(connector.name, f"am broadcast {action}: {completed.complaint or 'no answer'}")
    if found[2] is None:  # nobody received it
        raise NotThereError(connector.name, "the app is not installed on it", "install it: fleet push")
    try:
        answer = json.loads(found[2])
    except ValueError:
        raise CommandError(connector.name, f"{action}: the app's answer is no JSON: {found[2][:80]!r}") from None
    if not isinstance(answer, dict) or "problem" in answer:
        problem = answer.get("problem") if isinstance(answer, dict) else "an unexpected answer"
        raise CommandError(connector.name, f"{action.lower()}: {problem}", status=int(found[1]))
    return answer


def status(connector: Connector) -> AppStatus:
    """Ask the app what it is doing; raises as `broadcast`."""
    answer = broadcast(connector, "STATUS")
    texts = {name: str(answer.get(name) or "") for name in ("phase", "task", "words", "server", "results")}
    numbers = {name: int(answer.get(name) or 0) for name in ("round", "step", "steps")}
    return AppStatus(
        bool(answer.get("running")),
        texts["phase"],
        texts["task"],
        numbers["round"],
        numbers["step"],
        numbers["steps"],
        texts["words"],
        texts["server"],
        texts["results"],
    )


def public_key(connector: Connector) -> tuple[str, str]:
    """Return the fingerprint and the public key (PEM) by which a server knows this phone; raises as `broadcast`."""
    answer = broadcast(connector, "KEY")
    return str(answer.get("fingerprint", "")), str(answer.get("pem", ""))


def start(connector: Connector, settings: Mapping[str, str], *, wait_s: float = 20) -> AppStatus:
    """Start the client and wait until it is there.

    Parameters
    ----------
    settings
        Limits of this start: ``rounds``, ``minutes``, ``out``.

    Raises
    ------
    deployment.errors.CommandError
        Android or the app refuses, or the client ended at once.
    """
    service = ["am", "start-foreground-service", "-n", f"{PACKAGE}/.FleetService", "-a", f"{_ACTION}START"]
    completed = _am(connector, [*service, *extras(settings)])
    if "Error" in completed.text or "Exception" in completed.text + completed.complaint:
        raise CommandError(connector.name, f"Android does not start the service: {completed.complaint}")
    end = time.monotonic() + wait_s
    while True:
        now = status(connector)
        if now.running:
            return now
        if now.phase == "failed" or time.monotonic() > end:
            raise CommandError(
                connector.name, f"the client has not started ({now.phase}): {now.words or 'see its log'}"
            )
        time.sleep(_POLL_S)


def stop(connector: Connector, *, wait_s: float = 20) -> None:
    """Let the client finish and leave; end the app by force when it does not.

    Raises
    ------
    deployment.errors.CommandTimeoutError
        It is still there.
    """
    broadcast(connector, "STOP")
    end = time.monotonic() + wait_s
    while status(connector).running:
        if time.monotonic() > end:
            check(connector, ["am", "force-stop", PACKAGE])
            if status(connector).running:
                raise CommandTimeoutError(connector.name, "the app does not stop", "restart the device")
            return
        time.sleep(_POLL_S)


def _am(connector: Connector, words: Sequence[str]) -> Completed:
    completed = connector.run(words)
    if completed.status == 127:
        raise NotThereError(connector.name, "there is no `am` on it", "is it an Android device? Boards take SSH's way")
    return completed
