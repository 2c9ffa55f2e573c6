from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from deployment.device_farm.errors import FarmPlanError
from deployment.device_farm.package import write_package
from deployment.device_farm.plan import load_plan
from deployment.device_farm.uploads import upload_name

GOOD = {"name": '"night"', "apk": '"app.apk"', "invitation": '"invitation.json"', "data": '"shard_*.npz"'}


def write(folder: Path, **lines: str) -> Path:
    (folder / "app.apk").write_bytes(b"PK")
    (folder / "invitation.json").write_text(json.dumps({"server": "fleet.example:9092"}))
    for index in (10, 9, 0):
        (folder / f"shard_{index}.npz").write_bytes(b"%d" % index)
    plan = folder / "farm.toml"
    plan.write_text("".join(f"{key} = {value}\n" for key, value in {**GOOD, **lines}.items() if value))
    return plan


def test_a_plan(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, ticket='{ env = "T" }', devices='{ manufacturers = ["Google"] }'))
    assert [file.name for file in plan.data_files] == ["shard_0.npz", "shard_9.npz", "shard_10.npz"]
    assert plan.server == "fleet.example:9092"
    assert (plan.phone(7), plan.minutes, plan.devices.manufacturers) == ("night-007", 30, ("Google",))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ({"minuts": "3"}, r"unknown key 'minuts'.*did you mean 'minutes'"),
        ({"minutes": "200"}, "minutes is 200; it has to be at most 150"),
        ({"minutes": "5"}, "minutes is 5; it has to be at least 6"),
        ({"name": ""}, "name is missing"),
        ({"name": '"a b"'}, "name is 'a b'; use letters"),
        ({"apk": '"no.apk"'}, "there is no .*no.apk; build it with: android_app/build_apk release"),
        ({"data": "[]"}, "name at least one .npz file"),
        ({"ticket": '"secret"'}, r'ticket must not stand in the file; name it: ticket = \{ env = "VARIABLE" \}'),
        ({"devices": '{ form_factor = "watch" }'}, "devices.form_factor is 'watch'"),
        ({"devices": '{ oldest_android = "ten" }'}, "devices.oldest_android is 'ten'"),
        ({"devices": '{ arns = ["Pixel"] }'}, "'Pixel' is no ARN"),
        ({"rounds": "true"}, "rounds has to be a whole number"),
        ({"x": "= ="}, "not TOML"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, lines: dict[str, str], complaint: str) -> None:
    with pytest.raises(FarmPlanError, match=complaint) as raised:
        load_plan(write(tmp_path, **lines))
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FarmPlanError, match=r"farm.toml: no such file"):
        load_plan(tmp_path / "farm.toml")
    plan = load_plan(write(tmp_path, data='["shard_*.npz", "more/*.npz"]'))
    with pytest.raises(FarmPlanError, match=r"no file fits 'more/\*\.npz'"):
        _ = plan.data_files
    (tmp_path / "invitation.json").write_text("[]")
    with pytest.raises(FarmPlanError, match="is not an invitation"):
        _ = plan.server
    (tmp_path / "invitation.json").unlink()
    with pytest.raises(FarmPlanError, match="make it with: pocketfleet invite"):
        _ = plan.server


def test_the_package_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path))
    first = write_package(plan, plan.data_files, tmp_path / "a.zip")
    second = write_package(plan, plan.data_files, tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.read("data/001.npz") == b"9"
        assert {name.split("/")[0] for name in archive.namelist()} == {
            "tests",
            "invitation.json",
            "requirements.txt",
            "wheelhouse",
            "data",
        }
        compile(archive.read("tests/test_phone.py"), "test_phone.py", "exec")
    assert upload_name(first).partition("-")[0] == upload_name(second).partition("-")[0]
    (tmp_path / "empty").touch()
    with pytest.raises(FarmPlanError, match="is empty"):
        upload_name(tmp_path / "empty")
