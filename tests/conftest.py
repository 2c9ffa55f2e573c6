"""What the tests of this folder share: toy clients in both languages.

Flower warns about one of its own dependencies when it is imported; our warnings are errors, that one is not ours.
"""

from __future__ import annotations

import importlib.util
import warnings

import pytest

from tests.java_client import toy_command
from tests.toy_server import Toy, python_toy

if importlib.util.find_spec("flwr"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import flwr.superlink.grid  # noqa: F401


@pytest.fixture(params=["python", "java"])
def toy(request: pytest.FixtureRequest) -> Toy:
    """The toy client, in each language."""
    return python_toy() if request.param == "python" else Toy(toy_command(), 137)
