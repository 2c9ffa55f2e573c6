"""Gradle's files, which no test can run, say the same as Maven's."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import tomllib

from android_app.apk.build import ABIS

ANDROID = Path(__file__).resolve().parent.parent / "android_app"
POM = {"m": "http://maven.apache.org/POM/4.0.0"}
CATALOG = tomllib.loads((ANDROID / "gradle" / "libs.versions.toml").read_text())
GRADLE_ONLY = {"androidPlugin", "protobufPlugin"}


def pom(module: str = "") -> ET.Element:
    return ET.parse(ANDROID / module / "pom.xml").getroot()


def properties() -> dict[str, str]:
    found = pom().find("m:properties", POM)
    assert found is not None
    return {entry.tag.partition("}")[2]: entry.text or "" for entry in found}


def dependencies(module: str, *, scopes: tuple[str, ...] = ("compile",)) -> set[str]:
    """Return the modules that a pom depends on, without our own."""
    found = set()
    for dependency in pom(module).findall("m:dependencies/m:dependency", POM):
        group = dependency.findtext("m:groupId", "", POM)
        if dependency.findtext("m:scope", "compile", POM) in scopes and group != "org.pocketfleet":
            found.add(f"{group}:{dependency.findtext('m:artifactId', '', POM)}")
    return found


def gradle(module: str, *configurations: str) -> set[str]:
    """Return the modules that a build.gradle names under a configuration, by the catalog."""
    text = (ANDROID / module / "build.gradle").read_text()
    names = re.findall(rf"^\s*(?:{'|'.join(configurations)})\W+libs\.([\w.]+)", text, re.MULTILINE)
    return {CATALOG["libraries"][name.replace(".", "-")]["module"] for name in names}


def test_versions_are_mavens() -> None:
    maven = properties()
    expected = {
        "pocketfleet": pom().findtext("m:version", "", POM),
        "versionCode": maven["version.code"],
        "minSdk": maven["min.sdk"],
        "targetSdk": maven["target.sdk"],
        **{name: maven[f"{name}.version"] for name in ("tflite", "protobuf", "okhttp", "gson", "junit", "robolectric")},
    }
    assert {name: value for name, value in CATALOG["versions"].items() if name not in GRADLE_ONLY} == expected


def test_every_pom_has_the_version() -> None:
    version = CATALOG["versions"]["pocketfleet"]
    for module in ("tflite", "monitor", "core", "desktop", "app", "tools"):
        assert pom(module).findtext("m:parent/m:version", "", POM) == version, module
    pyproject = tomllib.loads((ANDROID.parent / "pyproject.toml").read_text())
    assert pyproject["project"]["version"] == version


def test_what_reaches_the_phone_is_the_same() -> None:
    assert gradle("core", "api") == dependencies("core")
    assert gradle("core", "tflite") == {"org.tensorflow:tensorflow-lite", "org.tensorflow:tensorflow-lite-api"}
    assert gradle("app", "implementation") == {"org.tensorflow:tensorflow-lite"}
    assert dependencies("app") == set()


def test_ids_and_processors_are_the_same() -> None:
    text = (ANDROID / "app" / "build.gradle").read_text()
    manifest = ET.parse(ANDROID / "app" / "src" / "main" / "AndroidManifest.xml").getroot()
    assert set(re.findall(r"(?:namespace|applicationId) = '(\S+)'", text)) == {manifest.get("package")}
    assert tuple(re.findall(r"'((?:arm|x86)[\w-]+)'", text)) == ABIS
    assert "proguardFiles 'proguard.pro'" in text
    include = re.findall(r"'(:\w+)'", (ANDROID / "settings.gradle").read_text())
    assert [ANDROID.joinpath(name[1:], "build.gradle").exists() for name in include] == [True, True]


def test_every_file_is_in_place() -> None:
    assert "sourceSets.main.proto.srcDir '../../protocol'" in (ANDROID / "core" / "build.gradle").read_text()
    assert (ANDROID / "core" / ".." / ".." / "protocol" / "fleet.proto").exists()
