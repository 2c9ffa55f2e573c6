"""A Device Farm on the loopback, for the real boto3: AWS itself is out of the tests' reach.

Every request and every answer is checked against botocore's own model of the API: members, types, required ones, enums,
patterns, lengths and bounds (botocore itself checks no enums and no patterns, and nothing of answers). Uploads and
artifacts go over HTTP as S3's presigned addresses do. With `FarmDouble.real_hosts`, the commands
of the uploaded test specification are really carried out, with a stand-in for ``adb`` (`tests.farm_phone`).

What is scripted by a test: faults (see `FarmDouble`). A run goes on by one state each time that somebody looks.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

import botocore.loaders
import botocore.model
import yaml

ACCOUNT = "111122223333"
STATES = ("SCHEDULING", "PENDING_CONCURRENCY", "PREPARING", "RUNNING", "COMPLETED")
_MODEL = botocore.model.ServiceModel(
    botocore.loaders.Loader().load_service_model("devicefarm", "service-2"), "devicefarm"
)
_NUMBER = (int, float)
_TYPES: dict[str, Any] = {"string": str, "integer": int, "long": int, "boolean": bool, "map": dict, "structure": dict}
_TYPES |= {"list": list, "double": _NUMBER, "float": _NUMBER, "timestamp": _NUMBER}


def violations(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Yield what is wrong with a value, by the model's shape of it."""
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (kind != "boolean" and isinstance(value, bool)):
        yield f"{where} is {value!r}, no {kind}"
        return
    yield from _scalar_violations(value, shape, where)
    if kind == "structure":
        yield from (f"{where}.{name} is missing" for name in shape.required_members if name not in value)
        for name, item in value.items():
            if name not in shape.members:
                yield f"{where}.{name} is unknown"
            else:
                yield from violations(item, shape.members[name], f"{where}.{name}")
    elif kind == "list":
        for index, item in enumerate(value):
            yield from violations(item, shape.member, f"{where}[{index}]")
    elif kind == "map":
        for name, item in value.items():
            yield from violations(name, shape.key, f"{where} key")
            yield from violations(item, shape.value, f"{where}.{name}")


def _scalar_violations(value: Any, shape: Any, where: str) -> Iterator[str]:
    if getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{where} is {value!r}, which is not one of its enum"
    pattern = shape.metadata.get("pattern")
    if pattern and not re.search(pattern, value):
        yield f"{where} is {value!r}, which does not fit {pattern}"
    if shape.type_name not in ("integer", "long", "string", "list"):
        return
    size = value if isinstance(value, int) else len(value)
    if not shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size):
        yield f"{where} has {size}, outside {shape.metadata.get('min')} to {shape.metadata.get('max')}"


