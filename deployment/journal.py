"""What was done to which device, when and by whom: one JSON object a line, beside the inventory."""

from __future__ import annotations

import datetime
import getpass
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployment.errors import DeploymentError

__all__ = ["Journal"]


class Journal:
    """A journal, appended to by many threads.

    Parameters
    ----------
    path
        The file; made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, device: str, operation: str, event: str, details: Mapping[str, Any]) -> None:
        """Append an entry.

        Parameters
        ----------
        event
            ``begin``, ``step``, ``done`` or ``failed``.

        Raises
        ------
        DeploymentError
            It cannot be written.
        """
        entry = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
            "user": getpass.getuser(),
            "device": device,
            "operation": operation,
            "event": event,
            **details,
        }
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
            except OSError as error:
                raise DeploymentError(
                    f"{self.path}: cannot be written: {(error.strerror or str(error)).lower()}"
                ) from None
