from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export import signing, tensors
from model_export.bundle import INITIAL, MANIFEST, MODEL, Bundle, write_bundle
from model_export.costs import Costs
from model_export.errors import BundleAltered, BundleError, BundleFormatError, SigningKeyError
from model_export.manifest import FORMAT, InputSpec, Layer, Manifest, Signature, TensorSpec, Variable

KERNEL = Variable("dense/kernel", (2, 3), "float32", True)
MANIFEST_VALUE = Manifest(
    format=FORMAT,
    name="tiny",
    versions={"pocketfleet": "0"},
    minimum_runtime="2.7.0",
    input=InputSpec((2,), "float32", 1.0, 0.0),
    classes=("a", "b", "c"),
    batch_size=4,
    trainable="all",
    base_format="",
    optimizer={"name": "sgd", "momentum": 0.0},
    cuts=(),
    state=("dense/kernel",),
    layers=(Layer("dense", "Dense", True, ("input",), (3,), "float32", (KERNEL,), 6, 6, 12),),
    signatures={"get": Signature({}, {"v0000": TensorSpec((2, 3), "float32")}, ())},
    compression={},
    costs=Costs({}, None),
    files={},
)
FILES = {
    MODEL: b"TFL3 not really",
    INITIAL: bytes(tensors.pack({"dense/kernel": np.ones((2, 3), np.float32)})),
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return signing.load_or_create_key(tmp_path_factory.mktemp("keys") / "signing.pem")


@pytest.fixture
def bundle(tmp_path: Path, key: bytes) -> Bundle:
    return write_bundle(tmp_path / "b", MANIFEST_VALUE, FILES, signing_key=key)


def test_written_bundle_reads_back(bundle: Bundle, key: bytes) -> None:
    again = Bundle.load(bundle.path, trusted_key=signing.public_key(key))
    again.verify(trusted_key=signing.public_key(key))
    assert again.manifest == bundle.manifest
    assert again.sha256 == bundle.sha256
    assert again.read(MODEL) == FILES[MODEL]
    np.testing.assert_array_equal(again.initial()["dense/kernel"], np.ones((2, 3)))
    assert sorted(os.listdir(bundle.path.parent)) == ["b"]


def test_zip_is_the_same_bundle_and_reproducible(bundle: Bundle, key: bytes, tmp_path: Path) -> None:
    first, second = bundle.to_zip(tmp_path / "1.zip"), bundle.to_zip(tmp_path / "2.zip")
    assert first.read_bytes() == second.read_bytes()
    zipped = Bundle.load(first, trusted_key=signing.public_key(key))
    zipped.verify()
    assert zipped.sha256 == bundle.sha256


@pytest.mark.parametrize("name", [MODEL, INITIAL])
@pytest.mark.parametrize("change", ["flip", "truncate", "extend", "remove", "directory", "fifo"])
def test_altered_file_is_named(bundle: Bundle, name: str, change: str) -> None:
    path = bundle.path / name
    data = bytearray(path.read_bytes())
    if change == "flip":
        data[3] ^= 1
        path.write_bytes(data)
    elif change == "truncate":
        path.write_bytes(data[:-1])
    elif change == "extend":
        path.write_bytes(data + b"x")
    else:
        path.unlink()
        if change == "directory":
            path.mkdir()
        elif change == "fifo":
            os.mkfifo(path)
    with pytest.raises(BundleAltered, match=name):
        Bundle.load(bundle.path).verify()


def test_altered_manifest_does_not_fit_its_signature(bundle: Bundle) -> None:
    path = bundle.path / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"tiny"', b'"tinx"'))
    with pytest.raises(BundleAltered, match="does not fit"):
        Bundle.load(bundle.path).verify()


def test_other_signer_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = signing.public_key(signing.load_or_create_key(tmp_path / "other.pem"))
    with pytest.raises(BundleAltered, match="not by the trusted"):
        Bundle.load(bundle.path, trusted_key=other)


def test_unsigned_is_refused_only_where_a_key_is_required(tmp_path: Path, key: bytes) -> None:
    unsigned = write_bundle(tmp_path / "u", MANIFEST_VALUE, FILES)
    unsigned.verify()
    assert unsigned.signer() is None
    with pytest.raises(BundleAltered, match="not signed"):
        Bundle.load(unsigned.path, trusted_key=signing.public_key(key))


def test_unlisted_file_is_refused(bundle: Bundle) -> None:
    (bundle.path / "extra.so").write_bytes(b"?")
    with pytest.raises(BundleAltered, match="extra.so"):
        bundle.verify()


def test_truncated_zip(bundle: Bundle, tmp_path: Path) -> None:
    data = bundle.to_zip(tmp_path / "b.zip").read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 1):
        (tmp_path / "t.zip").write_bytes(data[:length])
        with pytest.raises(BundleError, match="t.zip"):
            Bundle.load(tmp_path / "t.zip").verify()


