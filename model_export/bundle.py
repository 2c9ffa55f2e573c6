"""Bundles: read, verify, write. Needs no TensorFlow (``docs/bundle.md``).

Every byte that leaves `Bundle.read` was hashed on the way and compared with the manifest, so what was verified is
what is loaded, whatever happens to the files in between.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional, Union

import numpy as np

from model_export import formats, signing, tensors
from model_export.errors import BundleAltered, BundleError, BundleFormatError, TargetExistsError, TensorFileError
from model_export.files import put_folder, write_atomically
from model_export.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest

__all__ = [
    "BASE",
    "CHANNELS",
    "INITIAL",
    "MANIFEST",
    "MODEL",
    "NETWORK",
    "SIGNATURE",
    "Bundle",
    "check_target",
    "write_bundle",
]

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
MODEL = "model.tflite"
BASE = "base.tflite"
INITIAL = "initial.safetensors"
CHANNELS = "channels.safetensors"
NETWORK = "network.json"

_PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: a directory or a zip of one.

    Attributes
    ----------
    path
        Where it is.
    manifest
        What it says about itself.
    manifest_bytes
        The manifest as it was read once; signatures are checked against these bytes.
    """

    path: Path
    manifest: Manifest
    manifest_bytes: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Hash of the manifest; it covers the hashes of all other files, so it identifies the bundle."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    @classmethod
    def load(cls, path: _PathLike, *, trusted_key: Optional[bytes] = None) -> Bundle:
        """Open a bundle and check its manifest, and its signature where a trusted key is given.

        Parameters
        ----------
        path
            A directory or a ``.zip``.
        trusted_key
            PEM of the public key that must have signed the bundle; None accepts any or no signature.

        Raises
        ------
        BundleFormatError
            There is no bundle at ``path``, or one of another format.
        BundleAltered
            The signature is missing or does not fit ``trusted_key``.
        """
        path = Path(path)
        if not path.exists():
            raise BundleFormatError(f"{path}: no such bundle; make one with `pocketfleet export`")
        try:
            data = _read_member(path, MANIFEST, MAX_MANIFEST_BYTES)
            manifest = Manifest.from_json(data)
        except BundleFormatError as error:
            raise BundleFormatError(f"{path}: {error}") from None
        except BundleError as error:
            raise BundleFormatError(f"{path}: not a bundle: {error}") from None
        bundle = cls(path, manifest, data)
        if trusted_key is not None:
            bundle.verify_signature(trusted_key)
        return bundle

    def read(self, name: str) -> bytes:
        """Return the bytes of a file that the manifest lists, having checked size and hash.

        Raises
        ------
        BundleAltered
            The file is missing, truncated or changed, or the manifest does not list it.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleAltered(f"{self.path}: the manifest lists no file {name}")
        try:
            data = _read_member(self.path, name, entry.bytes)
        except BundleError as error:
            raise BundleAltered(f"{self.path}: {error}") from None
        if len(data) != entry.bytes:
            raise BundleAltered(f"{self.path}: {name} has {len(data)} bytes, the manifest says {entry.bytes}")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleAltered(f"{self.path}: {name} was altered: its SHA-256 is not the manifest's")
        return data

    def initial(self) -> dict[str, np.ndarray]:
        """Return the initial value of every state variable by path, in the order of ``manifest.state``.

        Raises
        ------
        BundleAltered
            The file is damaged or does not fit the manifest.
        """
        variables = self.manifest.variables
        try:
            stored = tensors.unpack(bytearray(self.read(INITIAL)))
            return formats.decode_all(stored, {path: variable.shape for path, variable in variables.items()})
        except TensorFileError as error:
            raise BundleAltered(
                f"{self.path}: {INITIAL} does not hold the variables that the manifest lists: {error}"
            ) from None

    def kept_channels(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Return which indices of the whole network's variables this one has, for each axis, by path.

        With ``numpy.ix_`` of them a server cuts this network's variables out of the whole one's, and puts an update
        back in its place. Empty for a bundle from which no channels were removed.

        Raises
        ------
        BundleAltered
            The file is damaged or does not fit the manifest.
        """
        if CHANNELS not in self.manifest.files:
            return {}
        try:
            stored = tensors.unpack(self.read(CHANNELS))
        except TensorFileError as error:
            raise BundleAltered(f"{self.path}: {CHANNELS}: {error}") from None
        kept = {}
        for path, variable in self.manifest.variables.items():
            axes = tuple(stored.get(f"{path}:{axis}", np.zeros(0)) for axis in range(len(variable.shape)))
            if tuple(len(axis) for axis in axes) != variable.shape:
                raise BundleAltered(f"{self.path}: {CHANNELS} does not fit {path}")
            kept[path] = axes
        return kept

    def network(self) -> str:
        """Return the architecture in Keras's JSON, for ``keras.models.model_from_json``; devices have no use for it.

        Raises
        ------
        BundleFormatError
            The bundle was exported by a version that did not write it.
        BundleAltered
            The file is damaged or does not fit the manifest.
        """
        if NETWORK not in self.manifest.files:
            raise BundleFormatError(
                f"{self.path}: holds no {NETWORK}; export it again with this version of pocketfleet"
            )
        try:
            return self.read(NETWORK).decode("utf-8")
        except UnicodeDecodeError:
            raise BundleAltered(f"{self.path}: {NETWORK} is not UTF-8") from None

    def signer(self) -> Optional[bytes]:
        """Return the PEM of the public key that signed the bundle; None if it is unsigned.

        A valid signature by an unknown key proves nothing: compare the key with one that you trust.

        Raises
        ------
        BundleAltered
            There is a signature and it does not fit the manifest.
        """
        try:
            signature = _read_member(self.path, SIGNATURE, signing.MAX_SIGNATURE_BYTES)
        except BundleError:
            return None
        try:
            return signing.verify(self.manifest_bytes, signature)
        except signing.BadSignature as error:
            raise BundleAltered(f"{self.path}: {SIGNATURE}: {error}") from None

    def verify_signature(self, trusted_key: bytes) -> None:
        """Check that the holder of ``trusted_key`` (PEM) signed the manifest that was loaded.

        Raises
        ------
        BundleAltered
            It did not.
        """
        signer = self.signer()
        if signer is None:
            raise BundleAltered(f"{self.path}: not signed, and a trusted key is required")
        if not signing.same_key(signer, trusted_key):
            mine, theirs = signing.fingerprint(trusted_key), signing.fingerprint(signer)
            raise BundleAltered(f"{self.path}: signed by {theirs}, not by the trusted {mine}")

    def verify(self, *, trusted_key: Optional[bytes] = None) -> None:
        """Check every file against the manifest, the initial weights' names and shapes, and the signature.

        Raises
        ------
        BundleAltered
            Something does not fit; the message names the file.
        """
        for name in self.manifest.files:
            if name != INITIAL:
                self.read(name)
        self.initial()
        unlisted = sorted(_members(self.path) - set(self.manifest.files) - {MANIFEST, SIGNATURE})
        if unlisted:
            raise BundleAltered(f"{self.path}: holds {unlisted[0]}, which the manifest does not list")
        if trusted_key is not None:
            self.verify_signature(trusted_key)
        else:
            self.signer()

    def zipped(self) -> bytes:
        """Return the bundle as one zip, the same bytes each time.

        Raises
        ------
        BundleAltered
            A file does not fit the manifest any more.
        """
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted({MANIFEST, *self.manifest.files, *_members(self.path) & {SIGNATURE}}):
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                if name == MANIFEST:
                    data = self.manifest_bytes
                elif name == SIGNATURE:
                    data = _read_member(self.path, name, signing.MAX_SIGNATURE_BYTES)
                else:
                    data = self.read(name)
                archive.writestr(info, data)
        return out.getvalue()

    def to_zip(self, path: _PathLike) -> Path:
        """Write the bundle as one zip file, the same bytes each time; return its path."""
        target = Path(path)
        write_atomically(target, self.zipped())
        return target


