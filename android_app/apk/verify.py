"""Check an APK: signature, alignment, what it asks for and holds; with --tests, that its own dex passes the tests."""

from __future__ import annotations

import argparse
import os
import re
import struct
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from android_app.apk.contents import print_sizes
from android_app.apk.tools import ANDROID, BuildError, need, property_of, run, tools_classpath

__all__ = ["check", "classes_of", "main"]

PERMISSIONS = {
    f"android.permission.{name}"
    for name in (
        "ACCESS_NETWORK_STATE",
        "FOREGROUND_SERVICE",
        "FOREGROUND_SERVICE_DATA_SYNC",
        "INTERNET",
        "POST_NOTIFICATIONS",
        "RECEIVE_BOOT_COMPLETED",
        "WAKE_LOCK",
    )
}
"""All that the app may ask for."""

_ENTRIES = re.compile(
    r"AndroidManifest\.xml|resources\.arsc|res/.+\.(xml|png)|classes\d*\.dex|lib/[\w-]+/libtensorflowlite_jni\.so"
)
_LIMIT_MB = (6.0, 12.0)
"""A release for one processor, and for all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    0 when the APK is as it has to be, 1 when not.
    """
    parser = argparse.ArgumentParser(prog="verify_apk", description=__doc__)
    parser.add_argument("apk", type=Path, help="what build_apk made")
    parser.add_argument("--tests", action="store_true", help="run the app's tests on the APK's dex (debug builds)")
    parser.add_argument("--google", action="store_true", help="fetch from Google's Maven repository, too")
    options = parser.parse_args(arguments)
    try:
        need(["apksigner", "zipalign", "aapt2", "java"])
        for line in check(options.apk):
            print(line)
        if options.tests:
            print(run_tests(options.apk, google=options.google))
    except BuildError as error:
        print(f"verify_apk: {error}", file=sys.stderr)
        return 1
    print_sizes(options.apk)
    return 0


def check(apk: Path) -> list[str]:
    """Check everything but the tests; return what was found, line by line.

    Raises
    ------
    BuildError
        Something is not as it has to be.
    """
    if not apk.exists():
        raise BuildError(f"{apk}: no such file; android_app/build_apk makes it")
    if not zipfile.is_zipfile(apk):
        raise BuildError(f"{apk}: not an APK")
    signed = run(["apksigner", "verify", "-v", "--min-sdk-version", property_of("min.sdk"), apk])
    schemes = re.findall(r"(v\d) scheme .*: true", signed)
    _expect("signature schemes", {"v2", "v3"} <= set(schemes), schemes)
    run(["zipalign", "-c", "-p", "4", apk])
    badging = run(["aapt2", "dump", "badging", apk])
    manifest = run(["aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", apk])
    package = re.search(r"package: name='(\S+)' versionCode='(\d+)' versionName='(\S+)'", badging)
    found = package.groups() if package else ()
    _expect("package", found == ("org.pocketfleet.app", property_of("version.code"), property_of("version")), found)
    sdk = re.findall(r"(?:sdkVersion|minSdkVersion|targetSdkVersion):'(\d+)'", badging)
    _expect("Android versions", sdk == [property_of("min.sdk"), property_of("target.sdk")], sdk)
    permissions = set(re.findall(r"uses-permission: name='(\S+)'", badging))
    _expect("permissions", permissions == PERMISSIONS, sorted(permissions ^ PERMISSIONS))
    for attribute in ("allowBackup", "fullBackupContent", "extractNativeLibs"):
        value = re.findall(rf"android:{attribute}\(\w+\)=(\S+)", manifest)
        _expect(attribute, value == ["false"], value)
    names = zipfile.ZipFile(apk).namelist()
    strange = [name for name in names if not _ENTRIES.fullmatch(name)]
    _expect("only code, resources and TensorFlow Lite inside", not strange, strange)
    abis = {name.split("/")[1] for name in names if name.startswith("lib/")}
    debug = "application-debuggable" in badging
    if not debug:
        mb, limit = apk.stat().st_size / 1e6, _LIMIT_MB[len(abis) > 1]
        _expect(f"at most {limit} MB", mb <= limit, mb)
    return [
        f"{apk.name}: {'debug' if debug else 'release'}, {', '.join(found)}, {', '.join(sorted(abis))}",
        f"signed ({', '.join(schemes)}), aligned, {len(permissions)} permissions as expected, no model inside",
        "dex: " + ", ".join(_dex(zipfile.ZipFile(apk).read(name)) for name in names if name.endswith(".dex")),
    ]


