"""What can go wrong in a client, in one tree.

::

    EdgeError
    ├── NoRuntimeError (ImportError)        no TensorFlow Lite runtime is installed
    ├── DataError (ValueError)              the client's data cannot be used
    ├── WeightsError (ValueError)           weights that do not fit the model; nothing was changed
    ├── TaskError (ValueError)              a task that makes no sense to this client
    ├── NoLocalWeightsError (LookupError)   a task starts from weights that this client does not have (any more)
    ├── DivergedError (ArithmeticError)     the loss is no number any more
    ├── SettingsError (ValueError)          an option, address or file the user gave is wrong
    ├── StateError (OSError)                the state directory cannot be used
    │   └── StateInUseError                 another client holds it
    ├── MessageError (ValueError)           what arrived is not a message we can trust
    └── ServerError (ConnectionError)
        ├── UnreachableError                no answer for as long as we were willing to wait
        └── RefusedError                    the server answered, and the answer was no
            ├── NotEnrolledError            it does not know this client's key
            └── RunOverError                the run that a message belongs to has ended

Each error's text says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from typing import Optional

__all__ = [
    "DataError",
    "DivergedError",
    "EdgeError",
    "MessageError",
    "NoLocalWeightsError",
    "NoRuntimeError",
    "NotEnrolledError",
    "RefusedError",
    "RunOverError",
    "ServerError",
    "SettingsError",
    "StateError",
    "StateInUseError",
    "TaskError",
    "UnreachableError",
    "WeightsError",
]


class EdgeError(Exception):
    """Base of every error that a client raises on purpose."""


class NoRuntimeError(EdgeError, ImportError):
    """No TensorFlow Lite runtime is installed, or not the one asked for."""


class DataError(EdgeError, ValueError):
    """The client's data cannot be used; the message names the file."""


class WeightsError(EdgeError, ValueError):
    """Weights that do not fit the model; nothing was changed."""


class TaskError(EdgeError, ValueError):
    """A task that makes no sense to this client."""


class NoLocalWeightsError(EdgeError, LookupError):
    """A task starts from weights that this client does not have, or not any more."""


class DivergedError(EdgeError, ArithmeticError):
    """Training went astray: the loss is not a finite number any more."""


class SettingsError(EdgeError, ValueError):
    """An option, an address or a file that the user gave is wrong."""


class StateError(EdgeError, OSError):
    """The state directory cannot be read or written."""


class StateInUseError(StateError):
    """Another client is using the state directory."""


class MessageError(EdgeError, ValueError):
    """What arrived is not a message that can be trusted."""


class ServerError(EdgeError, ConnectionError):
    """The server could not do what was asked."""


class UnreachableError(ServerError):
    """The server did not answer for as long as the client was willing to wait."""


class RefusedError(ServerError):
    """The server answered with an error.

    Attributes
    ----------
    status
        HTTP status of the answer.
    code
        Flower's own number of the error, where the answer had one.
    """

    def __init__(self, text: str, *, status: int, code: Optional[int] = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class NotEnrolledError(RefusedError):
    """The server does not know this client's key."""


class RunOverError(RefusedError):
    """The run that a message belongs to has ended."""
