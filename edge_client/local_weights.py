"""A client's own weights from one round to the next, on the disk.

Where only some layers travel, the others stay on the device between rounds. A client may be killed at any point and do
its round again, which starts from the weights after the round before: so two rounds are kept, the one that was started
from and the one that was done.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_client.errors import NoLocalWeightsError, StateError
from edge_client.plan import Plan
from edge_client.records import Arrays
from model_export.errors import TensorFileError
from model_export.tensors import load, save

__all__ = ["LocalWeights"]


class LocalWeights:
    """Weights by run, bundle and round; of one run at a time.

    Parameters
    ----------
    directory
        Where they are; made when it is needed. Nothing else may be in it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def holds(self, plan: Plan, bundle: str) -> bool:
        """Tell whether the weights that a plan starts from are here."""
        assert plan.start_round is not None
        return self._file(plan, bundle, plan.start_round).exists()

    def load(self, plan: Plan, bundle: str) -> Arrays:
        """Return the weights that a plan starts from.

        Parameters
        ----------
        plan
            With a start round.
        bundle
            Hash of the bundle.

        Raises
        ------
        NoLocalWeightsError
            There are none of that round, or the file is damaged.
        """
        assert plan.start_round is not None
        try:
            return load(self._file(plan, bundle, plan.start_round))
        except (OSError, TensorFileError):
            raise NoLocalWeightsError(
                f"this client has no weights of its own after round {plan.start_round} of run {plan.run!r}; "
                "send it all variables"
            ) from None

    def save(self, plan: Plan, bundle: str, weights: Arrays) -> None:
        """Keep the weights after a plan's round, and those that it started from; forget all others.

        Raises
        ------
        StateError
            They cannot be written.
        """
        file = self._file(plan, bundle, plan.number)
        kept = {file} if plan.start_round is None else {file, self._file(plan, bundle, plan.start_round)}
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for other in set(self._directory.iterdir()) - kept:
                other.unlink()
            save(file, weights)
        except OSError as error:
            raise StateError(f"{file}: cannot be written: {error.strerror}") from error

    def _file(self, plan: Plan, bundle: str, number: int) -> Path:
        run = hashlib.sha256(f"{plan.run}\n{bundle}".encode()).hexdigest()[:32]
        return self._directory / f"{run}-{number}.safetensors"
