"""Ask a device what it is, and what fits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deployment.errors import PlatformError
from deployment.facts import read_facts
from deployment.operations.release_for import runtimes_for

if TYPE_CHECKING:
    from deployment.fleet import Session

__all__ = ["probe"]


def probe(session: Session) -> dict[str, Any]:
    """Return a board's ``facts`` and the TensorFlow Lite ``runtime`` that fits it, or why none does."""
    device = session.device
    facts = read_facts(session.connector, device.python)
    try:
        runtime = runtimes_for(session.connector, device, facts)[0]
        fits = f"{runtime.package} {runtime.version}"
    except PlatformError as error:
        fits = f"none: {error.what}"
    return {"facts": facts, "runtime": fits}
