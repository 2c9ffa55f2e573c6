"""The Device Farm API: the real boto3, its errors turned into ours, its pages into one list.

Device Farm lives in ``us-west-2`` alone. Credentials are boto3's own business (environment, profile, single sign-on);
none is ever read, kept or printed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployment.device_farm.errors import (
    FarmCredentialsError,
    FarmError,
    FarmLimitError,
    FarmRequestError,
    FarmUnreachableError,
)

__all__ = ["REGION", "FarmService"]

REGION = "us-west-2"
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_UNKNOWN = (
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "MissingAuthenticationTokenException",
    "MissingAuthenticationToken",
    "IncompleteSignatureException",
)
_SIGNATURE = ("InvalidSignatureException", "SignatureDoesNotMatch")
_FORBIDDEN = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired")
_ONCE = ("schedule_run",)
"""A request whose answer was lost may have been carried out, and these cost money each time."""
_THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded")


class FarmService:
    """A connection to Device Farm.

    Parameters
    ----------
    profile
        Name of a profile in ``~/.aws``; None: boto3's default.

    Raises
    ------
    FarmCredentialsError
        There is no such profile.
    FarmError
        boto3 is not installed.
    """

    def __init__(self, profile: str | None = None) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import ProfileNotFound
        except ImportError:
            raise FarmError("boto3 is not installed", "pip install 'pocketfleet[deployment]'") from None
        settings = Config(
            region_name=REGION,
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=10,
            read_timeout=60,
            user_agent_extra="pocketfleet",
        )
        once = settings.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
        try:
            session = boto3.session.Session(profile_name=profile)
            self._client = session.client("devicefarm", config=settings)
            self._cautious = session.client("devicefarm", config=once)
        except ProfileNotFound:
            raise FarmCredentialsError(
                f"there is no AWS profile {profile!r}", "see: aws configure list-profiles"
            ) from None

    def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """Call one operation.

        Parameters
        ----------
        operation
            Its name as boto3 has it, such as ``get_run``.
        arguments
            What it takes.

        Raises
        ------
        FarmError
            One of its kinds; requests that were throttled or met a passing fault were repeated before, but for those
            that would be paid for twice.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._cautious if operation in _ONCE else self._client
        try:
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
        except ClientError as error:
            raise _refused(operation, error.response) from None
        except BotoCoreError as error:
            raise _failed(operation, error) from None
        return answer

    def pages(self, operation: str, key: str, /, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the items under ``key`` of all pages of a list operation."""
        token: str | None = None
        while True:
            more = {"nextToken": token} if token else {}
            answer = self.call(operation, **arguments, **more)
            yield from answer.get(key, [])
            token = answer.get("nextToken")
            if not token:
                return


def _refused(operation: str, response: dict[str, Any]) -> FarmError:
    """Return the error that the service's own refusal stands for."""
    code = str(response.get("Error", {}).get("Code", ""))
    message = str(response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    words = operation.replace("_", " ")
    if code in _EXPIRED or (code in _SIGNATURE and "expired" in message.lower()):
        return FarmCredentialsError(
            "the AWS credentials have expired", "log in again (aws sso login, or new keys) and repeat the command"
        )
    if code in _UNKNOWN:
        return FarmCredentialsError(
            "AWS does not know these credentials", "check them with: aws sts get-caller-identity"
        )
    if code in _SIGNATURE:
        return FarmCredentialsError(
            "AWS does not accept the signature", "check the secret key, and this computer's clock"
        )
    if code in _FORBIDDEN:
        return FarmCredentialsError(
            f"these AWS credentials may not {words}", "give them the policy of docs/device_farm.md"
        )
    if code == "LimitExceededException":
        return FarmLimitError(
            f"Device Farm refused to {words}: a limit of the account is reached" + (f" ({message})" if message else ""),
            "wait for other runs to end, or ask AWS to raise it",
        )
    if code in _THROTTLED:
        return FarmLimitError(
            f"Device Farm gets too many requests from this account ({words})", "try again in a minute"
        )
    if code == "NotFoundException":
        return FarmRequestError(f"Device Farm could not {words}: {message or 'there is no such thing'}")
    if code == "IdempotencyException":
        return FarmRequestError(f"Device Farm could not {words}: the same request is under way", "try again")
    return FarmRequestError(f"Device Farm refused to {words}: {message or code or 'no reason given'}")


def _failed(operation: str, error: Exception) -> FarmError:
    """Return the error for what went wrong on this side, or on the way."""
    from botocore import exceptions

    credentials = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.TokenRetrievalError,
        exceptions.SSOError,
    )
    if isinstance(error, exceptions.NoCredentialsError):
        return FarmCredentialsError(
            "there are no AWS credentials", "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if isinstance(error, credentials):
        return FarmCredentialsError(
            f"the AWS credentials cannot be used ({error})", "log in again and repeat the command"
        )
    if isinstance(error, exceptions.ParamValidationError):
        return FarmRequestError(f"cannot {operation.replace('_', ' ')}: {error}")
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        return FarmUnreachableError(
            f"Device Farm in {REGION} cannot be reached", "check this computer's connection and repeat the command"
        )
    return FarmError(f"cannot {operation.replace('_', ' ')}: {error}")
