from __future__ import annotations

import asyncio
from typing import Any, Optional

import pytest

from python_server.dashboard.guard import Guard

HOST = "127.0.0.1:8090"
OWN = "http://127.0.0.1:8090"


class Inner:
    def __init__(self) -> None:
        self.reached = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"inside"})


def ask(
    guard: Guard, method: str = "GET", path: str = "/", query: str = "", host: Optional[str] = HOST, **headers: str
) -> tuple[int, dict[str, str]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    told = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in told.items() if value is not None],
    }
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.fixture(name="inner")
def make_inner() -> Inner:
    return Inner()


@pytest.fixture(name="guard")
def make_guard(inner: Inner) -> Guard:
    return Guard(inner, hosts=[HOST, "localhost:8090"], scheme="http", port=8090)


@pytest.fixture(name="cookie")
def log_in(guard: Guard) -> str:
    status, headers = ask(guard, query=f"token={guard.token}")
    assert (status, headers["location"]) == (303, "/"), "the token leaves the address"
    value, *flags = headers["set-cookie"].split("; ")
    assert set(flags) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert guard.token not in value
    return value


def test_the_printed_address_lets_in(guard: Guard, inner: Inner, cookie: str) -> None:
    status, headers = ask(guard, cookie=cookie)
    assert (status, inner.reached) == (200, 1)
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert ask(guard, cookie=f"other=1; {cookie}", host="LOCALHOST:8090")[0] == 200


@pytest.mark.parametrize("other", ['seen={"a": [1, 2]}', 'a="', "name with blanks=1", "ключ", "expires=1", "="])
def test_cookies_of_other_programs_on_this_host_do_no_harm(guard: Guard, cookie: str, other: str) -> None:
    assert ask(guard, cookie=f"{other}; {cookie}")[0] == 200
    assert ask(guard, cookie=f"{cookie}; {other}")[0] == 200


@pytest.mark.parametrize("query", ["token=", "token=wrong", "token=é", "xtoken=1", "token=a&token=b"])
def test_another_token_does_not(guard: Guard, inner: Inner, query: str) -> None:
    status, headers = ask(guard, query=query)
    assert (status, "set-cookie" in headers, inner.reached) == (401, False, 0)


@pytest.mark.parametrize(
    "value", ["", "pocketfleet_8090=", "pocketfleet_8090=wrong", "pocketfleet_8091={}", "{};{}", "\t"]
)
def test_without_the_cookie_nothing_is_told(guard: Guard, inner: Inner, cookie: str, value: str) -> None:
    if "{}" in value and "=" not in value:
        value = value.replace("{}", "x")
    for path in ("/", "/page.js", "/api/runs", "/api/stop"):
        for method in ("GET", "POST"):
            assert ask(guard, method, path, cookie=value.format(cookie.partition("=")[2]), origin=OWN)[0] == 401
    assert inner.reached == 0


@pytest.mark.parametrize(
    "host", ["evil.example:8090", "127.0.0.1", "127.0.0.1:8091", "127.0.0.1:8090.evil.example", "", None]
)
def test_a_name_that_is_not_ours_is_refused_even_with_token_and_cookie(
    guard: Guard, inner: Inner, cookie: str, host: Optional[str]
) -> None:
    assert ask(guard, cookie=cookie, host=host)[0] == 421
    assert ask(guard, query=f"token={guard.token}", host=host)[0] == 421
    assert inner.reached == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8090"},
        {"origin": "http://localhost:8090"},
        {"origin": OWN, "sec_fetch_site": "cross-site"},
        {"origin": OWN, "sec_fetch_site": "same-site"},
    ],
)
def test_no_other_page_changes_anything(guard: Guard, inner: Inner, cookie: str, headers: dict[str, str]) -> None:
    assert ask(guard, "POST", "/api/stop", cookie=cookie, **headers)[0] == 403
    assert inner.reached == 0


def test_our_own_page_does(guard: Guard, inner: Inner, cookie: str) -> None:
    assert ask(guard, "POST", "/api/stop", cookie=cookie, origin=OWN, sec_fetch_site="same-origin")[0] == 200
    assert ask(guard, "PUT", "/api/stop", cookie=cookie, origin=OWN)[0] == 403


def test_no_other_page_reads_anything(guard: Guard, inner: Inner, cookie: str) -> None:
    for site in ("cross-site", "same-site"):
        assert ask(guard, path="/api/runs", cookie=cookie, sec_fetch_site=site)[0] == 403
    assert ask(guard, path="/api/runs", cookie=cookie, sec_fetch_site="same-origin")[0] == 200


def test_over_tls_the_cookie_stays_there(inner: Inner) -> None:
    guard = Guard(inner, hosts=["pi:443"], scheme="https", port=443)
    assert ask(guard, query=f"token={guard.token}", host="pi:443")[1]["set-cookie"].endswith("; Secure")
