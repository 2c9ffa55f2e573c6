"""Who may see the dashboard and start runs: who opened the printed address in a browser, and no other web page.

* The printed address holds a random token. Opening it sets a cookie (HttpOnly, SameSite=Strict) and leads to the page
  without the token, so it stays in no history and is told to no other site.
* The ``Host`` header has to be one of our own names: a name that an attacker points at this address (DNS rebinding) is
  not. https://owasp.org/www-community/attacks/DNS_Rebinding
* What changes something is a POST, whose ``Origin`` has to be the page's own: pages of other ports of this host are
  "same-site" and would send the cookie. What is read has to be asked for by our page too, where the browser tells
  (``Sec-Fetch-Site``).
* Pages may load nothing but our own files and run no script that stands in the page (Content-Security-Policy).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http import HTTPStatus
from typing import Any, Optional
from urllib.parse import parse_qs

__all__ = ["Guard"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_REFUSED = "This dashboard opens with the address that `pocketfleet dashboard` printed, token and all.\n"

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class Guard:
    """ASGI middleware that lets only those in who opened the printed address.

    Parameters
    ----------
    app
        What to guard.
    hosts
        ``Host`` headers that are ours, with the port.
    scheme
        ``http`` or ``https``.
    port
        For the cookie's name: cookies do not tell ports apart, and there may be two dashboards on a host.

    Attributes
    ----------
    token
        What the printed address holds.
    """

    def __init__(self, app: _App, *, hosts: Collection[str], scheme: str, port: int) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._scheme = scheme
        self._cookie = f"pocketfleet_{port}"
        self.token = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass an admitted request on; answer any other."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # nothing else is served
        headers = _Headers(scope)
        if (headers.one("host") or "").lower() not in self._hosts:
            await _answer(send, HTTPStatus.MISDIRECTED_REQUEST, "This is not the dashboard's address.\n")
        elif scope["path"] == "/" and scope["method"] == "GET" and b"token=" in scope["query_string"]:
            await self._let_in(scope, send)
        elif not self._is_known(headers):
            await _answer(send, HTTPStatus.UNAUTHORIZED, _REFUSED)
        elif problem := self._is_foreign(scope["method"], scope["path"], headers):
            await _answer(send, HTTPStatus.FORBIDDEN, problem)
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _let_in(self, scope: _Scope, send: _Send) -> None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) != 1 or not _equal(given[0], self.token):
            await _answer(send, HTTPStatus.UNAUTHORIZED, _REFUSED)
            return
        secure = "; Secure" if self._scheme == "https" else ""
        cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/{secure}"
        await _answer(send, HTTPStatus.SEE_OTHER, "", {"location": "/", "set-cookie": cookie})

    def _is_known(self, headers: _Headers) -> bool:
        # By hand: `http.cookies` gives up at the first cookie that it does not like, and browsers send us those of all
        # other programs on this host, whatever their port.
        pairs = [each.strip().partition("=") for each in (headers.one("cookie") or "").split(";")]
        return any(name == self._cookie and _equal(value, self._session) for name, _, value in pairs)

    def _is_foreign(self, method: str, path: str, headers: _Headers) -> str:
        """Return why a request cannot come from our own page; empty where it may."""
        if method not in ("GET", "HEAD", "POST"):
            return "There is no such request.\n"
        site = headers.one("sec-fetch-site")
        if method == "POST":
            own = f"{self._scheme}://{(headers.one('host') or '').lower()}"
            if headers.one("origin") != own or site not in (None, "same-origin"):
                return "Another page asked for this.\n"
        elif path != "/" and site not in (None, "same-origin", "none"):
            return "Another page asked for this.\n"
        return ""


class _Headers:
    def __init__(self, scope: _Scope) -> None:
        self._values: list[tuple[bytes, bytes]] = scope["headers"]

    def one(self, name: str) -> Optional[str]:
        """Return a header's value; None where it is missing, or there are several."""
        found = [value for key, value in self._values if key == name.encode("ascii")]
        return found[0].decode("latin-1") if len(found) == 1 else None


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _with_headers(send: _Send) -> _Send:
    async def sending(message: _Message) -> None:
        if message["type"] == "http.response.start":
            own = {key for key, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in own]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending


async def _answer(send: _Send, status: HTTPStatus, text: str, more: Optional[dict[str, str]] = None) -> None:
    body = text.encode()
    headers = {
        **_HEADERS,
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        **(more or {}),
    }
    headers["connection"] = "close"  # a body that came with it was not read
    await send(
        {
            "type": "http.response.start",
            "status": int(status),
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
