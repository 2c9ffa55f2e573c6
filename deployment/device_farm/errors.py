"""What can go wrong with AWS Device Farm, beside what goes wrong with a device.

::

    DeploymentError
    └── FarmError
        ├── FarmPlanError (ValueError)            farm.toml, or what it names, is wrong
        ├── FarmCredentialsError (PermissionError) none, wrong or expired ones, or not allowed to do this
        ├── FarmLimitError (RuntimeError)         a quota of the account
        ├── FarmUnreachableError (ConnectionError) no answer
        ├── FarmRequestError (RuntimeError)       the service refused a request, or something is not there
        ├── FarmUploadError (RuntimeError)        a file was not accepted
        └── FarmDownloadError (OSError)           an artifact could not be fetched

What happens to one phone is a state of its run, not an error: other phones go on.
"""

from __future__ import annotations

from deployment.errors import DeploymentError

__all__ = [
    "FarmCredentialsError",
    "FarmDownloadError",
    "FarmError",
    "FarmLimitError",
    "FarmPlanError",
    "FarmRequestError",
    "FarmUnreachableError",
    "FarmUploadError",
]


class FarmError(DeploymentError):
    """Base of the errors of this package.

    Parameters
    ----------
    what
        What happened.
    advice
        What to do about it; may be empty.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(" ".join((f"{what}; {advice}" if advice else what).split()))

    def __str__(self) -> str:  # OSError's own would print the arguments
        return str(self.args[0])


class FarmPlanError(FarmError, ValueError):
    """The plan (farm.toml), or a file that it names, is wrong."""


class FarmCredentialsError(FarmError, PermissionError):
    """AWS does not know us, or does not allow this."""


class FarmLimitError(FarmError, RuntimeError):
    """A quota of the account is used up."""


class FarmUnreachableError(FarmError, ConnectionError):
    """AWS does not answer."""


class FarmRequestError(FarmError, RuntimeError):
    """The service refused a request."""


class FarmUploadError(FarmError, RuntimeError):
    """A file did not arrive, or was not accepted."""


class FarmDownloadError(FarmError, OSError):
    """An artifact could not be fetched; what came so far is kept, and doing it again goes on from there."""
