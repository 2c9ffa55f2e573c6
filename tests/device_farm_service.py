"""A Device Farm on the loopback, for the real boto3: AWS itself is out of the tests' reach.

Every request and every answer is checked against botocore's own model of the API: members, types, required ones, enums,
patterns, lengths and bounds (botocore itself checks no enums and no patterns, and nothing of answers). Uploads and
artifacts go over HTTP as S3's presigned addresses do. With `FarmDouble.real_hosts`, the commands
of the uploaded test specification are really carried out, with a stand-in for ``adb`` (`tests.farm_phone`).

What is scripted by a test: faults (see `FarmDouble`). A run goes on by one state each time that somebody looks.
"""

from __future__ import annotations

import io
import json
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.device_farm_host import carry_out
from tests.device_farm_http import FarmServer
from tests.device_farm_model import MODEL, Refusal, violations
from tests.device_farm_phones import all_phones, fits

ACCOUNT = "111122223333"
STATES = ("SCHEDULING", "PENDING_CONCURRENCY", "PREPARING", "RUNNING", "COMPLETED")


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
    lost_answers
        Operations whose answer does not arrive, once each, though they are carried out.
    violations
        What the service itself did against the model: always empty, or the test is wrong.
    """

    def __init__(self, folder: Path, page_size: int = 2) -> None:
        self.folder = folder
        self.page_size = page_size
        self.devices = all_phones()
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
        self.lost_answers: list[str] = []
        self.violations: list[str] = []
        self.calls: list[str] = []
        self.put_bytes = self.get_bytes = 0
        self.lock = threading.RLock()
        self._server = FarmServer(self)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Check a request, do it, check the answer."""
        self.calls.append(operation)
        shapes = MODEL.operation_model(operation)
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
        fitting = [device for device in self.devices if all(fits(device, each) for each in request.get("filters", []))]
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

    def _ListRuns(self, request: dict[str, Any]) -> dict[str, Any]:
        project = _known(self.projects, request["arn"])["arn"]
        found = [run for arn, run in self.runs.items() if self.requests[arn]["projectArn"] == project]
        return self._page("runs", found, request)

    def _GetRun(self, request: dict[str, Any]) -> dict[str, Any]:
        run = _known(self.runs, request["arn"])
        shown = dict(run)
        if run["status"] == "STOPPING":
            self._end(run, "STOPPED")
        elif run["status"] == "RUNNING" and _phone(run) in self.stuck:
            pass
        elif run["status"] != "COMPLETED":
            run["status"] = STATES[STATES.index(run["status"]) + 1]
            if run["status"] == "COMPLETED":
                result = self._carry_out(run) if self.real_hosts else self._pretend(run)
                self._end(run, self.results.get(_phone(run), result))
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
            key = f"{_phone(run)}-{kind}"
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
        self.artifacts[f"{_phone(run)}-CUSTOMER_ARTIFACT"] = archive.getvalue()
        self.artifacts[f"{_phone(run)}-TESTSPEC_OUTPUT"] = output
        self.artifacts[f"{_phone(run)}-VIDEO"] = b"nobody wants it"

    def _carry_out(self, run: dict[str, Any]) -> str:
        test = self.requests[run["arn"]]["test"]
        variables = {each["name"]: each["value"] for each in run["environmentVariables"]}
        package, specification = self.contents[test["testPackageArn"]], self.contents[test["testSpecArn"]]
        passed, files, output = carry_out(self.folder / _phone(run), _phone(run), package, specification, variables)
        self._keep(run, files, output)
        return "PASSED" if passed else "FAILED"


def _phone(run: Mapping[str, Any]) -> str:
    """Return the name of a run's phone: its own has a number of the night's, too."""
    return str(run["name"]).partition(" ")[0]


def _arn(kind: str) -> str:
    return f"arn:aws:devicefarm:us-west-2:{ACCOUNT}:{kind}:{uuid.uuid4()}"


def _known(things: Mapping[str, Any], arn: str) -> Any:
    if arn not in things:
        raise Refusal("NotFoundException", f"No object found for arn {arn}")
    return things[arn]
