from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_client.bundle_store import BundleStore
from edge_client.errors import DataError, StateError, TaskError
from edge_client.records import BUNDLE, QUERY, TRAIN, Task
from edge_client.worker import Worker
from model_export import signing
from model_export.bundle import Bundle, write_bundle
from model_export.errors import BundleError

if TYPE_CHECKING:
    from conftest import Digits


class Signed:
    """Signed copies of the digits bundle, distinct by name."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = Bundle.load(source)
        self._folder = folder
        self.key = signing.load_or_create_key(folder / "key.pem")
        self.trusted = signing.public_key(self.key)

    def named(self, name: str) -> Bundle:
        files = {file: self._source.read(file) for file in self._source.manifest.files}
        manifest = replace(self._source.manifest, name=name)
        return write_bundle(self._folder / name, manifest, files, signing_key=self.key)


@pytest.fixture
def signed(digits_bundle: Path, tmp_path: Path) -> Signed:
    return Signed(digits_bundle, tmp_path)


def files(store: BundleStore) -> set[str]:
    return {path.name for path in store.directory.iterdir()}


def test_a_bundle_is_in_use_only_when_told(signed: Signed, tmp_path: Path) -> None:
    store, bundle = BundleStore(tmp_path / "store", signed.trusted), signed.named("a")
    assert store.current() is None
    added = store.add(bundle.zipped(), bundle.sha256)
    assert store.current() is None
    store.use(added)
    again = BundleStore(tmp_path / "store", signed.trusted).current()
    assert again is not None
    assert again.sha256 == bundle.sha256
    again.verify(trusted_key=signed.trusted)


def test_the_last_two_are_kept(signed: Signed, tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "store", signed.trusted)
    bundles = [signed.named(name) for name in "abc"]
    for age, bundle in enumerate(bundles):
        kept = store.add(bundle.zipped(), bundle.sha256)
        os.utime(kept.path, (1000 + age, 1000 + age))
        store.use(kept)
    assert files(store) == {"current", *(f"{bundle.sha256}.zip" for bundle in bundles[1:])}


def test_what_is_wrong_leaves_nothing_behind(signed: Signed, tmp_path: Path) -> None:
    store, bundle = BundleStore(tmp_path / "store", signed.trusted), signed.named("a")
    content = bundle.zipped()
    altered = bytearray(content)
    altered[len(altered) // 2] ^= 1
    stranger = BundleStore(tmp_path / "stranger", signing.public_key(signing.load_or_create_key(tmp_path / "2.pem")))
    for target, data, sha256 in (
        (store, bytes(altered), bundle.sha256),
        (store, content[:-30], bundle.sha256),
        (store, b"", bundle.sha256),
        (store, content, "0" * 64),
        (stranger, content, bundle.sha256),
    ):
        with pytest.raises(BundleError):
            target.add(data, sha256)
        assert files(target) == set()


def test_leftovers_of_a_killed_client_go(signed: Signed, tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "store", signed.trusted)
    (store.directory / ".arriving.zip.xyz").write_bytes(b"half")
    assert files(BundleStore(store.directory, signed.trusted)) == set()


def test_a_bundle_altered_on_the_disk_is_not_used(signed: Signed, tmp_path: Path) -> None:
    store, bundle = BundleStore(tmp_path / "store", signed.trusted), signed.named("a")
    kept = store.add(bundle.zipped(), bundle.sha256)
    store.use(kept)
    kept.path.write_bytes(kept.path.read_bytes()[:-30])
    assert store.current() is None
    store.use(store.add(bundle.zipped(), bundle.sha256))
    assert store.current() is not None


def test_a_place_that_cannot_be_written_is_named(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot keep bundles here"):
        BundleStore(tmp_path / "file" / "store", signed.trusted)


def test_a_worker_starts_empty_and_changes_over(signed: Signed, digits: Digits, tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "store", signed.trusted)
    worker = Worker(store, digits.save(tmp_path / "data.npz", slice(0, 40)), name="phone", num_threads=1)
    facts = worker.handle(Task(QUERY)).info
    assert (facts["bundle"], facts["accepts-bundle"], facts["num-examples"]) == ("", True, 0)
    with pytest.raises(TaskError, match="no bundle yet"):
        worker.handle(Task(TRAIN))
    for name in "ab":
        bundle = signed.named(name)
        arrays = {BUNDLE: np.frombuffer(bundle.zipped(), np.uint8)}
        reply = worker.handle(Task(QUERY, arrays, {BUNDLE: bundle.sha256}))
        assert (reply.info["bundle"], reply.info["model"]) == (bundle.sha256, name)
        assert reply.metrics["num-examples"] == 40
    restarted = Worker(store, tmp_path / "data.npz", num_threads=1)
    assert restarted.trainer.manifest.name == "b"


def test_a_bundle_that_does_not_fit_the_data_leaves_the_old_one(signed: Signed, digits: Digits, tmp_path: Path) -> None:
    store, first, second = BundleStore(tmp_path / "store", signed.trusted), signed.named("a"), signed.named("b")
    store.use(store.add(first.zipped(), first.sha256))
    data = digits.save(tmp_path / "data.npz", slice(0, 40))
    worker = Worker(store, data, num_threads=1)
    np.savez(data, x=np.zeros((4, 9, 9, 1), np.uint8), y=np.zeros(4, np.int32))
    with pytest.raises(DataError):
        worker.handle(Task(QUERY, {BUNDLE: np.frombuffer(second.zipped(), np.uint8)}, {BUNDLE: second.sha256}))
    assert worker.trainer.manifest.name == "a"
    held = store.current()
    assert held is not None
    assert held.sha256 == first.sha256


def test_a_worker_with_a_bundle_of_its_own_takes_no_other(signed: Signed, digits: Digits, tmp_path: Path) -> None:
    bundle = signed.named("a")
    worker = Worker(bundle.path, digits.save(tmp_path / "data.npz", slice(0, 40)), num_threads=1)
    assert worker.facts()["accepts-bundle"] is False
    with pytest.raises(TaskError, match="takes no other"):
        worker.handle(Task(QUERY, {BUNDLE: np.frombuffer(bundle.zipped(), np.uint8)}, {BUNDLE: bundle.sha256}))