def _expect(what: str, right: bool, found: object) -> None:
    if not right:
        raise BuildError(f"{what}: not as expected: {found}")


def _dex(content: bytes) -> str:
    """Describe a dex file by the counts in its header."""
    methods, classes = struct.unpack_from("<I", content, 88)[0], struct.unpack_from("<I", content, 96)[0]
    return f"{classes} classes, {methods} method references"


def classes_of(apk: Path, folder: Path, *, google: bool) -> Path:
    """Turn an APK's dex back into class files, in a jar in ``folder``."""
    jars = os.pathsep.join(map(str, tools_classpath(google=google)))
    raw, fixed = folder / "raw.jar", folder / "dex.jar"
    run(["java", "-cp", jars, "com.googlecode.dex2jar.tools.Dex2jarCmd", "-f", "-o", raw, apk], quiet="dex2jar")
    run(["java", "-cp", jars, ANDROID / "apk" / "FixInterfaceCalls.java", raw, fixed])
    return fixed


def run_tests(apk: Path, *, google: bool) -> str:
    """Turn the APK's dex back into class files and run the app's tests on them; return JUnit's last line.

    Needs the test classes of ``mvn verify``. The resources come from the APK, too.

    Raises
    ------
    BuildError
        A test failed, or the APK is a release build, in which R8 has renamed what the tests call.
    """
    target = ANDROID / "app" / "target"
    listing = target / "test-classpath.txt"
    if not listing.exists() or not (target / "robolectric-sdks").exists():
        raise BuildError("the tests are not built: run `mvn verify` in android_app first")
    if "application-debuggable" not in run(["aapt2", "dump", "badging", apk]):
        raise BuildError("--tests: R8 has renamed this release build's classes; test the debug build")
    shipped = {jar.name for jar in (target / "runtime").glob("*.jar")}
    rest = [entry for entry in listing.read_text().strip().split(os.pathsep) if Path(entry).name not in shipped]
    with tempfile.TemporaryDirectory() as folder:
        fixed, config = classes_of(apk, Path(folder), google=google), Path(folder, "config")
        properties = config / "com" / "android" / "tools" / "test_config.properties"
        properties.parent.mkdir(parents=True)
        properties.write_text(
            f"android_merged_manifest={ANDROID / 'app' / 'src' / 'main' / 'AndroidManifest.xml'}\n"
            f"android_resource_apk={apk.resolve()}\nandroid_custom_package=org.pocketfleet.app\n"
        )
        command: list[str | Path] = ["java", "-Xmx2g", f"-XX:ErrorFile={folder}/crash.log"]
        # dex2jar writes no stack maps that the verifier would accept.
        command += [
            "-XX:+UnlockDiagnosticVMOptions",
            "-XX:-BytecodeVerificationRemote",
            "-XX:-BytecodeVerificationLocal",
        ]
        command += [f"-Djava.library.path={ANDROID / 'tflite' / 'target' / 'native' / 'linux-x86_64'}"]
        command += ["-Drobolectric.offline=true", f"-Drobolectric.dependency.dir={target / 'robolectric-sdks'}"]
        command += ["-Dorg.robolectric.packagesToNotAcquire=org.tensorflow.lite."]
        command += [f"-Dpocketfleet.testData={ANDROID / 'target' / 'test-data'}"]
        class_path = os.pathsep.join(map(str, [config, target / "test-classes", fixed, *rest]))
        tests = sorted(file.stem for file in (target / "test-classes" / "org/pocketfleet/app").glob("*Test.class"))
        command += ["-cp", class_path, "org.junit.runner.JUnitCore", *(f"org.pocketfleet.app.{name}" for name in tests)]
        output = run(command, quiet=None)
    return f"on the APK's own dex: {[line for line in output.splitlines() if line.strip()][-1]}"


if __name__ == "__main__":
    sys.exit(main())
