"""Bundles that the server sends: kept by their hash, used only when a trusted key signed them.

One directory::

    <sha256>.zip    a bundle; the last two are kept
    current         the hash of the one in use

A file is written whole or not at all, so a client killed at any point finds either the old bundle or the new one.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Optional, Union

from edge_client.errors import StateError
from model_export.bundle import Bundle
from model_export.errors import BundleAltered, BundleError
from model_export.files import write_atomically

__all__ = ["BundleStore"]

_log = logging.getLogger("pocketfleet.client")

_KEPT = 2
_CURRENT = "current"


class BundleStore:
    """A client's bundles.

    Parameters
    ----------
    directory
        Where they are kept; made if it is not there.
    trusted_key
        PEM of the public key that must have signed every one of them.

    Raises
    ------
    edge_client.errors.StateError
        The directory cannot be made.
    """

    def __init__(self, directory: Union[str, os.PathLike[str]], trusted_key: bytes) -> None:
        self.directory = Path(directory)
        self.trusted_key = trusted_key
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in self.directory.glob(".*"):  # of a client killed while it wrote
                leftover.unlink()
        except OSError as error:
            raise StateError(f"{self.directory}: cannot keep bundles here: {error.strerror}") from error

    def current(self) -> Optional[Bundle]:
        """Return the bundle in use, its signature checked.

        None if there is none, or none that can be used any more: the server sends another.

        Raises
        ------
        edge_client.errors.StateError
            The disk cannot be read.
        """
        try:
            name = (self.directory / _CURRENT).read_text("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"{self.directory / _CURRENT}: cannot be read: {error}") from error
        path = self.directory / f"{os.path.basename(name)}.zip"
        if not path.exists():
            return None
        try:
            bundle = Bundle.load(path, trusted_key=self.trusted_key)
            bundle.verify(trusted_key=self.trusted_key)
        except BundleError as error:
            _log.warning("event=dropped what=bundle reason=%s", error)
            return None
        return bundle

    def add(self, content: bytes, sha256: str) -> Bundle:
        """Keep a bundle that arrived; it is not in use yet.

        Parameters
        ----------
        content
            The bundle's zip.
        sha256
            What the sender says that the bundle's hash is.

        Raises
        ------
        model_export.errors.BundleError
            It is no bundle, was altered, is another one, or the trusted key did not sign it; nothing is kept.
        edge_client.errors.StateError
            It cannot be written.
        """
        arriving = self.directory / "arriving.zip"
        try:
            write_atomically(arriving, content)
            bundle = Bundle.load(arriving, trusted_key=self.trusted_key)
            bundle.verify(trusted_key=self.trusted_key)
            if bundle.sha256 != sha256:
                raise BundleAltered(f"the server announced bundle {sha256[:12]} and sent {bundle.sha256[:12]}")
            kept = self.directory / f"{bundle.sha256}.zip"
            os.replace(arriving, kept)
            return Bundle.load(kept, trusted_key=self.trusted_key)
        except OSError as error:
            raise StateError(f"{self.directory}: the bundle cannot be written: {error.strerror}") from error
        finally:
            arriving.unlink(missing_ok=True)

    def use(self, bundle: Bundle) -> None:
        """Make a kept bundle the one in use, and drop the oldest of the others.

        Raises
        ------
        edge_client.errors.StateError
            It cannot be written.
        """
        try:
            write_atomically(self.directory / _CURRENT, bundle.sha256.encode("ascii"))
            others = sorted(
                (path for path in self.directory.glob("*.zip") if path.stem != bundle.sha256),
                key=lambda path: path.stat().st_mtime,
                reverse=True,
            )
            for path in others[_KEPT - 1 :]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"{self.directory}: cannot be written: {error.strerror}") from error
