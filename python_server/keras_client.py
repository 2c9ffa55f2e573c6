r"""The Python client with Keras in place of TensorFlow Lite, for boards with a GPU.

It takes the arguments of ``pocketfleet-client``, and one environment variable of Keras::

    KERAS_BACKEND=tensorflow python -m python_server.keras_client run --server fleet.example:9092 --ca ca.pem \
        --trust signer.pem --data shard.npz --state ~/.pocketfleet --processor gpu
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Optional

from edge_client import Trainer
from edge_client.cli import main as client_main
from python_server.errors import ServerError
from python_server.simulation.backend import use_backend

__all__ = ["main"]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the client; return its exit status."""
    try:
        use_backend("auto")
    except ServerError as error:
        print(f"pocketfleet-client: {error}", file=sys.stderr)
        return 1
    from python_server.keras_interpreter import KerasInterpreter  # Keras chooses its backend when it is imported

    return client_main(arguments, make_trainer=partial(Trainer, interpreter=KerasInterpreter))


if __name__ == "__main__":
    sys.exit(main())
