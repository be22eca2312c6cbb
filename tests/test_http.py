"""Security headers and the client's address: on real Flask, Django and Starlette responses, and behind proxies."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from agentguard import AuditEventType, ConfigError, SecurityAuditLogger, add_security_headers, csp_nonce, http
from agentguard.audit.request import current_peer
from agentguard.http import API, PAGE, ClientAddress, SecurityHeaders, SecurityHeadersASGI, SecurityHeadersWSGI

ALWAYS = {
    "x-content-type-options",
    "x-frame-options",
    "content-security-policy",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
}


def _names(response: Any) -> set[str]:
    return {str(name).lower() for name in response.headers.keys()}  # noqa: SIM118  # werkzeug iterates over pairs


def _flask(html: bool) -> Any:
    import flask

    return flask.Response("<p>", mimetype="text/html") if html else flask.Response("{}", mimetype="application/json")


def _django(html: bool) -> Any:
    from django.conf import settings

    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8")
    from django.http import HttpResponse

    return HttpResponse("<p>", content_type="text/html" if html else "application/json")


def _starlette(html: bool) -> Any:
    return HTMLResponse("<p>") if html else JSONResponse({})


FRAMEWORKS = pytest.mark.parametrize(
    "make",
    [
        pytest.param(_flask, id="flask"),
        pytest.param(_django, id="django"),
        pytest.param(_starlette, id="starlette"),
    ],
)


@FRAMEWORKS
@pytest.mark.parametrize("html", [True, False], ids=["page", "api"])
def test_every_framework_gets_every_header(make: Callable[[bool], Any], html: bool) -> None:
    """The same object comes back, by its content type a page or an answer for programs."""
    response = make(html)

    assert add_security_headers(response, https=True) is response

    assert _names(response) >= {*ALWAYS, "strict-transport-security"}
    csp = response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in csp
    assert csp.startswith("default-src 'self'" if html else "default-src 'none'")
    assert (response.headers.get("Cache-Control") == "no-store") is not html


@FRAMEWORKS
def test_peers_headers_obsolete_filter_is_never_sent(make: Callable[[bool], Any]) -> None:
    assert "x-xss-protection" not in _names(add_security_headers(make(True), https=True))


@FRAMEWORKS
@pytest.mark.parametrize("https", [False, None], ids=["plain", "unknown"])
def test_peers_headers_hsts_never_goes_out_over_plain_http(make: Callable[[bool], Any], https: bool | None) -> None:
    """RFC 6797 section 7.2; where nobody said which scheme it is, it is not HTTPS."""
    assert "strict-transport-security" not in _names(add_security_headers(make(True), https=https))


@FRAMEWORKS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-security-policy", "default-src cdn.example"),
        ("STRICT-TRANSPORT-SECURITY", "max-age=0"),
        ("X-FRAME-Options", "SAMEORIGIN"),
        ("referrer-policy", "origin"),
        ("cache-control", "public, max-age=60"),
        ("cross-origin-RESOURCE-policy", "cross-origin"),
    ],
)
def test_peers_headers_what_the_application_set_stays(make: Callable[[bool], Any], name: str, value: str) -> None:
    """Whatever the case of the name, and once."""
    response = make(False)
    response.headers[name] = value

    add_security_headers(response, https=True)

    assert response.headers[name] == value
    assert sorted(str(each).lower() for each in response.headers.keys()).count(name.lower()) == 1  # noqa: SIM118


def test_a_plain_mapping_of_headers_is_enough() -> None:
    """A mapping that tells upper from lower case is not given a second spelling."""
    headers = {"CONTENT-SECURITY-POLICY": "default-src x", "Content-Type": "text/html"}

    add_security_headers(headers)

    assert [name for name in headers if name.lower() == "content-security-policy"] == ["CONTENT-SECURITY-POLICY"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("thing", [object(), "text", 5, None, [("A", "b")]])
def test_what_has_no_headers_is_refused(thing: object) -> None:
    with pytest.raises(ConfigError, match="headers"):
        add_security_headers(thing)


@pytest.mark.parametrize(
    ("set_by_application", "expected"),
    [
        pytest.param({"X-Frame-Options": "sameorigin"}, "frame-ancestors 'self'", id="sameorigin"),
        pytest.param({"x-frame-options": "DENY"}, "frame-ancestors 'none'", id="deny"),
        pytest.param({}, "frame-ancestors 'none'", id="nothing"),
    ],
)
def test_frame_ancestors_follow_what_the_application_said_of_frames(
    set_by_application: dict[str, str], expected: str
) -> None:
    """Browsers heed frame-ancestors first: ours must not overrule an application that lets itself be framed."""
    assert expected in add_security_headers(dict(set_by_application))["Content-Security-Policy"]


def test_frame_options_are_left_out_where_the_applications_policy_names_ancestors() -> None:
    headers = add_security_headers({"Content-Security-Policy": "frame-ancestors https://portal.example"})

    assert "X-Frame-Options" not in headers


@pytest.mark.parametrize("name", ["ETag", "Last-Modified", "Expires"])
def test_what_is_made_to_be_cached_stays_cacheable(name: str) -> None:
    assert "Cache-Control" not in add_security_headers({name: "x"})


@pytest.mark.parametrize(
    "nonce",
    ["short", "a" * 300, "abcdefghijklmnopqrst'; script-src *", "abcdefghijklmnop\r\nSet-Cookie: a=b", "é" * 20],
)
def test_a_nonce_cannot_end_the_directive_or_the_header(nonce: str) -> None:
    with pytest.raises(ConfigError, match="nonce"):
        add_security_headers({}, preset=PAGE, nonce=nonce)


@pytest.mark.parametrize("field", ["csp", "frame_ancestors", "referrer_policy", "permissions_policy", "cache"])
def test_a_preset_holds_header_values_only(field: str) -> None:
    with pytest.raises(ConfigError, match="header value"):
        dataclasses.replace(PAGE, **{field: "a\r\nSet-Cookie: b=c"})  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1, 1.5, True])
def test_hsts_seconds_are_whole(seconds: Any) -> None:
    with pytest.raises(ConfigError, match="hsts_seconds"):
        dataclasses.replace(PAGE, hsts_seconds=seconds)


def test_a_preset_can_be_changed() -> None:
    """None leaves a header out; the nonce goes where the policy says."""
    own = SecurityHeaders(
        csp="script-src {nonce}", frame_ancestors="https://a.example", opener_policy=None, hsts_seconds=60,
        hsts_subdomains=False,
    )  # fmt: skip

    headers: dict[str, str] = add_security_headers({}, preset=own, https=True, nonce="n" * 22)

    assert headers["Content-Security-Policy"] == f"script-src 'nonce-{'n' * 22}'; frame-ancestors https://a.example"
    assert headers["Strict-Transport-Security"] == "max-age=60"
    assert not {"X-Frame-Options", "Cross-Origin-Opener-Policy"} & headers.keys()


def test_a_nonce_without_a_request_is_refused() -> None:
    with pytest.raises(ConfigError, match="no request"):
        csp_nonce()


# -- middleware ------------------------------------------------------------------------------------------------------


def _asgi_app(seen: list[str | None]) -> Starlette:
    async def page(_request: Any) -> Response:
        return HTMLResponse(f'<script nonce="{csp_nonce()}{""}">{csp_nonce()}</script>')

    def in_a_thread(_request: Any) -> Response:
        seen.append(current_peer().ip_address)
        return JSONResponse({})

    async def stream(_request: Any) -> Response:
        async def parts() -> Any:
            seen.append(current_peer().ip_address)
            yield b"x"

        return StreamingResponse(parts(), media_type="text/plain", headers={"X-FRAME-OPTIONS": "SAMEORIGIN"})

    async def talk(socket: WebSocket) -> None:
        seen.append(current_peer().ip_address)
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    routes = [Route("/page", page), Route("/thread", in_a_thread), Route("/stream", stream)]
    return Starlette(routes=[*routes, WebSocketRoute("/talk", talk)])


def _wsgi_app(seen: list[str | None]) -> Any:
    import flask

    app = flask.Flask("t")

    @app.get("/page")
    def page() -> Any:
        return f'<script nonce="{csp_nonce()}">{csp_nonce()}</script>'

    @app.get("/thread")
    def thread() -> Any:
        seen.append(current_peer().ip_address)
        return {}

    @app.get("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            seen.append(current_peer().ip_address)
            yield "x"

        return flask.Response(parts(), mimetype="text/plain", headers={"X-FRAME-OPTIONS": "SAMEORIGIN"})

    return app


@contextmanager
def _client(kind: str, seen: list[str | None], *, https: bool = True, peer: str = "10.0.0.1", **options: Any) -> Any:
    """Something with ``get(path, headers)`` that answers (status, headers, text)."""
    scheme = "https" if https else "http"
    if kind == "asgi":
        app = SecurityHeadersASGI(_asgi_app(seen), **options)
        with TestClient(app, base_url=f"{scheme}://t.example", client=(peer, 1)) as client:

            def get(path: str, headers: dict[str, str] | None = None) -> Any:
                found = client.get(path, headers=headers or {})
                return found.status_code, {k.lower(): v for k, v in found.headers.items()}, found.text

            yield get
        return
    flask_app = _wsgi_app(seen)
    flask_app.wsgi_app = SecurityHeadersWSGI(flask_app.wsgi_app, **options)
    flask_client = flask_app.test_client()

    def get_flask(path: str, headers: dict[str, str] | None = None) -> Any:
        found = flask_client.get(
            path, headers=headers or {}, base_url=f"{scheme}://t.example", environ_base={"REMOTE_ADDR": peer}
        )
        return found.status_code, {k.lower(): v for k, v in found.headers.items()}, found.get_data(as_text=True)

    yield get_flask


KINDS = pytest.mark.parametrize("kind", ["asgi", "wsgi"])


@KINDS
def test_middleware_gives_a_page_its_own_nonce_each_time(kind: str) -> None:
    """The nonce in the page is the one in the header, and no two requests share one."""
    nonces = set()
    with _client(kind, []) as get:
        for _ in range(3):
            status, headers, text = get("/page")
            shown, again = re.findall(r'nonce="([^"]+)">([^<]+)<', text)[0]
            assert (status, shown) == (200, again)
            assert f"script-src 'self' 'nonce-{shown}'" in headers["content-security-policy"]
            nonces.add(shown)

    assert len(nonces) == 3


@KINDS
def test_middleware_sends_hsts_over_https_only(kind: str) -> None:
    with _client(kind, [], https=True) as get:
        assert "strict-transport-security" in get("/thread")[1]
    with _client(kind, [], https=False) as get:
        _, headers, _ = get("/thread")

    assert "strict-transport-security" not in headers
    assert headers.keys() >= ALWAYS


@KINDS
def test_middleware_answers_for_errors_too(kind: str) -> None:
    with _client(kind, []) as get:
        status, headers, _ = get("/absent")

    assert status == 404
    assert headers.keys() >= ALWAYS


@KINDS
def test_middleware_keeps_what_the_application_set(kind: str) -> None:
    with _client(kind, []) as get:
        _, headers, text = get("/stream")

    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert text == "x"


@KINDS
@pytest.mark.parametrize("path", ["/thread", "/stream"])
def test_records_made_during_a_request_carry_the_clients_address(kind: str, path: str) -> None:
    """In a worker thread and in a streamed body as well; after the request nobody is named."""
    seen: list[str | None] = []
    with _client(kind, seen, peer="198.51.100.7") as get:
        get(path)

    assert seen == ["198.51.100.7"]
    assert current_peer().ip_address is None


def test_web_sockets_pass_unchanged_with_the_address_known() -> None:
    seen: list[str | None] = []
    with (
        TestClient(SecurityHeadersASGI(_asgi_app(seen)), client=("198.51.100.7", 1)) as client,
        client.websocket_connect("/talk") as socket,
    ):
        socket.send_text("echo")
        assert socket.receive_text() == "echo"

    assert seen == ["198.51.100.7"]


def test_lifespan_passes_through() -> None:
    started = []

    @contextmanager
    def noted() -> Iterator[None]:
        started.append(True)
        yield

    async def lifespan(_app: Any) -> Any:
        with noted():
            yield

    from contextlib import asynccontextmanager

    with TestClient(SecurityHeadersASGI(Starlette(lifespan=asynccontextmanager(lifespan)))):
        pass

    assert started == [True]


def test_the_audit_log_holds_the_address(tmp_path: Path) -> None:
    """End to end: the record of an application event made in a request."""
    logger = SecurityAuditLogger(tmp_path / "log.db")

    async def login(_request: Any) -> Response:
        await logger.alog_event(AuditEventType.LOGIN, "ann", {})
        return JSONResponse({})

    app = SecurityHeadersASGI(Starlette(routes=[Route("/login", login)]), trusted_proxies=["10.0.0.0/8"])
    with TestClient(app, client=("10.0.0.1", 1)) as client:
        client.get("/login", headers={"X-Forwarded-For": "6.6.6.6, 198.51.100.7"})
    (event,) = logger.query_logs({"user_id": "ann"})
    logger.close()

    assert event["ip_address"] == "198.51.100.7"


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "client"),
    [
        pytest.param([], "198.51.100.7", None, "198.51.100.7", id="no-proxy"),
        pytest.param([], "198.51.100.7", "1.1.1.1", "198.51.100.7", id="nobody-is-trusted"),
        pytest.param(["10.0.0.0/8"], "198.51.100.7", "1.1.1.1", "198.51.100.7", id="peer-is-no-listed-proxy"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "198.51.100.7", "198.51.100.7", id="one-proxy"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7", id="clients-own-entry"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "6.6.6.6,198.51.100.7,10.2.3.4", "198.51.100.7", id="two-proxies"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "10.9.9.9, 10.2.3.4", "10.9.9.9", id="client-inside"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", None, "10.0.0.1", id="proxy-itself"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "unknown", None, id="proxy-says-unknown"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, <script>", None, id="no-address"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "", None, id="empty"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "198.51.100.7:4711", "198.51.100.7", id="with-port"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "[2001:DB8::1]:4711", "2001:db8::1", id="v6-with-port"),
        pytest.param(["10.0.0.0/8"], "10.0.0.1", "fe80::1%<b>", "fe80::1", id="zone-is-any-text"),
        pytest.param(["10.0.0.0/8"], "::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7", id="mapped-peer"),
        pytest.param(["2001:db8::/32"], "2001:db8::9", "198.51.100.7", "198.51.100.7", id="v6-proxy"),
        pytest.param(["unix"], None, "198.51.100.7", "198.51.100.7", id="unix-socket"),
        pytest.param([], None, "198.51.100.7", None, id="unix-socket-not-listed"),
        pytest.param(["unix"], None, None, None, id="unix-socket-says-nothing"),
        pytest.param(["10.0.0.0/8"], "testclient", "1.1.1.1", None, id="peer-is-no-address"),
    ],
)
def test_the_client_is_found_from_the_right(
    proxies: list[str], peer: str | None, forwarded: str | None, client: str | None
) -> None:
    """A forwarded header from listed proxies only; absent is null, never invented."""
    found = ClientAddress(proxies).find(peer, lambda _name: [] if forwarded is None else [forwarded])

    assert found == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        pytest.param("for=198.51.100.7;proto=https;by=10.0.0.1", "198.51.100.7", id="plain"),
        pytest.param('for=6.6.6.6, For="[2001:db8::1]:80"', "2001:db8::1", id="quoted-v6"),
        pytest.param('for="6.6.6.6, for=198.51.100.7', "198.51.100.7", id="open-quote-swallows-nothing"),
        pytest.param("for=_hidden", None, id="obfuscated"),
        pytest.param("proto=https", None, id="says-nothing-of-the-client"),
    ],
)
def test_the_standard_header_is_read_when_chosen(value: str, client: str | None) -> None:
    """RFC 7239; the other header is then not looked at, a client could have sent it."""
    headers = {"forwarded": [value], "x-forwarded-for": ["9.9.9.9"]}

    assert ClientAddress(["10.0.0.1"], "forwarded").find("10.0.0.1", headers.__getitem__) == client


@pytest.mark.parametrize(
    ("peer", "scheme", "said", "https"),
    [
        ("10.0.0.1", "https", [], True),
        ("10.0.0.1", "http", ["https"], True),
        ("10.0.0.1", "http", ["http"], False),
        ("10.0.0.1", "http", [], False),
        ("10.0.0.1", "http", ["https, http"], False),
        ("10.0.0.1", "http", ["https", "http"], False),
        ("198.51.100.7", "http", ["https"], False),
    ],
)
def test_https_is_believed_of_listed_proxies_only(peer: str, scheme: str, said: list[str], https: bool) -> None:
    client = ClientAddress(["10.0.0.1"])

    assert client.https(peer, scheme, lambda name: said if name == "x-forwarded-proto" else []) is https


@pytest.mark.parametrize("bad", ["proxy.example", "10.0.0.0/99", "", "*"])
def test_a_proxy_is_an_address_or_a_network(bad: str) -> None:
    with pytest.raises(ConfigError, match="trusted proxy"):
        ClientAddress([bad])


def test_one_text_is_no_list_of_proxies() -> None:
    with pytest.raises(ConfigError, match="list"):
        ClientAddress("10.0.0.1")


def test_another_header_is_refused() -> None:
    with pytest.raises(ConfigError, match="header"):
        ClientAddress([], "x-real-ip")  # type: ignore[arg-type]


@given(values=st.lists(st.text(max_size=60), max_size=5), peer=st.sampled_from(["10.0.0.1", "198.51.100.7", None]))
def test_whatever_a_client_sends_the_address_is_one_or_null(values: list[str], peer: str | None) -> None:
    """Never raises, never another text; and without a listed proxy in between never what the header says."""
    for header in ("x-forwarded-for", "forwarded"):
        found = ClientAddress(["10.0.0.0/8", "unix"], header).find(peer, lambda _name: values)

        assert found is None or str(ipaddress.ip_address(found)) == found
        if peer == "198.51.100.7":
            assert found == peer


@given(
    spoofed=st.lists(st.ip_addresses(v=4).map(str), max_size=6),
    client=st.ip_addresses(v=4, network="198.51.100.0/24").map(str),
    hops=st.lists(st.ip_addresses(v=4, network="10.0.0.0/8").map(str), max_size=4),
)
def test_no_entry_that_a_client_adds_changes_what_is_found(spoofed: list[str], client: str, hops: list[str]) -> None:
    line = ", ".join([*spoofed, client, *hops])

    assert ClientAddress(["10.0.0.0/8"]).find("10.0.0.1", lambda _name: [line]) == client


def test_no_framework_is_imported() -> None:
    """The middleware is plain ASGI and WSGI."""
    import subprocess

    script = "import agentguard.http, sys; print({'flask', 'django', 'starlette', 'werkzeug'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
    assert http.API is API
