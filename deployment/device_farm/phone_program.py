"""Runs on a test host of Device Farm, beside one phone: configures the app, starts it, brings back its results.

It travels in the test package as ``tests/test_phone.py`` and needs nothing but Python 3.9 and ``adb``. Device Farm has
installed (and signed anew) the app before. Three commands, for three phases of the test specification:

``prepare``
    push invitation and data, configure the app, hand in its public key if there is a ticket;
``train``
    run the app's instrumentation to its end; the exit status says how it went;
``collect``
    pull the results, the log and facts of the phone into ``$DEVICEFARM_LOG_DIR``, from which they come back.

Settings come as environment variables of the run: ``POCKETFLEET_PHONE`` (its name), ``POCKETFLEET_DATA`` (a file in
``data/``), ``POCKETFLEET_ROUNDS``, ``POCKETFLEET_MINUTES``, ``POCKETFLEET_TICKET`` (a secret: never printed).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

APP = "org.pocketfleet.app"
RESULTS = "farm"
RECEIVER = APP + "/.ShellReceiver"
INSTRUMENTATION = APP + "/.FleetInstrumentation"
FOLDER = "/sdcard/Android/data/" + APP + "/files"
FACTS = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.product.device",
    "ro.board.platform",
    "ro.soc.model",
    "ro.build.fingerprint",
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.product.cpu.abilist",
)
ENROL_TRIES = 5
PREPARED = "prepared"


class Trouble(Exception):
    """Something went wrong; the text says what."""


def adb(*words: str, timeout_s: float = 120, check: bool = True) -> str:
    """Run adb for our phone and return what it printed."""
    serial = os.environ.get("DEVICEFARM_DEVICE_UDID", "")
    command = ["adb", *(["-s", serial] if serial else []), *words]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise Trouble(f"adb {words[0]} took more than {timeout_s:.0f} s") from None
    except OSError as error:
        raise Trouble(f"adb cannot be run: {error}") from None
    text = done.stdout.decode("utf-8", "replace")
    if check and done.returncode != 0:
        raise Trouble(f"adb {' '.join(words[:2])} failed: {text.strip()[-300:]}")
    return text


def shell(*words: str, timeout_s: float = 120, check: bool = True) -> str:
    """Run words in the phone's shell, each quoted, as adb joins them to one line."""
    return adb("shell", " ".join(shlex.quote(word) for word in words), timeout_s=timeout_s, check=check)


