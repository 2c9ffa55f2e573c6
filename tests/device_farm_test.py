"""Device Farm from the command line: the real boto3 against a service that checks everything by botocore's model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import botocore.loaders
import pytest

from deployment.device_farm import FarmRecord, phone_program, runs, uploads
from python_server.cli import main
from python_server.commands import farm as farm_command
from tests import farm_phone
from tests.device_farm_model import MODEL, violations
from tests.device_farm_service import FarmDouble

Farm = Callable[..., tuple[int, str, str]]
LOADER = botocore.loaders.Loader()
INVITATION = {"server": "8.8.8.8:9092", "ca": "-----BEGIN CERTIFICATE-----", "trust": "-----BEGIN PUBLIC KEY-----"}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarmDouble]:
    """The service, and an environment in which boto3 finds it and nothing else."""
    double = FarmDouble(tmp_path / "hosts")
    for name, value in {
        "AWS_ENDPOINT_URL_DEVICE_FARM": double.address,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    # Reading botocore's models takes most of a client's making; each command makes one.
    monkeypatch.setattr("botocore.session.create_loader", lambda path=None: LOADER)
    monkeypatch.chdir(tmp_path)
    yield double
    double.close()
    assert double.violations == []


@pytest.fixture
def farm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Farm:
    """Run ``pocketfleet farm`` without waiting between looks."""

    def run(*words: str) -> tuple[int, str, str]:
        more = ["--poll", "1"] if words[0] == "run" else []
        code = main(["farm", *words, *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return run


def write_plan(folder: Path, phones: int = 2, name: str = "night", **more: Any) -> Path:
    """A plan, its app, its invitation and its data; ``more`` are lines of it."""
    (folder / "app.apk").write_bytes(b"PK" + bytes(200_000))
    (folder / "invitation.json").write_text(json.dumps(INVITATION))
    for index in range(phones):
        (folder / f"shard_{index}.npz").write_bytes(b"data of %d" % index)
    lines = {
        "name": f'"{name}"',
        "apk": '"app.apk"',
        "invitation": '"invitation.json"',
        "data": '"shard_*.npz"',
        "minutes": "20",
        "rounds": "4",
        **more,
    }
    plan = folder / "farm.toml"
    plan.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    return plan


def test_the_check_of_the_model_finds_what_is_wrong() -> None:
    """The double's own check: botocore itself would let all of these pass."""
    run = MODEL.operation_model("GetRun").output_shape
    arn = "arn:aws:devicefarm:us-west-2:111122223333:run:1"
    assert not list(violations({"run": {"arn": arn, "status": "RUNNING"}}, run, "r"))
    wrong = {"arn": "no-arn", "status": "ASLEEP", "bogus": 1, "totalJobs": "3", "deviceMinutes": {"total": "2"}}
    found = " ".join(violations({"run": wrong}, run, "r"))
    for word in ("arn is 'no-arn'", "enum", "bogus is unknown", "totalJobs", "'2', no double", "outside 32"):
        assert word in found


def test_the_stand_in_asks_no_more_of_the_app_than_there_is() -> None:
    app = Path(__file__).parent.parent / "android_app/app/src/main"
    names = (app / "java/org/pocketfleet/app/Arguments.java").read_text()
    for name in {*farm_phone.CONFIGURABLE, "rounds", "minutes", "out"}:
        assert f'case "{name}":' in names
    manifest = (app / "AndroidManifest.xml").read_text()
    assert f'package="{phone_program.APP}"' in manifest
    for component in (phone_program.RECEIVER, phone_program.INSTRUMENTATION):
        assert f'android:name="{component.partition("/")[2]}"' in manifest
    for action in ("KEY", "CONFIGURE"):
        assert f'android:name="org.pocketfleet.{action}"' in manifest


