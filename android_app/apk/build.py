"""Build the signed APK without Android Studio: Maven, aapt2, D8 or R8, zipalign, apksigner."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from android_app.apk.contents import print_sizes
from android_app.apk.tools import (
    ANDROID,
    BuildError,
    android_classes,
    maven,
    need,
    property_of,
    run,
    tools_classpath,
)

__all__ = ["main", "shrink"]

ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")
"""What `universal` holds. TensorFlow Lite's 32-bit x86 library is left out: no phone of today needs it."""

_TIME = (2026, 1, 1, 0, 0, 0)
_MANIFESTS = "already exists"
"""Jars have manifests of their own; D8 and R8 warn of each but the first."""

_EPILOG = """\
examples:
  android_app/build_apk                                   # debug, for every processor
  android_app/build_apk release --abi arm64-v8a           # small; signed with the debug key
  POCKETFLEET_STORE_PASSWORD=… android_app/build_apk release --keystore release.jks --key-alias fleet

The password of a keystore is read from the environment alone. Without --keystore the APK is signed with a key
that is made on first use in ~/.pocketfleet/debug.keystore.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    0 when the APK is there and verified, 1 when not.
    """
    parser = argparse.ArgumentParser(
        prog="build_apk", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", nargs="?", choices=("debug", "release"), default="debug", help="default: %(default)s")
    parser.add_argument("--abi", choices=(*ABIS, "universal"), default="universal", help="processor (%(default)s)")
    parser.add_argument("--keystore", type=Path, metavar="FILE", help="keystore to sign with")
    parser.add_argument("--key-alias", metavar="NAME", help="key in the keystore (default: its only one)")
    parser.add_argument("--google", action="store_true", help="fetch from Google's Maven repository, too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: app/target/pocketfleet-….apk")
    options = parser.parse_args(arguments)
    try:
        need(["mvn", "java", "keytool", "aapt2", "zipalign", "apksigner"])
        apk = build(options)
    except BuildError as error:
        print(f"build_apk: {error}", file=sys.stderr)
        return 1
    print_sizes(apk)
    return 0


def build(options: argparse.Namespace) -> Path:
    """Build, sign and verify; return the APK."""
    target = ANDROID / "app" / "target"
    work = target / f"apk-{options.mode}"
    shutil.rmtree(work, ignore_errors=True)
    maven(["-pl", "app", "-am", "-DskipTests", "package"], google=options.google)
    jars = tools_classpath(google=options.google)
    work.mkdir(parents=True)
    resources = _link(jars, target, work, debug=options.mode == "debug")
    _dex(jars, target, work, release=options.mode == "release")
    unaligned, aligned = work / "unaligned.apk", work / "aligned.apk"
    abis = ABIS if options.abi == "universal" else (options.abi,)
    _pack(unaligned, resources, sorted(work.glob("classes*.dex")), abis)
    run(["zipalign", "-f", "-p", "4", unaligned, aligned])
    version = property_of("version")
    apk: Path = options.output or target / f"pocketfleet-{version}-{options.mode}-{options.abi}.apk"
    _sign(aligned, apk, options.keystore, options.key_alias)
    run(["zipalign", "-c", "-p", "4", apk])
    run(["apksigner", "verify", "--min-sdk-version", property_of("min.sdk"), apk])
    return apk


def _link(jars: Sequence[Path], target: Path, work: Path, *, debug: bool) -> Path:
    """Link the resources that Maven's build has compiled; return the APK without code."""
    (android,) = (jar for jar in jars if jar.name.startswith("android-all-"))
    resources = work / "resources.apk"
    command: list[str | Path] = ["aapt2", "link", "-I", android, "-o", resources]
    command += ["--manifest", ANDROID / "app" / "src" / "main" / "AndroidManifest.xml"]
    command += ["--min-sdk-version", property_of("min.sdk"), "--target-sdk-version", property_of("target.sdk")]
    command += ["--version-code", property_of("version.code"), "--version-name", property_of("version")]
    command += ["--debug-mode"] if debug else []
    command += [target / "compiled-resources.zip"]
    # It cannot read some of android-all's tables that nothing here refers to, and says so each time.
    run(command, quiet="Unknown chunk type")
    return resources


def _dex(jars: Sequence[Path], target: Path, work: Path, *, release: bool) -> None:
    """Turn the class files into dex; the release is shrunk and optimised by R8, by the rules in proguard.pro."""
    api = ["--min-api", property_of("min.sdk")]
    if release:
        run(
            [*_r8(jars, target), *api, "--pg-map-output", work / "mapping.txt", "--output", work, *_classes(target)],
            quiet=_MANIFESTS,
        )
    else:
        command = [*_java(jars), "com.android.tools.r8.D8", "--debug", *_libraries(jars)]
        run([*command, *api, "--output", work, *_classes(target)], quiet=_MANIFESTS)


def shrink(output: Path, *, google: bool) -> None:
    """Let R8 shrink and rename the built app by the release's rules, but into class files.

    For tests on a Java virtual machine: what R8 makes for a phone does not go back into class files, as it calls
    constructors of `Object` on new instances of other classes, which dex allows and class files do not.
    """
    jars, target = tools_classpath(google=google), ANDROID / "app" / "target"
    run([*_r8(jars, target), "--classfile", "--output", output, *_classes(target)], quiet=_MANIFESTS)


def _java(jars: Sequence[Path]) -> list[str | Path]:
    (r8,) = (jar for jar in jars if jar.name.startswith("r8-"))
    return ["java", "-Xmx3g", "-cp", r8]


def _r8(jars: Sequence[Path], target: Path) -> list[str | Path]:
    command = [*_java(jars), "com.android.tools.r8.R8", "--release", *_libraries(jars)]
    return [*command, "--pg-conf", ANDROID / "app" / "proguard.pro", "--pg-conf", target / "aapt.pro"]


def _libraries(jars: Sequence[Path]) -> list[str | Path]:
    return ["--lib", android_classes(jars), "--lib", _java_home()]


def _classes(target: Path) -> list[Path]:
    return [next(target.glob("pocketfleet-app-*.jar")), *sorted((target / "runtime").glob("*.jar"))]


def _java_home() -> Path:
    """Where the JDK is: android-all has no java.lang."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java")
    if home:
        return Path(home)
    if java is None:
        raise BuildError("java: not installed")
    return Path(java).resolve().parent.parent


def _pack(apk: Path, resources: Path, dexes: Sequence[Path], abis: Sequence[str]) -> None:
    """Put everything into one zip, always in the same order and with the same times.

    Native libraries are stored as they are: Android then runs them from the APK itself, and needs no second copy on
    the phone. That costs about 2 MB of download for arm64 and saves 3.4 MB on the phone.
    """
    with zipfile.ZipFile(resources) as source, zipfile.ZipFile(apk, "w") as target:
        for entry in source.infolist():
            # Android 11 wants the table of resources stored; aapt2 has decided for the others.
            _add(target, entry.filename, source.read(entry), entry.compress_type)
        for dex in dexes:
            _add(target, dex.name, dex.read_bytes(), zipfile.ZIP_DEFLATED)
        for abi in abis:
            for library in sorted((ANDROID / "tflite/target/aar/tensorflow-lite/jni" / abi).glob("*.so")):
                _add(target, f"lib/{abi}/{library.name}", library.read_bytes(), zipfile.ZIP_STORED)


def _add(target: zipfile.ZipFile, name: str, content: bytes, compression: int) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    target.writestr(entry, content, compresslevel=9)


def _sign(aligned: Path, apk: Path, keystore: Path | None, alias: str | None) -> None:
    if keystore is None:
        keystore, password_file = _debug_key()
        password = ["--ks-pass", f"file:{password_file}"]
    elif "POCKETFLEET_STORE_PASSWORD" in os.environ:
        password = ["--ks-pass", "env:POCKETFLEET_STORE_PASSWORD"]
    else:
        raise BuildError("set POCKETFLEET_STORE_PASSWORD to the password of the keystore")
    command: list[str | Path] = ["apksigner", "sign", "--ks", keystore, *password, "--out", apk]
    command += ["--ks-key-alias", alias] if alias else []
    # The signatures that Android 8 and later read.
    command += ["--min-sdk-version", property_of("min.sdk"), "--v1-signing-enabled", "false"]
    command += ["--v2-signing-enabled", "true", "--v3-signing-enabled", "true", "--v4-signing-enabled", "false"]
    run([*command, aligned])


def _debug_key() -> tuple[Path, Path]:
    """Return keystore and password file of this machine's debug key, made on first use."""
    home = Path(os.environ.get("POCKETFLEET_HOME", Path.home() / ".pocketfleet"))
    keystore, password = home / "debug.keystore", home / "debug.keystore.password"
    if not keystore.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16) + "\n")
        command: list[str | Path] = ["keytool", "-genkeypair", "-keystore", keystore, "-alias", "debug"]
        command += ["-storepass:file", password, "-dname", "CN=pocketfleet debug", "-validity", "10000"]
        # RSA signs the same bytes in the same way each time, so the same sources give the same APK.
        run([*command, "-keyalg", "RSA", "-keysize", "3072"], quiet="")
        keystore.chmod(0o600)
    return keystore, password


if __name__ == "__main__":
    sys.exit(main())