def write_bundle(
    path: _PathLike,
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    signing_key: Optional[bytes] = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle directory; it is there whole or not at all.

    Parameters
    ----------
    path
        The directory to make.
    manifest
        The manifest; its ``files`` are filled in here.
    files
        Contents by file name.
    signing_key
        PEM of a private key to sign with; None leaves the bundle unsigned.
    overwrite
        Replace a bundle that is there. Anything else at ``path`` is never replaced.

    Raises
    ------
    TargetExistsError
        ``path`` exists and may not be replaced.
    OSError
        It could not be written; nothing is left behind.
    """
    target = Path(path)
    check_target(target, overwrite=overwrite)
    target = target.resolve() if target.is_symlink() else target
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = replace(manifest, files=entries)
    text = manifest.to_json()
    contents = {MANIFEST: text, **files}
    if signing_key is not None:
        contents[SIGNATURE] = signing.sign(text, signing_key)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, data in contents.items():
            with open(temporary / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        put_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Bundle(Path(path), manifest, text)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise where `write_bundle` would refuse to write.

    Raises
    ------
    TargetExistsError
        ``path`` exists and may not be replaced.
    OSError
        Nothing can be made there; the error names the folder that stands against it.
    """
    above = next((folder for folder in path.absolute().parents if folder.exists()), path)
    reason = errno.ENOTDIR if not above.is_dir() else 0 if os.access(above, os.W_OK) else errno.EACCES
    if reason:
        raise OSError(reason, os.strerror(reason), os.fspath(above))
    is_bundle = (path / MANIFEST).is_file()
    if path.exists() and not (overwrite and is_bundle):
        hint = "; choose another place, or replace it (--overwrite)" if is_bundle else " and is not a bundle"
        raise TargetExistsError(f"{path} exists{hint}")


def _members(path: Path) -> set[str]:
    if path.is_dir():
        return {entry.name for entry in path.iterdir()}
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def _read_member(path: Path, name: str, limit: int) -> bytes:
    """Read one file of the bundle, at most ``limit`` bytes; a name that is a path is refused."""
    if name != os.path.basename(name) or name in {"", ".", ".."}:
        raise BundleFormatError(f"{name!r} is not a plain file name")
    if path.is_dir():
        return _read_file(path / name, limit)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            data = member.read(limit + 1)
    except KeyError:
        raise BundleError(f"{name} is missing") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BundleError(f"{name} cannot be read: {error}") from None
    if len(data) > limit:
        raise BundleError(f"{name} is larger than the {limit} bytes expected")
    return data


def _read_file(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise BundleError(f"{path.name} {problem}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path.name} is not a regular file")
        if status.st_size > limit:
            raise BundleError(f"{path.name} has {status.st_size} bytes, more than the {limit} expected")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)
