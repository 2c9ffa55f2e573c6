"""Stands in for ``adb`` and a phone with the app, for `tests.device_farm_host`: a program, one call a process.

It takes only what the documentation of the app (docs/android.md) allows, and answers in the words of ``am``. What it
does not know fails. A phone whose name has "fails" or "crashes" in it does that.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

FILES = "/sdcard/Android/data/org.pocketfleet.app/files"
CONFIGURABLE = {"invitation", "data", "name", "gate", "give-up-after"}
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"


def place(path: str) -> Path:
    """Where a path of the phone is kept here."""
    assert path.startswith(FILES), path
    return Path(os.environ["FARM_PHONE"]) / path[len(FILES) :].lstrip("/")


def extras(words: list[str]) -> dict[str, str]:
    """Read am's --es, --ez and -e."""
    given = {}
    while words:
        kind, name, value = words[:3]
        assert kind in ("--es", "--ez", "-e"), kind
        given[name] = value
        words = words[3:]
    return given


def broadcast(words: list[str]) -> None:
    assert words[:2] == ["-n", "org.pocketfleet.app/.ShellReceiver"], words
    assert words[2] == "-a"
    action, given = words[3].rpartition(".")[2], extras(words[4:])
    place(FILES).mkdir(parents=True, exist_ok=True)
    if action == "KEY":
        answer = {"fingerprint": "sha256:0123456789abcdef", "ssh": "ecdsa-sha2-nistp384 AAAA", "pem": PEM}
    elif action == "CONFIGURE":
        assert set(given) <= CONFIGURABLE, given
        missing = [given[name] for name in ("invitation", "data") if not (place(FILES) / given[name]).exists()]
        answer = {"problem": "argument 'data' is '" + missing[0] + "'"} if missing else {"configured": True}
        (place(FILES) / "settings.json").write_text(json.dumps(given))
    else:
        raise SystemExit(f"unknown action {action}")
    print(f"Broadcasting: Intent {{ act={words[3]} }}")
    print(f'Broadcast completed: result={1 if "problem" in answer else -1}, data="{json.dumps(answer)}"')


def instrument(words: list[str]) -> None:
    assert words[:2] == ["-w", "-r"]
    assert words[-1] == "org.pocketfleet.app/.FleetInstrumentation"
    given = extras(words[2:-1])
    assert set(given) <= {"out", "rounds", "minutes"}, "a release takes nothing else"
    settings = json.loads((place(FILES) / "settings.json").read_text())
    results = place(FILES) / f"results-{given['out']}"
    results.mkdir()
    print("INSTRUMENTATION_STATUS: test=train\nINSTRUMENTATION_STATUS_CODE: 1")
    if "crashes" in os.environ["DEVICEFARM_DEVICE_UDID"]:
        print("INSTRUMENTATION_RESULT: shortMsg=Process crashed.")
        return
    failed = "fails" in os.environ["DEVICEFARM_DEVICE_UDID"]
    rounds = int(given.get("rounds", 3))
    (results / "rounds.jsonl").write_text("".join(f'{{"round": {n + 1}}}\n' for n in range(rounds)))
    summary = {"name": settings["name"], "rounds": rounds, "minutes": given["minutes"]}
    (results / "summary.json").write_text(json.dumps(summary))
    if failed:
        print("INSTRUMENTATION_RESULT: problem=The server cannot be reached")
    print(f"INSTRUMENTATION_CODE: {0 if failed else -1}")


def shell(line: str) -> None:
    words = shlex.split(line)
    if words[:2] == ["pm", "path"]:
        print("package:/data/app/base.apk")
    elif words[:2] == ["am", "broadcast"]:
        broadcast(words[2:])
    elif words[:2] == ["am", "instrument"]:
        instrument(words[2:])
    elif words[0] == "getprop":
        print("[ro.product.manufacturer]: [Google]\n[ro.product.model]: [Pixel 8]\n[other]: []")
    elif words[0] == "dumpsys":
        print(f"Current {words[1]} state:")
    else:
        raise SystemExit(f"sh: {words[0]}: not found")


def main(words: list[str]) -> None:
    assert words[:2] == ["-s", os.environ["DEVICEFARM_DEVICE_UDID"]], words
    command, words = words[2], words[3:]
    if command == "shell":
        shell(*words)
    elif command == "push":
        target = place(words[1])
        assert target.parent.is_dir(), "the app's folder is not there yet"
        shutil.copyfile(words[0], target)
    elif command == "pull":
        source = place(words[0])
        if not source.exists():
            raise SystemExit("adb: error: failed to stat remote object")
        shutil.copytree(source, words[1])
    elif command == "logcat":
        print("--------- beginning of main")
    else:
        assert command == "wait-for-device", command


if __name__ == "__main__":
    main(sys.argv[1:])