class Refusal(Exception):
    """An error of the service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FarmDouble:
    """The service's state, and what a test may do to it.

    Attributes
    ----------
    devices
        What ListDevices chooses from.
    account
        accountSettings.
    refuse
        Errors to give, by operation: a list of (code, message), one a call.
    bad_uploads
        Upload types whose check fails, with the message.
    real_hosts
        Carry out the test specification; otherwise every run passes and has the same small results.
    results
        Result by a run's name, whatever happened.
    stuck
        Names of runs that never get beyond RUNNING.
    run_limit
        ScheduleRun refuses more than so many.
    cut_put, cut_get
        Break off so many uploads, downloads half way.
    violations
        What the service itself did against the model: always empty, or the test is wrong.
    """

    def __init__(self, folder: Path, page_size: int = 2) -> None:
        self.folder = folder
        self.page_size = page_size
        self.devices = [_device(name, maker, os_, ready) for name, maker, os_, ready in _DEVICES]
        self.account: dict[str, Any] = {
            "awsAccountNumber": ACCOUNT,
            "maxJobTimeoutMinutes": 150,
            "defaultJobTimeoutMinutes": 150,
            "trialMinutes": {"total": 1000.0, "remaining": 0.0},
            "unmeteredDevices": {"ANDROID": 0, "IOS": 0},
        }
        self.projects: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.pools: dict[str, list[str]] = {}
        self.refuse: dict[str, list[tuple[str, str]]] = {}
        self.bad_uploads: dict[str, str] = {}
        self.real_hosts = False
        self.results: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.run_limit = 100
        self.cut_put = self.cut_get = 0
        self.violations: list[str] = []
        self.calls: list[str] = []
        self.put_bytes = self.get_bytes = 0
        self.lock = threading.RLock()
        self._server = _Server(self)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Check a request, do it, check the answer."""
        self.calls.append(operation)
        shapes = _MODEL.operation_model(operation)
        wrong = list(violations(request, shapes.input_shape, operation))
        if wrong:
            raise Refusal("ArgumentException", "; ".join(wrong))
        if self.refuse.get(operation):
            code, message = self.refuse[operation].pop(0)
            raise Refusal(code, message)
        answer: dict[str, Any] = getattr(self, f"_{operation}")(request)
        self.violations += violations(answer, shapes.output_shape, f"answer of {operation}")
        return answer

    def _page(self, key: str, items: list[dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
        start = int(request.get("nextToken", "page0")[4:])
        more = start + self.page_size < len(items)
        return {
            key: items[start : start + self.page_size],
            **({"nextToken": f"page{start + self.page_size}"} if more else {}),
        }

    def _GetAccountSettings(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"accountSettings": self.account}

    def _ListProjects(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._page("projects", list(self.projects.values()), request)

    def _CreateProject(self, request: dict[str, Any]) -> dict[str, Any]:
        project = {"arn": _arn("project"), "name": request["name"], "created": time.time()}
        self.projects[project["arn"]] = project
        return {"project": project}

    def _ListDevices(self, request: dict[str, Any]) -> dict[str, Any]:
        fitting = [device for device in self.devices if all(_fits(device, each) for each in request.get("filters", []))]
        return self._page("devices", fitting, request)

    def _GetDevicePoolCompatibility(self, request: dict[str, Any]) -> dict[str, Any]:
        inside = _known(self.pools, request["devicePoolArn"])
        groups: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for device in self.devices:
            fits = device["arn"] in inside
            groups[fits].append({"device": device, "compatible": fits})
        return {"compatibleDevices": groups[True], "incompatibleDevices": groups[False]}

    def _ListUploads(self, request: dict[str, Any]) -> dict[str, Any]:
        _known(self.projects, request["arn"])
        fitting = [upload for upload in self.uploads.values() if upload["type"] == request.get("type", upload["type"])]
        return self._page("uploads", fitting, request)

    def _CreateUpload(self, request: dict[str, Any]) -> dict[str, Any]:
        _known(self.projects, request["projectArn"])
        name, kind = request["name"], request["type"]
        ending = ".apk" if kind == "ANDROID_APP" else ".yml" if kind.endswith("SPEC") else ".zip"
        if "/" in name or not name.endswith(ending):
            raise Refusal("ArgumentException", f"the name of a {kind} has to end with {ending}")
        arn = _arn("upload")
        url = f"{self.address}/s3/{arn.rsplit(':', 1)[1]}?X-Amz-Signature=SECRET"
        self.uploads[arn] = {
            "arn": arn,
            "name": name,
            "type": kind,
            "status": "INITIALIZED",
            "category": "PRIVATE",
            "contentType": request.get("contentType", "application/octet-stream"),
            "url": url,
        }
        return {"upload": self.uploads[arn]}

    def _GetUpload(self, request: dict[str, Any]) -> dict[str, Any]:
        upload = _known(self.uploads, request["arn"])
        shown = dict(upload)
        if upload["status"] == "PROCESSING":  # the next look sees the end of the check
            trouble = self.bad_uploads.get(upload["type"])
            upload["status"] = "FAILED" if trouble else "SUCCEEDED"
            if trouble:
                upload["message"], upload["metadata"] = trouble, json.dumps({"errorCode": "TEST_ERROR"})
        return {"upload": shown}

    def put(self, arn: str, body: bytes, content_type: str) -> int:
        """Take an upload's content; return the HTTP status, as S3 would."""
        upload = self.uploads.get(arn)
        if upload is None or content_type != upload["contentType"]:
            return 403
        self.contents[arn] = body
        self.put_bytes += len(body)
        upload["status"] = "PROCESSING"
        return 200

    def _ScheduleRun(self, request: dict[str, Any]) -> dict[str, Any]:
        _known(self.projects, request["projectArn"])
        test = request["test"]
        for arn, kind in (
            (request.get("appArn"), "ANDROID_APP"),
            (test.get("testPackageArn"), f"{test['type']}_TEST_PACKAGE"),
            (test.get("testSpecArn"), f"{test['type']}_TEST_SPEC"),
        ):
            upload = _known(self.uploads, arn or "")
            if upload["type"] != kind or upload["status"] != "SUCCEEDED":
                raise Refusal("ArgumentException", f"{arn} is no accepted {kind}")
        if not request.get("devicePoolArn") and not request.get("deviceSelectionConfiguration"):
            raise Refusal("ArgumentException", "either a device pool or filters are required")
        if len(self.runs) >= self.run_limit:
            raise Refusal("LimitExceededException", "You have reached the limit of in-flight jobs.")
        minutes = request.get("executionConfiguration", {}).get("jobTimeoutMinutes", 150)
        if not 5 <= minutes <= self.account["maxJobTimeoutMinutes"]:
            raise Refusal("ArgumentException", "Invalid job timeout")
        arn = _arn("run")
        self.requests[arn] = request
        self.runs[arn] = {
            "arn": arn,
            "name": request.get("name", "run"),
            "type": test["type"],
            "platform": "ANDROID_APP"[:7],
            "created": time.time(),
            "status": STATES[0],
            "result": "PENDING",
            "billingMethod": request.get("configuration", {}).get("billingMethod", "METERED"),
            "jobTimeoutMinutes": minutes,
            "environmentVariables": request.get("configuration", {}).get("environmentVariables", []),
            "deviceMinutes": {"total": 0.0, "metered": 0.0, "unmetered": 0.0},
        }
        return {"run": self.runs[arn]}

    def _GetRun(self, request: dict[str, Any]) -> dict[str, Any]:
        run = _known(self.runs, request["arn"])
        shown = dict(run)
        if run["status"] == "STOPPING":
            self._end(run, "STOPPED")
        elif run["status"] == "RUNNING" and run["name"] in self.stuck:
            pass
        elif run["status"] != "COMPLETED":
            run["status"] = STATES[STATES.index(run["status"]) + 1]
            if run["status"] == "COMPLETED":
                result = self._carry_out(run) if self.real_hosts else self._pretend(run)
                self._end(run, self.results.get(run["name"], result))
        return {"run": shown}

    def _StopRun(self, request: dict[str, Any]) -> dict[str, Any]:
        run = _known(self.runs, request["arn"])
        if run["status"] != "COMPLETED":
            run["status"] = "STOPPING"
        return {"run": run}

    def _end(self, run: dict[str, Any], result: str) -> None:
        run.update(status="COMPLETED", result=result, stopped=time.time())
        run["deviceMinutes"] = {"total": 2.5, "metered": 2.5, "unmetered": 0.0}
        if result == "ERRORED":
            run["message"] = "The device could not be prepared."

    def _ListArtifacts(self, request: dict[str, Any]) -> dict[str, Any]:
        run = _known(self.runs, request["arn"])
        kinds = {"FILE": [("Customer Artifacts", "CUSTOMER_ARTIFACT", "zip"), ("Video", "VIDEO", "mp4")]}
        kinds["LOG"] = [("Test spec output", "TESTSPEC_OUTPUT", "txt")]
        found = []
        for name, kind, extension in kinds.get(request["type"], []):
            key = f"{run['name']}-{kind}"
            if key in self.artifacts:
                url = f"{self.address}/artifact/{key}?X-Amz-Signature=SECRET"
                found.append({"arn": _arn("artifact"), "name": name, "type": kind, "extension": extension, "url": url})
        return self._page("artifacts", found, request)

    def _pretend(self, run: dict[str, Any]) -> str:
        files = {
            "results/rounds.jsonl": b'{"round": 1}\n' * 4,
            "results/summary.json": b"{}",
            "logcat.txt": bytes(10**6),
        }
        self._keep(run, files, b"fine")
        return "PASSED"

    def _keep(self, run: dict[str, Any], files: dict[str, bytes], output: bytes) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as content:
            for name, data in files.items():
                content.writestr(f"Host_Machine_Files/$DEVICEFARM_LOG_DIR/{name}", data)
        self.artifacts[f"{run['name']}-CUSTOMER_ARTIFACT"] = archive.getvalue()
        self.artifacts[f"{run['name']}-TESTSPEC_OUTPUT"] = output
        self.artifacts[f"{run['name']}-VIDEO"] = b"nobody wants it"

    def _carry_out(self, run: dict[str, Any]) -> str:
        """Do on this machine what a test host would do."""
        request = self.requests[run["arn"]]
        host = self.folder / run["name"]
        host = host if not host.exists() else host.with_name(f"{host.name}-again")
        package = zipfile.ZipFile(io.BytesIO(self.contents[request["test"]["testPackageArn"]]))
        package.extractall(host / "package")
        log = host / "log"
        log.mkdir()
        spec = yaml.safe_load(self.contents[request["test"]["testSpecArn"]])
        assert spec["version"] == 0.1
        assert set(spec["phases"]) <= {"install", "pre_test", "test", "post_test"}
        environment = {
            "PATH": f"{_tools(host / 'tools')}:{os.environ['PATH']}",
            "DEVICEFARM_DEVICE_UDID": f"udid-{run['name']}",
            "DEVICEFARM_TEST_PACKAGE_PATH": str(host / "package"),
            "DEVICEFARM_LOG_DIR": str(log),
            "FARM_PHONE": str(host / "phone"),
            **{each["name"]: each["value"] for each in run["environmentVariables"]},
        }
        output, good = b"", True
        for phase in ("install", "pre_test", "test", "post_test"):
            for command in spec["phases"].get(phase, {}).get("commands", []):
                done = subprocess.run(
                    ["bash", "-c", command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
                output += f"[{phase}] {command}\n".encode() + done.stdout
                good &= done.returncode == 0 or phase != "test"
        assert spec["artifacts"] == ["$DEVICEFARM_LOG_DIR"]
        self._keep(
            run, {str(file.relative_to(log)): file.read_bytes() for file in log.rglob("*") if file.is_file()}, output
        )
        return "PASSED" if good else "FAILED"


_DEVICES = (
    ("Google Pixel 8", "Google", "14", "HIGHLY_AVAILABLE"),
    ("Google Pixel 4", "Google", "10", "AVAILABLE"),
    ("Samsung Galaxy Tab S6 (WiFi)", "Samsung", "9", "AVAILABLE"),
    ("Google Pixel 2", "Google", "8.0.0", "BUSY"),
    ("Samsung Galaxy S6", "Samsung", "7.0", "HIGHLY_AVAILABLE"),
    ("Apple iPhone 15", "Apple", "17.0", "HIGHLY_AVAILABLE"),
)


def _device(name: str, maker: str, version: str, availability: str) -> dict[str, Any]:
    return {
        "arn": f"arn:aws:devicefarm:us-west-2::device:{hashlib.sha256(name.encode()).hexdigest()[:32]}",
        "name": name,
        "manufacturer": maker,
        "model": name,
        "formFactor": "TABLET" if "Tab" in name else "PHONE",
        "platform": "IOS" if maker == "Apple" else "ANDROID",
        "os": version,
        "memory": 128_000_000_000,
        "availability": availability,
    }


_FIELDS = {
    "ARN": "arn",
    "PLATFORM": "platform",
    "OS_VERSION": "os",
    "MODEL": "model",
    "MANUFACTURER": "manufacturer",
    "FORM_FACTOR": "formFactor",
}
_OPERATORS = {
    "ARN": ("EQUALS", "IN", "NOT_IN"),
    "PLATFORM": ("EQUALS",),
    "FORM_FACTOR": ("EQUALS",),
    "MANUFACTURER": ("EQUALS", "IN", "NOT_IN"),
    "MODEL": ("EQUALS", "IN", "NOT_IN", "CONTAINS"),
    "OS_VERSION": (
        "EQUALS",
        "IN",
        "NOT_IN",
        "LESS_THAN",
        "GREATER_THAN",
        "LESS_THAN_OR_EQUALS",
        "GREATER_THAN_OR_EQUALS",
    ),
}
"""From the documentation in the model: which operator goes with which attribute."""


def _fits(device: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    attribute, operator, values = rule["attribute"], rule["operator"], rule["values"]
    if operator not in _OPERATORS[attribute] or (len(values) != 1 and operator not in ("IN", "NOT_IN")):
        raise Refusal("ArgumentException", f"{operator} is no operator for {attribute}")
    value = device[_FIELDS[attribute]]
    if operator == "CONTAINS":
        return bool(values[0] in value)
    if operator == "GREATER_THAN_OR_EQUALS":
        return _version(value) >= _version(values[0])
    return value in values


def _version(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(".")]
    return numbers + [0] * (3 - len(numbers))


def _arn(kind: str) -> str:
    return f"arn:aws:devicefarm:us-west-2:{ACCOUNT}:{kind}:{uuid.uuid4()}"


def _known(things: Mapping[str, Any], arn: str) -> Any:
    if arn not in things:
        raise Refusal("NotFoundException", f"No object found for arn {arn}")
    return things[arn]


def _tools(folder: Path) -> Path:
    folder.mkdir(parents=True)
    phone = Path(__file__).with_name("farm_phone.py")
    for name, line in (
        ("adb", f'exec {sys.executable} -I -S {phone} "$@"'),
        ("devicefarm-cli", '[ "$*" = "use python 3.11" ]'),
        ("python", f'exec {sys.executable} -I -S "$@"'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


class _Server(ThreadingHTTPServer):
    def __init__(self, farm: FarmDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.farm = farm


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].removeprefix("DeviceFarm_20150623.")
        signed = self.headers.get("Authorization", "")
        if not re.search(r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/us-west-2/devicefarm/aws4_request", signed):
            return self._reply(403, {"__type": "MissingAuthenticationTokenException", "message": signed})
        with self.server.farm.lock:
            try:
                self._reply(200, self.server.farm.answer(operation, json.loads(body)))
            except Refusal as refusal:
                self._reply(400, {"__type": refusal.code, "message": str(refusal)})
        return None

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        if self.server.farm.cut_put:
            self.server.farm.cut_put -= 1
            self.rfile.read(length // 2)
            return self._cut()
        body = self.rfile.read(length)
        identity = self.path.partition("?")[0].rsplit("/", 1)[1]
        arn = next((arn for arn in self.server.farm.uploads if arn.endswith(identity)), "")
        good = self.path.endswith("X-Amz-Signature=SECRET")
        status = self.server.farm.put(arn, body, self.headers.get("Content-Type", "")) if good else 403
        return self._reply(status, None)

    def do_GET(self) -> None:
        key = self.path.partition("?")[0].rsplit("/", 1)[1]
        content = self.server.farm.artifacts[key]
        tag = f'"{hashlib.md5(content).hexdigest()}"'  # S3's own choice
        start = self._start(tag)
        if start > len(content):
            return self._reply(416, None)
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.server.farm.cut_get:
            self.server.farm.cut_get -= 1
            content = content[: start + (len(content) - start) // 2]
            self.wfile.write(content[start:])
            self.server.farm.get_bytes += len(content) - start
            return self._cut()
        self.wfile.write(content[start:])
        self.server.farm.get_bytes += len(content) - start
        return None

    def _start(self, tag: str) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked and self.headers.get("If-Range", tag) == tag else 0

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def _reply(self, status: int, answer: Optional[dict[str, Any]]) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
