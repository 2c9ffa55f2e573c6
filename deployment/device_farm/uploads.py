"""Files that Device Farm is given: presigned PUT, then its own check, once for each content.

An upload's name starts with the hash of its content, so that a second run finds the first one's and sends nothing. The
presigned address is a secret for as long as it is valid: it is in no message.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from deployment.connector import Progress, no_progress
from deployment.device_farm.errors import FarmPlanError, FarmUploadError
from deployment.device_farm.service import FarmService

__all__ = ["MAX_UPLOAD_BYTES", "PATIENCE_S", "Uploaded", "Uploader", "upload_name"]

MAX_UPLOAD_BYTES = 4 << 30
PATIENCE_S = 900.0
_CONTENT_TYPE = "application/octet-stream"
_TRIES = 3


@dataclass(frozen=True)
class Uploaded:
    """A file that Device Farm accepted: its ARN, and how many bytes had to travel."""

    arn: str
    moved_bytes: int


def upload_name(file: Path) -> str:
    """Return what an upload of this content is called: hash and file name.

    Raises
    ------
    FarmPlanError
        The file cannot be read, is empty or larger than Device Farm takes.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise FarmPlanError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    if not size:
        raise FarmPlanError(f"{file} is empty")
    if size > MAX_UPLOAD_BYTES:
        raise FarmPlanError(f"{file} has {size / 1e9:.1f} GB; Device Farm takes 4 GiB at most")
    return f"{digest.hexdigest()[:20]}-{file.name}"[:256]


class Uploader:
    """Uploads to one project.

    Parameters
    ----------
    service
        The API.
    project
        The project's ARN.
    poll_s
        Seconds between two looks at the service's check of a file, which is waited for `PATIENCE_S`.
    """

    def __init__(
        self,
        service: FarmService,
        project: str,
        *,
        poll_s: float = 2.0,
    ) -> None:
        self._service = service
        self._project = project
        self._poll_s = poll_s

    def find(self, file: Path, kind: str) -> str | None:
        """Return the ARN of an accepted upload of this very content, or None."""
        name = upload_name(file)
        for upload in self._service.pages("list_uploads", "uploads", arn=self._project, type=kind):
            if upload.get("name") == name and upload.get("status") == "SUCCEEDED":
                return str(upload["arn"])
        return None

    def upload(self, file: Path, kind: str, *, progress: Progress = no_progress) -> Uploaded:
        """Upload a file, unless Device Farm has it, and wait until it is accepted.

        Parameters
        ----------
        file
            What to send.
        kind
            ``ANDROID_APP``, ``APPIUM_PYTHON_TEST_PACKAGE`` or ``APPIUM_PYTHON_TEST_SPEC``.
        progress
            Told the bytes sent.

        Raises
        ------
        FarmUploadError
            It did not arrive, or was not accepted.
        """
        known = self.find(file, kind)
        if known is not None:
            return Uploaded(known, 0)
        created = self._service.call(
            "create_upload", projectArn=self._project, name=upload_name(file), type=kind, contentType=_CONTENT_TYPE
        )["upload"]
        size = file.stat().st_size
        self._send(file, size, created["url"], progress)
        self._await_check(file, created["arn"])
        return Uploaded(created["arn"], size)

    def _send(self, file: Path, size: int, url: str, progress: Progress) -> None:
        import urllib3

        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=120), retries=False)
        trouble = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(self._poll_s * 2**attempt)
            with file.open("rb") as content:
                body = cast(BinaryIO, _Counted(content, size, progress))
                headers = {"Content-Type": _CONTENT_TYPE, "Content-Length": str(size)}
                try:
                    answer = pool.request("PUT", url, body=body, headers=headers)
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    trouble = type(error).__name__  # its text has the presigned address in it
                    continue
            if answer.status == 200:
                return
            trouble = f"status {answer.status}"
            if answer.status < 500:
                break
        raise FarmUploadError(f"{file}: could not be sent to Device Farm ({trouble})", "repeat the command")

    def _await_check(self, file: Path, arn: str) -> None:
        waited_s = 0.0
        while True:
            upload = self._service.call("get_upload", arn=arn)["upload"]
            if upload["status"] == "SUCCEEDED":
                return
            if upload["status"] == "FAILED":
                raise FarmUploadError(f"{file}: Device Farm did not accept it: {_reason(upload)}")
            if waited_s >= PATIENCE_S:
                raise FarmUploadError(
                    f"{file}: Device Farm has not checked it within {PATIENCE_S:.0f} s", "repeat the command"
                )
            time.sleep(self._poll_s)
            waited_s += self._poll_s


class _Counted:
    """A file that tells how much of it was read; all that urllib3 asks of a body."""

    def __init__(self, file: BinaryIO, total: int, progress: Progress) -> None:
        self._file = file
        self._total = total
        self._progress = progress
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._done += len(block)
        self._progress(self._done, self._total)
        return block


def _reason(upload: dict[str, Any]) -> str:
    """Return why an upload failed: the message, and the code in its metadata."""
    code = ""
    with contextlib.suppress(ValueError):
        code = str(json.loads(upload.get("metadata") or "{}").get("errorCode", ""))
    return " ".join(text for text in (code, str(upload.get("message", ""))) if text) or "no reason given"
