"""What an Android phone with the pocketfleet app answers to ``am``, ``pm``, ``getprop`` and ``dumpsys``.

A stand-in for the system, and for what the app says (``ShellReceiver.java``, ``Arguments.java``), as far as deployment
sees them. It installs what it is given without running it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deployment.android import FILES, PACKAGE
from tests.android_root import AndroidRoot, Answer

__all__ = ["FILE_SETTINGS", "LIMITS", "STATUS", "WORD_SETTINGS", "EmulatedPhone"]

FILE_SETTINGS = {"invitation", "ca", "trust", "data", "test-data", "bundle"}
WORD_SETTINGS = {
    "server",
    "insecure",
    "name",
    "processor",
    "profile",
    "gate",
    "charging-only",
    "unmetered-only",
    "idle-only",
}
LIMITS = {"rounds", "minutes", "out"}
STATUS = ("running", "phase", "task", "round", "step", "steps", "words", "server", "results")
_BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  level: 83
  temperature: 291
  technology: Li-ion
"""


@dataclass
class EmulatedPhone:
    """The phone.

    Attributes
    ----------
    refuse_install
        What the package manager says instead of installing.
    never_stops
        The app does not react to being stopped.
    files, debuggable
        Where the app keeps its results; whether ``run-as`` lets the shell in.
    calls
        Every command that it was asked.
    pem
        The app's public key.
    """

    path: Path
    properties: dict[str, str] = field(
        default_factory=lambda: {
            "ro.product.model": "Pixel 6",
            "ro.product.device": "oriole",
            "ro.product.manufacturer": "Google",
            "ro.build.version.release": "14",
            "ro.build.version.sdk": "34",
            "ro.build.fingerprint": "google/oriole/oriole:14/UP1A/1:user/release-keys",
            "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
        }
    )
    refuse_install: str = ""
    never_stops: bool = False
    files: str = FILES
    debuggable: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    running: bool = False
    phase: str = "stopped"
    words: str = ""
    calls: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = AndroidRoot(self.path, self._answer)
        form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.pem = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*form).decode()

    @property
    def base(self) -> Path:
        """The installed APK."""
        return self.root.file(f"/data/app/{PACKAGE}-1/base.apk")

    def _answer(self, words: Sequence[str]) -> Answer:
        self.calls.append(list(words))
        answer = getattr(self, "_" + words[0].replace("-", "_"))(list(words[1:]))
        return answer if isinstance(answer, tuple) else (0, answer)

    def _getprop(self, words: list[str]) -> str:
        if words:
            return self.properties.get(words[0], "") + "\n"
        return "".join(f"[{key}]: [{value}]\n" for key, value in self.properties.items())

    def _dumpsys(self, words: list[str]) -> Answer:
        known = {"battery": _BATTERY, "thermalservice": "IsStatusOverride: false\nThermal Status: 1\n"}
        return (0, known[words[0]]) if words[0] in known else (1, f"Can't find service: {words[0]}\n")

    def _logcat(self, words: list[str]) -> str:
        return f"logcat {' '.join(words)}\n"

    def _pidof(self, words: list[str]) -> Answer:
        return (0, "4711\n") if self.running else (1, "")

    def _run_as(self, words: list[str]) -> Answer:
        assert words[0] == PACKAGE, words
        if not self.debuggable:
            return 1, f"run-as: package not debuggable: {PACKAGE}\n"
        path = self.root.file(words[-1])
        return 0, "\n".join(sorted(os.listdir(path))) if words[1] == "ls" else path.read_text()

    def _pm(self, words: list[str]) -> Answer:
        if words[0] == "path":
            return (0, f"package:/data/app/{PACKAGE}-1/base.apk\n") if self.base.exists() else (1, "")
        if words[0] == "uninstall":
            if not self.base.exists():
                return 1, "Failure [DELETE_FAILED_INTERNAL_ERROR]\n"
            self.base.unlink()
            shutil.rmtree(self.root.file(f"/sdcard/Android/data/{PACKAGE}"), ignore_errors=True)
            self.running, self.settings = False, {}
            return 0, "Success\n"
        assert words[:-1] == ["install", "-r", "-t"], words
        source = self.root.file(words[-1])
        if self.refuse_install:
            return 1, f"Failure [{self.refuse_install}]\n"
        if refusal := self._unfit(source):
            return 1, f"Failure [{refusal}]\n"
        self.base.parent.mkdir(exist_ok=True)
        shutil.copy(source, self.base)
        return 0, "Success\n"

    def _unfit(self, apk: Path) -> str:
        """Look into an APK as Android does, if it is a real one."""
        if not zipfile.is_zipfile(apk):
            return "INSTALL_PARSE_FAILED_NOT_APK: Failed to parse"
        with zipfile.ZipFile(apk) as archive:
            if archive.getinfo("AndroidManifest.xml").file_size < 100 or shutil.which("aapt2") is None:
                return ""  # made by a test
        said = subprocess.run(["aapt2", "dump", "badging", apk], capture_output=True, text=True, check=True).stdout
        assert f"package: name='{PACKAGE}'" in said
        oldest = re.search(r"^(?:minSdkVersion|sdkVersion):'(\d+)'", said, re.MULTILINE)
        assert oldest is not None
        if int(self.properties["ro.build.version.sdk"]) < int(oldest[1]):
            return f"INSTALL_FAILED_OLDER_SDK: Requires newer sdk version #{oldest[1]}"
        native = re.search(r"^native-code: (.+)$", said, re.MULTILINE)
        if native and not set(re.findall(r"'(.+?)'", native[1])) & set(self._abis()):
            return "INSTALL_FAILED_NO_MATCHING_ABIS: Failed to extract native libraries"
        return ""

    def _abis(self) -> list[str]:
        return self.properties["ro.product.cpu.abilist"].split(",")

    def _am(self, words: list[str]) -> Answer:
        if words[0] == "force-stop":
            self.running, self.phase = False, "stopped"
            return 0, ""
        assert words[1] == "-n", words
        action, settings = words[4].removeprefix("org.pocketfleet."), dict(zip(words[6::3], words[7::3]))
        assert set(words[5::3]) <= {"--es"}, words
        if words[0] == "start-foreground-service":
            if not self.base.exists():
                return 255, "Starting service: Intent\nError: Not found; no service started.\n"
            self._start(settings)
            return 0, "Starting service: Intent { act=org.pocketfleet.START }\n"
        head = f"Broadcasting: Intent {{ act=org.pocketfleet.{action} flg=0x400000 }}\nBroadcast completed: "
        if not self.base.exists():
            return 0, f"{head}result=0\n"
        answer = getattr(self, "_app_" + action.lower())(settings)
        return 0, f'{head}result={1 if "problem" in answer else -1}, data="{json.dumps(answer)}"\n'

    def _start(self, settings: dict[str, str]) -> None:
        assert set(settings) <= LIMITS, settings
        self.limits = settings
        if not self.settings.get("server"):
            self.phase, self.words = "failed", "No server yet. Open an invitation, or type the address."
            return
        self.running, self.phase = True, "waiting"
        results = self.root.file(self._results())
        results.mkdir(parents=True, exist_ok=True)
        event = {"time-ms": 1_700_000_000_250, "level": "INFO", "text": "event=connected"}
        (results / "events.jsonl").write_text(json.dumps(event) + "\n")
        (results / "rounds.jsonl").write_text('{"round": 1}\n')
        (results / "summary.json").write_text('{"rounds": 1, "problem": ""}\n')

    def _results(self) -> str:
        out = self.limits.get("out", "")
        return f"{self.files}/results{'-' + out if out else ''}"

    def _app_status(self, settings: dict[str, str]) -> dict[str, object]:
        self.root.file(self._results()).mkdir(parents=True, exist_ok=True)
        values = (self.running, self.phase, "", 3, 0, 0, self.words, self.settings.get("server", ""), self._results())
        return dict(zip(STATUS, values))

    def _app_configure(self, settings: dict[str, str]) -> dict[str, object]:
        for name, value in settings.items():
            if name not in FILE_SETTINGS | WORD_SETTINGS | LIMITS:
                return {"problem": f"argument '{name}' is unknown; see docs/android.md"}
            if name in FILE_SETTINGS and not self.root.file(value).exists():
                return {"problem": f"argument '{name}': {value}: a file or folder that this app can read"}
        self.settings |= settings
        return {"configured": True}

    def _app_stop(self, settings: dict[str, str]) -> dict[str, object]:
        if not self.never_stops:
            self.running, self.phase = False, "stopped"
        return {"stopping": self.running}

    def _app_key(self, settings: dict[str, str]) -> dict[str, object]:
        return {"fingerprint": "SHA256:abc", "ssh": "ecdsa", "pem": self.pem}