def test_zip_bomb_is_read_no_further_than_the_manifest_says(bundle: Bundle, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, (bundle.path / MANIFEST).read_bytes())
        archive.writestr(MODEL, bytes(50 * 2**20))
        archive.writestr(INITIAL, FILES[INITIAL])
    with pytest.raises(BundleAltered, match="larger than"):
        Bundle.load(bomb).read(MODEL)


def test_manifest_cannot_name_files_elsewhere(bundle: Bundle) -> None:
    path = bundle.path / MANIFEST
    raw = json.loads(path.read_text())
    raw["files"]["../secret"] = {"sha256": "0" * 64, "bytes": 1}
    path.write_text(json.dumps(raw))
    with pytest.raises(BundleAltered, match="plain file name"):
        Bundle.load(bundle.path).read("../secret")


@pytest.mark.parametrize(
    ("key_path", "value", "message"),
    [
        (["format"], 99, "format 99"),
        (["name"], 3, "name is not a string"),
        (["surprise"], 3, "unknown key 'surprise'"),
        (["batch_size"], -1, "batch_size is not a natural number"),
        (["layers", 0, "variables", 0, "shape"], [2, "x"], "shape"),
        (["state"], ["nobody/kernel"], "nobody/kernel"),
        (["input", "scale"], None, "scale is not a number"),
    ],
)
def test_manifest_errors_name_the_key(bundle: Bundle, key_path: list[str], value: object, message: str) -> None:
    path = bundle.path / MANIFEST
    raw = json.loads(path.read_text())
    node = raw
    for step in key_path[:-1]:
        node = node[step]
    node[key_path[-1]] = value
    path.write_text(json.dumps(raw))
    with pytest.raises(BundleFormatError, match=message):
        Bundle.load(bundle.path)


def test_missing_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleFormatError, match="pocketfleet export"):
        Bundle.load(tmp_path / "nothing")


def test_directory_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleFormatError, match=r"not a bundle: manifest\.json is missing"):
        Bundle.load(tmp_path)


def test_nothing_but_a_bundle_is_ever_replaced(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "photos").mkdir()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="not a bundle"):
            write_bundle(tmp_path / "photos", MANIFEST_VALUE, FILES, overwrite=overwrite)
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_bundle(bundle.path, MANIFEST_VALUE, FILES)
    write_bundle(bundle.path, MANIFEST_VALUE, {**FILES, MODEL: b"new"}, overwrite=True)
    assert Bundle.load(bundle.path).read(MODEL) == b"new"
    assert sorted(os.listdir(tmp_path)) == ["b", "photos"]


def test_a_bundle_behind_a_link_is_replaced_where_it_is(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "link").symlink_to(bundle.path.name)
    written = write_bundle(tmp_path / "link", MANIFEST_VALUE, {**FILES, MODEL: b"new"}, overwrite=True)
    assert written.path == tmp_path / "link"
    assert (tmp_path / "link").is_symlink()
    assert Bundle.load(bundle.path).read(MODEL) == b"new"


def test_a_bundle_that_cannot_be_replaced_stays(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def interrupted(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        if Path(target) == bundle.path and Path(source).name != "old":
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(bundle.path, MANIFEST_VALUE, {**FILES, MODEL: b"new"}, overwrite=True)
    assert Bundle.load(bundle.path).read(MODEL) == FILES[MODEL]
    assert os.listdir(tmp_path) == ["b"]


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path / "b", MANIFEST_VALUE, FILES)
    assert os.listdir(tmp_path) == []


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_signature_bytes_give_the_one_error(data: bytes) -> None:
    with pytest.raises(signing.BadSignature):
        signing.verify(b"manifest", data)


def test_published_key_is_the_one_that_signs(bundle: Bundle, key: bytes, tmp_path: Path) -> None:
    private = tmp_path / "mine.pem"
    private.write_bytes(key)
    public = signing.publish(private)
    assert public == tmp_path / "mine.pub.pem"
    Bundle.load(bundle.path, trusted_key=public.read_bytes())


def test_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "signing.pem"
    first = signing.load_or_create_key(path)
    assert signing.load_or_create_key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("curve", "password", "message"),
    [
        (ec.SECP384R1(), None, "k.pem: the signing key is not an ECDSA P-256 key; make one with: openssl ecparam"),
        (ec.SECP256R1(), b"secret", "k.pem: the signing key is protected by a password; only plain keys can be used"),
    ],
)
def test_other_keys_do_not_sign(
    curve: ec.EllipticCurve, password: Optional[bytes], message: str, tmp_path: Path
) -> None:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = ec.generate_private_key(curve).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
    )
    (tmp_path / "k.pem").write_bytes(pem)
    with pytest.raises(SigningKeyError, match=message):
        signing.load_or_create_key(tmp_path / "k.pem")