def test_a_run_from_plan_to_results(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.real_hosts = True
    plan = write_plan(tmp_path, phones=2)
    code, out, err = farm("run", str(plan), "--yes", "-o", "out")
    assert (code, err) == (0, "")
    assert "2 phones x 20 min = 40 device-minutes at most: at most 6.80 USD" in out
    assert "night-000 (Google Pixel 8): runs" in out
    assert "night-001 (Google Pixel 4): done after 2.5 device-minutes" in out
    for index in range(2):
        phone = tmp_path / "out" / f"night-00{index}"
        assert json.loads((phone / "results/summary.json").read_text()) == {
            "name": f"night-00{index}",
            "rounds": 4,
            "minutes": "15",  # five are for setting up
        }
        assert json.loads((phone / "phone.json").read_text())["ro.product.model"] == "Pixel 8"
        assert (service.folder / f"night-00{index}/phone/{index:03d}.npz").read_bytes() == b"data of %d" % index
        assert not list(phone.rglob("*.mp4"))
    sent, service.real_hosts = service.put_bytes, False
    # A second run of the same files sends nothing again; results are fetched once.
    assert farm("run", str(plan), "--yes", "-o", "second")[0] == 0
    assert service.put_bytes == sent
    assert len(service.projects) == 1
    fetched = service.get_bytes
    code, out, _ = farm("collect", "out")
    assert (code, out, service.get_bytes) == (0, "", fetched)
    code, out, _ = farm("status", "out")
    assert "2 of 2 ended, 5 device-minutes so far" in out


def test_dry_run_and_estimate_change_nothing(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    service.account["trialMinutes"]["remaining"] = 15.0
    code, out, _ = farm("run", str(plan), "--dry-run", "-o", "out")
    assert code == 0
    assert "would make the project 'pocketfleet' at Device Farm" in out
    assert "would schedule night-001 on Google Pixel 4 with shard_1.npz for at most 20 min" in out
    assert "40 device-minutes at most, 15 of them free: at most 4.25 USD" in out
    assert not (tmp_path / "out").exists()
    cost = json.loads(farm("estimate", str(plan), "--json")[1])
    assert (cost["device_minutes"], cost["free_minutes"], cost["at_most_usd"]) == (40, 15.0, 4.25)
    assert "2021-09-01" in cost["source"]
    service.account["unmeteredDevices"]["ANDROID"] = 2
    assert "no further cost" in farm("estimate", str(plan))[1]
    assert not {"CreateProject", "CreateUpload", "ScheduleRun"} & set(service.calls)


def test_money_is_not_spent_without_a_yes(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    code, _, err = farm("run", str(write_plan(tmp_path)))
    assert code == 1
    assert "this spends money, and there is nobody to ask; add --yes" in err
    assert "CreateProject" not in service.calls


def test_one_phone_that_fails_does_not_stop_the_others(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.results = {"night-001": "ERRORED", "night-002": "SKIPPED"}
    code, _, err = farm("run", str(write_plan(tmp_path, phones=4)), "--yes", "-o", "out")
    assert code == 1
    assert "2 of 4 phones did not finish: night-001 (Google Pixel 4): broke at Device Farm after 2.5" in err
    assert "The device could not be prepared.; night-002 (Samsung Galaxy Tab S6 (WiFi)): was skipped" in err
    assert (tmp_path / "out/night-003/results/rounds.jsonl").exists()


def test_training_that_fails_brings_back_why(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.real_hosts = True
    code, _, err = farm("run", str(write_plan(tmp_path, phones=1, name="fails")), "--yes", "-o", "out")
    assert code == 1
    assert "fails-000 (Google Pixel 8): failed after 2.5 device-minutes" in err
    phone = tmp_path / "out/fails-000"
    assert (phone / "trouble.txt").read_text() == "train: training failed: The server cannot be reached\n"
    assert (phone / "results/rounds.jsonl").exists()


def test_limit_then_rerun_schedules_the_rest(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    service.run_limit = 1
    code, _, err = farm("run", str(plan), "--yes", "-o", "out")
    assert code == 1
    assert "1 of 2 phones did not finish: night-001 (Google Pixel 4): not scheduled" in err
    assert "a limit of the account is reached" in err
    assert (tmp_path / "out/night-000/results/rounds.jsonl").exists()
    service.run_limit = 2
    code, out, err = farm("run", str(plan), "--yes", "-o", "out")
    assert (code, err) == (0, "")
    assert "1 phones x 20 min" in out
    assert [request["name"].split()[0] for request in service.requests.values()] == ["night-000", "night-001"]


def test_detach_status_stop_collect(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    service.stuck = {"night-000"}
    assert farm("run", str(plan), "--yes", "--detach", "-o", "out")[0] == 0
    for _ in range(6):
        code, out, _ = farm("status", "out")
    assert "night-000 (Google Pixel 8): runs" in out
    assert "1 of 2 ended" in out
    code, out, _ = farm("stop", "out", "--phone", "night-000", "--json")
    assert [phone["status"] for phone in json.loads(out)] == ["STOPPING", "COMPLETED"]
    assert farm("stop", "out", "--phone", "nobody")[2].endswith("there are: night-000, night-001\n")
    farm("status", "out")
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.sqlite").touch()
    code, out, _ = farm("collect", "out", "--into", "run")
    assert code == 0
    assert (run / "farm/night-001/results/rounds.jsonl").read_text().count("\n") == 4
    assert "was stopped after 2.5 device-minutes" in farm("status", "out")[1]
    assert "no run directory" in farm("collect", "out", "--into", "hosts")[2]


def test_ctrl_c_stops_what_costs_money(
    service: FarmDouble, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "refresh", interrupted)
    code, out, err = farm("run", str(write_plan(tmp_path)), "--yes", "-o", "out")
    assert (code, err) == (1, "pocketfleet: interrupted\n")
    assert out.count("told to stop") == 2
    assert {run["status"] for run in service.runs.values()} == {"STOPPING"}


def test_a_run_whose_answer_is_lost_is_not_paid_for_twice(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.lost_answers = ["ScheduleRun"]
    code, _, err = farm("run", str(write_plan(tmp_path)), "--yes", "-o", "out")
    assert (code, err) == (0, "")
    assert len(service.runs) == 2
    assert service.calls.count("ScheduleRun") == 2
    # Another night's run of the same phones is not taken for this one's.
    assert farm("run", str(tmp_path / "farm.toml"), "--yes", "-o", "second")[0] == 0
    assert len(service.runs) == 4


def test_a_run_that_was_scheduled_as_we_died_is_taken_up(
    service: FarmDouble, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    service.stuck = {"night-000"}
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(runs, "_with", killed)
        meanwhile.setattr(farm_command, "find_lost", killed)
        assert farm("run", str(write_plan(tmp_path)), "--yes", "-o", "out")[0] == 1
    assert [(len(service.runs), run["status"]) for run in service.runs.values()] == [(1, "SCHEDULING")]
    # What has no answer yet is stopped, too.
    monkeypatch.setattr(runs, "refresh", killed)
    code, out, _ = farm("run", str(tmp_path / "farm.toml"), "--yes", "-o", "out")
    assert code == 1
    assert out.count("told to stop") == 2
    assert len(service.runs) == 2


def test_cut_transfers_are_gone_on_with(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.cut_put, service.cut_get = 1, 2
    assert farm("run", str(write_plan(tmp_path, phones=1)), "--yes", "-o", "out")[0] == 0
    wanted = sum(len(content) for key, content in service.artifacts.items() if not key.endswith("VIDEO"))
    assert service.get_bytes == wanted  # not a byte twice
    assert (tmp_path / "out/night-000/results/summary.json").exists()


def test_a_cut_of_one_command_is_mended_by_the_next(
    service: FarmDouble, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = write_plan(tmp_path, phones=1)
    service.cut_get = 5
    _, out, _ = farm("run", str(plan), "--yes", "-o", "out")
    assert "Customer_Artifacts.zip: could not be fetched" in out
    assert "SECRET" not in out
    assert not (tmp_path / "out/night-000/results").exists()
    assert farm("collect", "out")[0] == 0
    assert (tmp_path / "out/night-000/results/summary.json").exists()


def test_the_ticket_reaches_the_phone_and_no_log(
    service: FarmDouble, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = write_plan(tmp_path, phones=1, ticket='{ env = "FARM_TICKET" }')
    _, _, err = farm("run", str(plan), "--yes", "-o", "out")
    assert "the environment variable FARM_TICKET is not set" in err
    monkeypatch.setenv("FARM_TICKET", "TICKET-OF-THE-DAY")
    service.results = {"night-000": "PASSED"}
    code, out, err = farm("run", str(plan), "--yes", "-o", "out")
    assert code == 0
    (request,) = service.requests.values()
    variables = {each["name"]: each["value"] for each in request["configuration"]["environmentVariables"]}
    assert variables["POCKETFLEET_TICKET"] == "TICKET-OF-THE-DAY"
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert files
    assert not any(b"TICKET-OF-THE-DAY" in file.read_bytes() for file in files)
    assert "TICKET" not in out + err


REFUSALS = {
    "ExpiredTokenException": "the AWS credentials have expired; log in again",
    "UnrecognizedClientException": "AWS does not know these credentials",
    "InvalidSignatureException": "check the secret key, and this computer's clock",
    "AccessDeniedException": "these AWS credentials may not get account settings",
    "NotFoundException": "could not get account settings",
    "ServiceAccountException": "Device Farm refused to get account settings",
}


@pytest.mark.parametrize("code", REFUSALS)
def test_refusals_are_one_line_with_advice(service: FarmDouble, farm: Farm, tmp_path: Path, code: str) -> None:
    service.refuse["GetAccountSettings"] = [(code, "Because.")] * 4
    status, _, err = farm("estimate", str(write_plan(tmp_path)))
    assert status == 1
    assert err.count("\n") == 1
    assert REFUSALS[code] in err


def test_credentials_that_expire_half_way(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.refuse["GetRun"] = [("ExpiredTokenException", "The security token is expired")]
    service.refuse["StopRun"] = [("ExpiredTokenException", "The security token is expired")]
    plan = write_plan(tmp_path, phones=1)
    code, out, err = farm("run", str(plan), "--yes", "-o", "out")
    assert code == 1
    assert "have expired" in err
    assert "night-000: could not be told to stop: the AWS credentials have expired" in out
    assert farm("run", str(plan), "--yes", "-o", "out")[0] == 0  # takes up the run that goes on
    assert len(service.runs) == 1


def test_no_credentials_no_profile_no_service(
    service: FarmDouble, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = str(write_plan(tmp_path))
    assert "there is no AWS profile 'nobody'" in farm("estimate", plan, "--aws-profile", "nobody")[2]
    monkeypatch.setenv("AWS_ENDPOINT_URL_DEVICE_FARM", "http://127.0.0.1:1")
    assert "Device Farm in us-west-2 cannot be reached" in farm("estimate", plan)[2]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "there are no AWS credentials; set AWS_PROFILE" in farm("estimate", plan)[2]


def test_an_upload_that_is_not_accepted(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    service.bad_uploads = {"ANDROID_APP": "We could not open your APK."}
    code, _, err = farm("run", str(write_plan(tmp_path)), "--yes", "-o", "out")
    assert code == 1
    assert "app.apk: Device Farm did not accept it: TEST_ERROR We could not open your APK." in err
    assert not service.runs


def test_an_upload_whose_check_never_ends(
    service: FarmDouble, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_GetUpload", lambda request: {"upload": service.uploads[request["arn"]]})
    monkeypatch.setattr(uploads, "PATIENCE_S", 4.0)
    _, _, err = farm("run", str(write_plan(tmp_path)), "--yes", "-o", "out")
    assert "has not checked it within 4 s; repeat the command" in err


def test_devices(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    _, out, _ = farm("devices")
    assert [line.split("  ")[0] for line in out.splitlines()[1:]] == [
        "Google Pixel 8",
        "Google Pixel 4",
        "Samsung Galaxy Tab S6 (WiFi)",
        "Google Pixel 2",
    ]
    assert [device["os"] for device in json.loads(farm("devices", "--oldest-android", "11", "--json")[1])] == ["14"]
    assert "Tab S6" in farm("devices", "--manufacturer", "Samsung")[1]
    assert farm("devices", "--model", "Nokia")[1] == "no phone fits\n"


def test_rules_choose_and_models_come_again(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    pool = "arn:aws:devicefarm:us-west-2:111122223333:devicepool:1"
    service.pools[pool] = [service.devices[1]["arn"], service.devices[4]["arn"]]
    rules = f'{{ pool = "{pool}", oldest_android = "9" }}'
    out = farm("run", str(write_plan(tmp_path, phones=2, devices=rules)), "--dry-run")[1]
    assert out.count("on Google Pixel 4 with") == 2  # a second unit of the model
    only = f'{{ arns = ["{service.devices[3]["arn"]}"] }}'
    assert "on Google Pixel 2 with" in farm("run", str(write_plan(tmp_path, devices=only)), "--dry-run")[1]
    nobody = '{ manufacturers = ["Nokia"] }'
    assert (
        "no phone of Device Farm fits the rules"
        in farm("run", str(write_plan(tmp_path, devices=nobody)), "--dry-run")[2]
    )


def test_another_plan_does_not_take_over_a_folder(service: FarmDouble, farm: Farm, tmp_path: Path) -> None:
    assert farm("run", str(write_plan(tmp_path)), "--yes", "--detach", "-o", "out")[0] == 0
    _, _, err = farm("run", str(write_plan(tmp_path, name="other")), "--yes", "-o", "out")
    assert "out belongs to another run (night, 2 phones); use -o" in err
    assert len(FarmRecord.load(tmp_path / "out").phones) == 2
