"""One run of a SuperLink, held by this very process.

Flower's stock way starts three more processes for a run (SuperExec, the ServerApp's own, and its command line). Here
the ``train`` process creates the run, acquires its task and works on it itself, through Flower's own clients of the
Control and Runtime interfaces. `python_server.server_app` is what the stock way runs; both end in the same round loop.

All that leans on Flower's insides is here, in `python_server.superlink_process`, and in `python_server.exchange` with
`python_server.fetch`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import SubStatus
from flwr.common.serde import fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest, PushTaskOutputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from python_server.errors import SuperLinkError
from python_server.superlink import SuperLink
from python_server.superlink_process import SECRET_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FlowerRun", "open_run", "register_devices"]

_COMPONENT = "pocketfleet"
_ACQUIRE_TASK = "/flwr.proto.Runtime/AcquireTask"
_APP = """\
[project]
name = "pocketfleet-run"
version = "1.0.0"
description = "Federated training on real phones and boards"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "pocketfleet"

[tool.flwr.app.components]
serverapp = "python_server.server_app:app"
clientapp = "edge_client.client_app:app"

[tool.flwr.app.config]
experiment = ""
"""


class FlowerRun:
    """A run whose task this process holds.

    Attributes
    ----------
    grid
        Flower's grid of the run.
    """

    def __init__(self, grid: HttpGrid) -> None:
        self.grid = grid


class _Secret:
    """Shows the SuperLink's gate that this process started it."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def intercept(self, context: Any, call_next: Callable[[Any], httpx.Response]) -> httpx.Response:
        context.request.headers[SECRET_HEADER] = self._secret
        return call_next(context)


def register_devices(superlink: SuperLink, public_keys: Iterable[bytes]) -> None:
    """Tell the SuperLink which public keys may take part.

    Parameters
    ----------
    superlink
        A SuperLink that lets in only registered devices.
    public_keys
        PEM bytes, exactly as devices present them; see `python_server.identity.normalized_public_key`.

    Raises
    ------
    SuperLinkError
        It refused a key.
    """
    with _control(superlink) as control, _telling("register a device"):
        for key in public_keys:
            control.RegisterNode(RegisterNodeRequest(public_key=key))


@contextlib.contextmanager
def open_run(superlink: SuperLink) -> Iterator[FlowerRun]:
    """Create a run, hold its task while in the block, and tell the SuperLink how it ended.

    Raises
    ------
    SuperLinkError
        The SuperLink refused, or was gone.
    """
    for chatty in ("flwr", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with _telling("start a run"):
        _create(superlink)
        token = _acquire(superlink)
    grid = HttpGrid(
        runtime_api_address=superlink.local_address,
        insecure=superlink.settings.certificates is None,
        root_certificates=superlink.root_certificates,
        token=token,
    )
    # A SuperLink that died does not come back under the same secret: never wait for it.
    grid._retry_invoker.max_tries = 2
    client = grid._runtime_client
    heartbeat: Optional[HeartbeatSender] = None
    status, details = SubStatus.FAILED, "the server stopped"
    try:
        with _telling("take the run's task"):
            task = client.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id = task.task_id
        TaskIdentity.run_id = task.run.run_id
        TaskIdentity.node_id = task.context.node_id
        grid.set_run(run_from_proto(task.run))
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
        heartbeat.start()
        yield FlowerRun(grid)
        status, details = SubStatus.COMPLETED, ""
    finally:
        if heartbeat is not None:
            heartbeat.stop()
        with contextlib.suppress(httpx.HTTPError):
            client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=details))
        grid.close()


def _create(superlink: SuperLink) -> None:
    content, _ = build_fab_from_files({"pyproject.toml": _APP.encode(), "README.md": b"A run of pocketfleet.\n"})
    with _control(superlink) as control:
        answer = control.StartRun(StartRunRequest(fab=fab_to_proto(Fab("", content, {}))))
    if not answer.HasField("run_id"):
        raise SuperLinkError("the SuperLink did not start a run")


def _acquire(superlink: SuperLink) -> str:
    client = RuntimeHttpClient.from_server_address(
        **_address(superlink),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name=_COMPONENT),
            SuperExecAuthHttpInterceptor(
                master_secret=superlink.secret.encode("ascii"), protected_methods=[_ACQUIRE_TASK]
            ),
        ],
    )
    with client:
        answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
    if not answer.token:
        raise SuperLinkError("the SuperLink has no task for its new run")
    return str(answer.token)


def _control(superlink: SuperLink) -> ControlHttpClient:
    return ControlHttpClient.from_server_address(
        **_address(superlink),
        interceptors=[RuntimeVersionHttpInterceptor(component_name=_COMPONENT), _Secret(superlink.secret)],
    )


def _address(superlink: SuperLink) -> Mapping[str, Any]:
    certificates = superlink.root_certificates
    return {
        "server_address": superlink.local_address,
        "insecure": certificates is None,
        "root_certificates": certificates,
    }


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise SuperLinkError(f"the SuperLink refused to {what}: {error.response.text or error}") from error
    except httpx.HTTPError as error:
        raise SuperLinkError(f"could not {what}: {error}") from error
