"""Errors of this package.

::

    ServerError (Exception)                   the server cannot do what it was asked
    ├── ExperimentError (ValueError)          an experiment file, or what it names, is wrong
    ├── PlanError (ValueError)                a plan cannot be made of what was given
    ├── PartitionError (ValueError)           data cannot be split as asked
    ├── UpdateError (ValueError)              a client's update does not fit the model
    ├── StoreError (OSError)                  the run directory cannot be read or written
    │   └── DiskFullError                     no space left for the run; nothing is half written
    ├── TraceError (ValueError)               a recording of power cannot be used
    ├── IdentityError (ValueError)            certificates or public keys cannot be used
    ├── SuperLinkError (RuntimeError)         the SuperLink did not start, or died
    │   └── PortInUseError                    another program listens on the port
    ├── FleetError (RuntimeError)             the devices cannot do the round
    │   └── NoClientsError                    too few clients came before the deadline
    └── DashboardError (RuntimeError)         the dashboard cannot serve, or do what its page asks

Every message is one line that says what was wrong, where, and what to do. The command line prints it and exits with 1.
"""

from __future__ import annotations

__all__ = [
    "DashboardError",
    "DiskFullError",
    "ExperimentError",
    "FleetError",
    "IdentityError",
    "NoClientsError",
    "PartitionError",
    "PlanError",
    "PortInUseError",
    "ServerError",
    "StoreError",
    "SuperLinkError",
    "TraceError",
    "UpdateError",
]


class ServerError(Exception):
    """The server cannot do what it was asked."""


class ExperimentError(ServerError, ValueError):
    """An experiment file, or something it names, is wrong."""


class PlanError(ServerError, ValueError):
    """A plan cannot be made of what was given."""


class PartitionError(ServerError, ValueError):
    """Data cannot be split as asked."""


class UpdateError(ServerError, ValueError):
    """A client's update does not fit the model."""


class StoreError(ServerError, OSError):
    """The run directory cannot be read or written."""


class DiskFullError(StoreError):
    """No space is left for the run; nothing is half written and the run can be resumed."""


class TraceError(ServerError, ValueError):
    """A recording of power cannot be read, or does not fit the run."""


class IdentityError(ServerError, ValueError):
    """Certificates or public keys cannot be used."""


class SuperLinkError(ServerError, RuntimeError):
    """The SuperLink did not start, or died."""


class PortInUseError(SuperLinkError):
    """Another program listens on the port."""


class FleetError(ServerError, RuntimeError):
    """The devices cannot do the round."""


class NoClientsError(FleetError):
    """Too few clients came before the deadline."""


class DashboardError(ServerError, RuntimeError):
    """The dashboard cannot serve, or do what its page asks."""
