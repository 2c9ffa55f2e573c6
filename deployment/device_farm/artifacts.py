"""Results: what Device Farm kept of a phone, fetched (and gone on with after a cut) and put where a person looks.

A phone's folder afterwards::

    FOLDER/NAME/
      farm.json         the phone's run: model, state, device-minutes
      phone.json        facts of the very phone: build, battery, temperatures
      results/          what the app wrote: rounds.jsonl, decisions.jsonl, events.jsonl, summary.json
      instrumentation.txt, logcat.txt, trouble.txt
      downloads/        as fetched
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from deployment.connector import Progress, no_progress
from deployment.device_farm.errors import FarmDownloadError
from deployment.device_farm.record import FILE, PhoneRun
from deployment.device_farm.service import FarmService
from model_export.files import write_atomically

__all__ = ["MAX_UNPACKED_BYTES", "collect_phone", "download", "is_collected", "merge_into_run", "unpack"]

MAX_UNPACKED_BYTES = 4 << 30
_WANTED = ("CUSTOMER_ARTIFACT", "CUSTOMER_ARTIFACT_LOG", "TESTSPEC_OUTPUT")
_BLOCK = 1 << 18
_TRIES = 5
_MARKS = ("phone.json", "key.json", "instrumentation.txt", "results", "trouble.txt")
"""What our part of the artifacts is known by: how deep it lies in the zip is Device Farm's business."""


def is_collected(folder: Path, phone: PhoneRun) -> bool:
    """Tell whether all of a phone's artifacts are in ``folder``: its own record is written last."""
    return (folder / phone.name / FILE).exists()


def collect_phone(
    service: FarmService,
    phone: PhoneRun,
    folder: Path,
    *,
    progress: Progress = no_progress,
) -> int:
    """Fetch a phone's artifacts into ``folder / phone.name``; return the bytes that travelled.

    Doing it again fetches what is missing, no more.

    Raises
    ------
    FarmDownloadError
        An artifact could not be fetched, or is not what it should be.
    """
    target = folder / phone.name
    moved = 0
    try:
        (target / "downloads").mkdir(parents=True, exist_ok=True)
        for name, url in _artifacts(service, phone):
            file = target / "downloads" / name
            if not file.exists():
                moved += download(url, file, progress=progress)
            if file.suffix == ".zip":
                unpack(file, target)
        write_atomically(target / FILE, json.dumps(asdict(phone), indent=2).encode())
    except FarmDownloadError:
        raise
    except OSError as error:
        raise FarmDownloadError(f"{phone.name}: {target}: {(error.strerror or str(error)).lower()}") from None
    return moved


def _artifacts(service: FarmService, phone: PhoneRun) -> Iterator[tuple[str, str]]:
    """Yield file names, unique ones, and presigned addresses of what is wanted."""
    seen: dict[str, int] = {}
    for kind in ("FILE", "LOG"):
        for artifact in service.pages("list_artifacts", "artifacts", arn=phone.run, type=kind):
            if artifact.get("type") in _WANTED and artifact.get("url"):
                name = _file_name(artifact)
                count = seen[name] = seen.get(name, 0) + 1
                stem, dot, extension = name.rpartition(".")
                yield (name if count == 1 else f"{stem}-{count}{dot}{extension}"), artifact["url"]


def _file_name(artifact: dict[str, Any]) -> str:
    stem = "".join(letter if letter.isalnum() else "_" for letter in artifact.get("name", "artifact"))[:80]
    extension = "".join(filter(str.isalnum, artifact.get("extension", "")))[:10] or "bin"
    return f"{stem or 'artifact'}.{extension}"


def merge_into_run(phone_folder: Path, run: Path) -> Path:
    """Copy what a phone wrote into a run directory, as ``farm/NAME``; return that folder.

    Raises
    ------
    FarmDownloadError
        There is no such run, or it cannot be written.
    """
    if not (run / "run.sqlite").exists():
        raise FarmDownloadError(f"{run} is no run directory of `pocketfleet train`")
    target = run / "farm" / phone_folder.name
    try:
        shutil.copytree(phone_folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("downloads"))
    except (OSError, shutil.Error) as error:
        raise FarmDownloadError(f"{target}: cannot be written: {error}") from None
    return target


def download(
    url: str,
    target: Path,
    *,
    progress: Progress = no_progress,
) -> int:
    """Fetch a file, going on in ``target`` + ``.part`` after a cut; return the bytes that travelled.

    Raises
    ------
    FarmDownloadError
        It could not be fetched. The address, which is a secret, is not in the message.
    """
    import urllib3

    part = target.with_name(target.name + ".part")
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=60), retries=False)
    tag = ""
    moved = 0
    trouble = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(2.0**attempt)
        done = part.stat().st_size if part.exists() and (tag or not attempt) else 0
        # Another object's bytes must not be gone on with; a part of an earlier command has no tag to compare.
        headers = {"Range": f"bytes={done}-", **({"If-Range": tag} if tag else {})} if done else {}
        try:
            answer = pool.request("GET", url, headers=headers, preload_content=False)
            with contextlib.closing(answer):
                if answer.status == 416:  # the part is no beginning of it
                    part.unlink()
                    trouble = "the file changed"
                    continue
                if answer.status not in (200, 206):
                    trouble = f"status {answer.status}"
                    if answer.status < 500:
                        break
                    continue
                tag = answer.headers.get("ETag", "")
                done = done if answer.status == 206 else 0
                total = done + int(answer.headers.get("Content-Length", 0))
                with part.open("ab" if done else "wb") as file:
                    while block := answer.read1(_BLOCK):  # `stream` would drop what came of a block that was cut
                        file.write(block)
                        done += len(block)
                        moved += len(block)
                        progress(done, total)
            if total and done != total:
                trouble = f"{done} of {total} bytes came"
                continue
            os.replace(part, target)
            return moved
        except urllib3.exceptions.HTTPError as error:
            trouble = type(error).__name__
    raise FarmDownloadError(
        f"{target.name}: could not be fetched ({trouble})", "repeat the command; it goes on from there"
    )


def unpack(archive: Path, target: Path) -> None:
    """Unpack the artifacts of a run into a phone's folder, our own files at its top.

    Raises
    ------
    FarmDownloadError
        It is no zip, would write elsewhere, or holds more than a phone can have written.
    """
    scratch = target / ".unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as content:
            entries = [entry for entry in content.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
                raise FarmDownloadError(f"{archive} holds more than {MAX_UNPACKED_BYTES >> 30} GiB")
            for entry in entries:
                path = PurePosixPath(entry.filename)
                if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
                    raise FarmDownloadError(f"{archive} holds {entry.filename!r}, which would be written elsewhere")
                file = scratch.joinpath(*path.parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                with content.open(entry) as source, file.open("wb") as out:
                    shutil.copyfileobj(source, out, _BLOCK)
        top = _our_part(scratch)
        for each in sorted(top.iterdir()) if top.exists() else []:
            place = target / each.name
            if place.is_dir():
                shutil.rmtree(place)
            os.replace(each, place)
    except zipfile.BadZipFile:
        archive.unlink()
        raise FarmDownloadError(f"{archive.name} is damaged", "repeat the command; it is fetched anew") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _our_part(scratch: Path) -> Path:
    """Return the folder that holds our files: the one nearest to the top."""
    folders = sorted(
        (path for path in [scratch, *scratch.rglob("*")] if path.is_dir()), key=lambda path: len(path.parts)
    )
    for folder in folders:
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
    return scratch
