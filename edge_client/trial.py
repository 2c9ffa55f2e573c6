"""Whether the TensorFlow Lite runtime that is installed here trains a bundle: one step, and one evaluation.

``python -m edge_client.trial BUNDLE``. It is a process of its own because a runtime whose code does not suit the
processor takes its process with it. The weights stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from edge_client.calibrate import sample_batch, stepper
from edge_client.errors import EdgeError, NoRuntimeError
from edge_client.trainer import Trainer
from model_export.errors import BundleError

__all__ = ["NO_RUNTIME", "main"]

NO_RUNTIME = 3
"""Exit status where there is no runtime, or its files cannot be loaded."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Try it.

    Parameters
    ----------
    arguments
        Words after the program's name; None takes the process's own.

    Returns
    -------
    0 where it trains, `NO_RUNTIME`, or 1 where the bundle cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m edge_client.trial", description="Take one training step.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what to train, directory or zip")
    parser.add_argument("--threads", type=int, metavar="N", help="threads for training (default: the fastest)")
    parser.add_argument("--trust", type=Path, metavar="KEY.pem", help="public key that must have signed the bundle")
    options = parser.parse_args(arguments)
    try:
        trusted_key = options.trust.read_bytes() if options.trust else None
        trainer = Trainer(options.bundle, num_threads=options.threads, trusted_key=trusted_key)
        stepper(trainer, "")()
        trainer.evaluate(*sample_batch(trainer))
    except NoRuntimeError as error:
        return _fail(error, NO_RUNTIME)
    except (EdgeError, BundleError, OSError, ValueError, RuntimeError, MemoryError) as error:
        return _fail(error, 1)
    return 0


def _fail(error: Exception, status: int) -> int:
    print(str(error) or type(error).__name__, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