def broadcast(action: str, *extras: str) -> dict[str, Any]:
    """Ask the app; return its answer, a JSON object."""
    text = shell("am", "broadcast", "-n", RECEIVER, "-a", "org.pocketfleet." + action, *extras)
    found = re.search(r'result=(-?\d+), data="(.*)"', text, re.DOTALL)
    if not found:
        raise Trouble(f"the app did not answer {action}: {text.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(found.group(2))
    if "problem" in answer:
        raise Trouble(f"{action}: {answer['problem']}")
    return answer


def prepare(package: Path, log: Path) -> None:
    """Push what the app needs, and configure it."""
    name = os.environ["POCKETFLEET_PHONE"]
    adb("wait-for-device", timeout_s=300)
    if "package:" not in shell("pm", "path", APP, check=False):
        raise Trouble(APP + " is not installed on the phone")
    key = broadcast("KEY")  # makes the app's folder and its key
    (log / "key.json").write_text(json.dumps(key, indent=2))
    data = os.environ["POCKETFLEET_DATA"]
    adb("push", str(package / "invitation.json"), FOLDER + "/invitation.json")
    adb("push", str(package / "data" / data), FOLDER + "/" + data, timeout_s=1200)
    broadcast(
        "CONFIGURE",
        *("--es", "invitation", "invitation.json", "--es", "data", data, "--es", "name", name),
        # The farm's phones hang on a charger and nobody's Wi-Fi: what an owner would want does not apply.
        *("--ez", "gate", "false", "--es", "give-up-after", "600"),
    )
    ticket = os.environ.get("POCKETFLEET_TICKET", "")
    if ticket:
        enrol(json.loads((package / "invitation.json").read_text()), name, key["pem"], ticket)
    (log / PREPARED).touch()
    print(f"configured {name} ({key['fingerprint']}) for {data}", flush=True)


def enrol(invitation: dict[str, str], name: str, pem: str, ticket: str) -> None:
    """Hand in the phone's public key at the server of the invitation."""
    body = json.dumps({"ticket": ticket, "name": name, "key": pem}).encode()
    request = urllib.request.Request(
        f"https://{invitation['server']}/v1/fleet/pocketfleet-enrol",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cadata=invitation.get("ca"))
    trouble = ""
    for attempt in range(ENROL_TRIES):
        if attempt:
            time.sleep(min(60, 5 * 2**attempt))
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
                answer.read()
            return
        except urllib.error.HTTPError as error:
            reason = error.read(300).decode("utf-8", "replace").strip()
            raise Trouble(f"the server did not enrol the phone: {reason or error.code}") from None
        except OSError as error:
            trouble = str(getattr(error, "reason", error))
    raise Trouble(f"the server {invitation['server']} cannot be reached from the farm: {trouble}")


def train(log: Path) -> None:
    """Run the instrumentation; its output goes to the log as it comes."""
    if not (log / PREPARED).exists():  # Device Farm goes on after a failed preparation
        raise Trouble("the phone was not prepared")
    minutes = int(os.environ["POCKETFLEET_MINUTES"])
    extras = ["-e", "out", RESULTS, "-e", "minutes", str(minutes)]
    if int(os.environ.get("POCKETFLEET_ROUNDS", "0")):
        extras += ["-e", "rounds", os.environ["POCKETFLEET_ROUNDS"]]
    serial = os.environ.get("DEVICEFARM_DEVICE_UDID", "")
    line = " ".join(shlex.quote(word) for word in ("am", "instrument", "-w", "-r", *extras, INSTRUMENTATION))
    command = ["adb", *(["-s", serial] if serial else []), "shell", line]
    text = []
    with (log / "instrumentation.txt").open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        for raw in process.stdout:
            part = raw.decode("utf-8", "replace").rstrip()
            text.append(part)
            file.write(part + "\n")
            file.flush()
            print(part, flush=True)
        process.wait()
    code = re.search(r"^INSTRUMENTATION_CODE: (-?\d+)", "\n".join(text), re.MULTILINE)
    if not code:
        raise Trouble("the app ended without a result: " + " ".join(text)[-300:])
    if code.group(1) != "-1":
        problem = re.search(r"^INSTRUMENTATION_RESULT: problem=(.*)", "\n".join(text), re.MULTILINE)
        raise Trouble("training failed: " + (problem.group(1) if problem else "no reason given"))


def collect(log: Path) -> None:
    """Bring back what there is; whatever is missing does not keep the rest from coming."""
    properties = dict(re.findall(r"^\[(.*?)\]: \[(.*?)\]", shell("getprop", check=False), re.MULTILINE))
    facts = {name: properties.get(name, "") for name in FACTS}
    facts["battery"] = shell("dumpsys", "battery", check=False)
    facts["thermal"] = shell("dumpsys", "thermalservice", check=False)[:20000]
    (log / "phone.json").write_text(json.dumps(facts, indent=2))
    print(adb("pull", FOLDER + "/results-" + RESULTS, str(log / "results"), timeout_s=1200, check=False).strip())
    (log / "logcat.txt").write_text(adb("logcat", "-d", "-t", "5000", check=False, timeout_s=300), errors="replace")


def main(command: str) -> int:
    """Carry out one command; return the exit status."""
    package = Path(os.environ["DEVICEFARM_TEST_PACKAGE_PATH"])
    log = Path(os.environ["DEVICEFARM_LOG_DIR"])
    log.mkdir(parents=True, exist_ok=True)
    try:
        if command == "prepare":
            prepare(package, log)
        elif command == "train":
            train(log)
        else:
            collect(log)
    except Trouble as error:
        with (log / "trouble.txt").open("a") as file:
            file.write(f"{command}: {error}\n")
        print(f"pocketfleet: {command}: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
