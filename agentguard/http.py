"""Response headers that make browsers refuse what nobody asked for, and who the client of a request is.

``add_security_headers`` works on any object with headers (Flask, Django, Starlette, a plain mapping); the ASGI and WSGI
middleware does it for every response, and names the client's address to the audit log. After the OWASP HTTP headers
cheat sheet, CSP level 3, RFC 6797 (HSTS) and RFC 7239 (``Forwarded``).

* What the application set stays, however its name is spelt; ``frame-ancestors`` follows an ``X-Frame-Options`` of its.
* ``Strict-Transport-Security`` goes out over HTTPS only (RFC 6797 section 7.2), never where the scheme is unknown.
* ``X-XSS-Protection`` is not sent: the filter it switched on is gone, and could be turned against a page.
* A forwarded header counts only as far as listed proxies vouch for it; an address nobody vouches for is null.
"""

from __future__ import annotations

import contextvars
import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from agentguard.audit.request import name_peer, request_context
from agentguard.errors import ConfigError

__all__ = [
    "API",
    "PAGE",
    "ClientAddress",
    "SecurityHeaders",
    "SecurityHeadersASGI",
    "SecurityHeadersWSGI",
    "add_security_headers",
    "csp_nonce",
]

R = TypeVar("R")
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
ForwardedHeader: TypeAlias = Literal["x-forwarded-for", "forwarded"]

# A year: what browsers' preload lists ask for at least.
HSTS_SECONDS = 31_536_000
# Proxies in front of one service; a longer list was made to keep us reading.
MAX_HOPS = 32

_POWERFUL = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi",
    "payment", "screen-wake-lock", "usb", "xr-spatial-tracking",
)  # fmt: skip
_NO_FEATURES: Final = ", ".join(f"{name}=()" for name in _POWERFUL)
_NONCE = re.compile(r"[A-Za-z0-9+/_-]{16,256}={0,2}")
_HOST = re.compile(r"\[(?P<v6>[^]]+)\](?::[0-9]{1,5})?|(?P<host>[0-9.]+(?=:[0-9]{1,5}$)|.+)(?::[0-9]{1,5})?")
_HTML = ("text/html", "application/xhtml+xml")
_FRAME_ANCESTORS = {"DENY": "'none'", "SAMEORIGIN": "'self'"}


@dataclass(frozen=True, slots=True)
class SecurityHeaders:
    """Which headers a response gets. Change one with ``dataclasses.replace(PAGE, ...)``; None leaves a header out.

    Args:
        csp: the Content-Security-Policy without ``frame-ancestors``; ``{nonce}`` stands where the nonce source goes.
        frame_ancestors: who may frame the response: ``'none'``, ``'self'`` or origins.
        hsts_seconds: ``max-age`` of HSTS, sent over HTTPS only; 0 tells browsers to forget it.
        cache: for responses that say nothing of caching themselves (no Cache-Control, ETag or Last-Modified).

    Raises:
        ConfigError: a value that is no header value.
    """

    csp: str
    frame_ancestors: str = "'none'"
    referrer_policy: str | None = "no-referrer"
    permissions_policy: str | None = _NO_FEATURES
    opener_policy: str | None = "same-origin"
    resource_policy: str | None = "same-origin"
    hsts_seconds: int | None = HSTS_SECONDS
    hsts_subdomains: bool = True
    cache: str | None = None

    def __post_init__(self) -> None:
        texts = (self.csp, self.frame_ancestors, self.referrer_policy, self.permissions_policy, self.opener_policy)
        for text in (*texts, self.resource_policy, self.cache):
            if text is not None and not (text.isascii() and text.isprintable()):
                raise ConfigError("a header value is one line of printable ASCII; got something else")
        if self.hsts_seconds is not None and (type(self.hsts_seconds) is not int or self.hsts_seconds < 0):
            raise ConfigError(f"got hsts_seconds={self.hsts_seconds!r}; whole seconds from 0, or None, are accepted")

    def missing(self, present: Mapping[str, str], *, https: bool, nonce: str | None) -> list[tuple[str, str]]:
        """The headers to add to a response that has ``present``: names in lower case, with their values."""
        wanted = {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": self._frame_options(present.get("content-security-policy")),
            "Content-Security-Policy": self._csp(present.get("x-frame-options"), nonce),
            "Referrer-Policy": self.referrer_policy,
            "Permissions-Policy": self.permissions_policy,
            "Cross-Origin-Opener-Policy": self.opener_policy,
            "Cross-Origin-Resource-Policy": self.resource_policy,
            "Strict-Transport-Security": self._hsts() if https else None,
            "Cache-Control": None if present.keys() & {"etag", "last-modified", "expires"} else self.cache,
        }
        return [(name, value) for name, value in wanted.items() if value is not None and name.lower() not in present]

    def _csp(self, frame_options: str | None, nonce: str | None) -> str:
        source = "" if nonce is None else f" 'nonce-{_checked_nonce(nonce)}'"
        # Browsers heed frame-ancestors before X-Frame-Options: ours must not overrule what the application set there.
        ancestors = _FRAME_ANCESTORS.get((frame_options or "").strip().upper(), self.frame_ancestors)
        return f"{self.csp.replace(' {nonce}', source).replace('{nonce}', source.strip())}; frame-ancestors {ancestors}"

    def _frame_options(self, csp: str | None) -> str | None:
        """For browsers without frame-ancestors; None where the application's own policy says who may frame."""
        if csp is not None and "frame-ancestors" in csp.lower():
            return None
        return {"'none'": "DENY", "'self'": "SAMEORIGIN"}.get(self.frame_ancestors)

    def _hsts(self) -> str | None:
        if self.hsts_seconds is None:
            return None
        return f"max-age={self.hsts_seconds}" + ("; includeSubDomains" if self.hsts_subdomains else "")


# Answers for programs: nothing in them is to be rendered, framed or kept.
API = SecurityHeaders(csp="default-src 'none'; base-uri 'none'; form-action 'none'", cache="no-store")
# Pages: everything from their own origin, inline scripts and styles by nonce only, no plug-ins.
PAGE = SecurityHeaders(
    csp=(
        "default-src 'self'; script-src 'self' {nonce}; style-src 'self' {nonce}; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'"
    ),
    referrer_policy="strict-origin-when-cross-origin",
)


@dataclass(slots=True)
class _Served:
    """What is known of the request being served. The nonce is made when the page asks for it."""

    https: bool
    nonce: str | None = field(default=None, repr=False)


_served: contextvars.ContextVar[_Served | None] = contextvars.ContextVar("agentguard_http_request", default=None)


def csp_nonce() -> str:
    """The nonce of the page being made, for ``<script nonce=...>``: 128 random bits, the same all through a request.

    Raises:
        ConfigError: no middleware of this module serves the request.
    """
    served = _served.get()
    if served is None:
        raise ConfigError("no request is being served through SecurityHeadersASGI or SecurityHeadersWSGI; add one")
    if served.nonce is None:
        served.nonce = secrets.token_urlsafe(16)
    return served.nonce


def add_security_headers(
    response: R, *, preset: SecurityHeaders | None = None, https: bool | None = None, nonce: str | None = None
) -> R:
    """Add the headers that ``response`` lacks, and return it.

    Args:
        response: an object with ``headers`` (Flask, Django, Starlette, httpx ...), or a mutable mapping of them.
        preset: ``API`` or ``PAGE``, or a changed one; by the response's content type when absent: HTML is a page.
        https: whether it goes out over HTTPS. When absent, what the middleware knows of the request; without it, no.
        nonce: the page's nonce, when it has one; from ``csp_nonce`` when absent.

    Raises:
        ConfigError: the object has no headers, or the nonce is none.
    """
    headers = _headers(response)
    present = {str(name).lower(): str(headers[name]) for name in list(headers.keys())}
    served = _served.get()
    if served is not None:
        https = served.https if https is None else https
        nonce = nonce or served.nonce
    chosen = preset or _preset(present)
    for name, value in chosen.missing(present, https=https is True, nonce=nonce):
        headers[name] = value
    return response


class ClientAddress:
    """Finds the client of a request behind proxies.

    The list in the header is walked from its right end, which the nearest proxy wrote: as long as the address reached
    is a listed proxy, the entry before it is believed. What a client wrote further left is never reached.

    Args:
        trusted_proxies: addresses and networks of your proxies; ``unix`` for a proxy on a Unix socket.
        header: the one header your proxies set. The other is ignored: they would pass on a client's own.

    Raises:
        ConfigError: an entry is neither, or the header is another one.
    """

    def __init__(self, trusted_proxies: Iterable[str] = (), header: ForwardedHeader = "x-forwarded-for") -> None:
        if isinstance(trusted_proxies, str):
            raise ConfigError("trusted_proxies is a list of addresses and networks, got one text")
        if header not in ("x-forwarded-for", "forwarded"):
            raise ConfigError(f"got header={header!r}; 'x-forwarded-for' and 'forwarded' are accepted")
        entries = list(trusted_proxies)
        self._unix = "unix" in entries
        self._networks = tuple(_network(entry) for entry in entries if entry != "unix")
        self._header = header

    def find(self, peer: str | None, headers: Callable[[str], Sequence[str]]) -> str | None:
        """The client's address in its normal form, or None: nobody said, or what was said is no address.

        Args:
            peer: the address the connection came from; None on a Unix socket.
            headers: gives the values of all headers with a (lower-case) name, in order.
        """
        reached = None if peer is None else _address(peer)
        hops = self._hops(headers)[-MAX_HOPS:]
        while hops and self._trusts(reached, on_socket=peer is None):
            reached, peer = _address(hops.pop()), ""
            if reached is None:
                return None
        return None if reached is None else str(reached)

    def https(self, peer: str | None, scheme: str, headers: Callable[[str], Sequence[str]]) -> bool:
        """Whether the client speaks HTTPS: to us, or by the word of a listed proxy to the first of them."""
        if scheme in ("https", "wss"):
            return True
        if not self._trusts(None if peer is None else _address(peer), on_socket=peer is None):
            return False
        if self._header == "forwarded":
            said = [element.get("proto", "") for element in _forwarded(headers("forwarded"))]
        else:
            said = [part for value in headers("x-forwarded-proto") for part in value.split(",")]
        return bool(said) and all(each.strip().lower() == "https" for each in said)

    def _trusts(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, *, on_socket: bool) -> bool:
        if address is None:
            return self._unix and on_socket
        return any(address.version == network.version and address in network for network in self._networks)

    def _hops(self, headers: Callable[[str], Sequence[str]]) -> list[str]:
        if self._header == "forwarded":
            return [element.get("for", "") for element in _forwarded(headers("forwarded"))]
        return [part for value in headers("x-forwarded-for") for part in value.split(",")]


class SecurityHeadersASGI:
    """ASGI middleware: headers on HTTP responses, and the client's address in records. WebSockets pass unchanged.

    Args:
        app: the application.
        preset: as for ``add_security_headers``.
        trusted_proxies, forwarded_header: as for ``ClientAddress``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        preset: SecurityHeaders | None = None,
        trusted_proxies: Iterable[str] = (),
        forwarded_header: ForwardedHeader = "x-forwarded-for",
    ) -> None:
        self._app = app
        self._preset = preset
        self._client = ClientAddress(trusted_proxies, forwarded_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else None
        headers = _asgi_headers(scope)
        served = _Served(self._client.https(peer, scope.get("scheme", "http"), headers))
        token = _served.set(served)
        try:
            with request_context(ip_address=self._client.find(peer, headers)):
                await self._app(scope, receive, self._sender(send, served) if scope["type"] == "http" else send)
        finally:
            _served.reset(token)

    def _sender(self, send: Send, served: _Served) -> Send:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
                chosen = self._preset or _preset(present)
                for name, value in chosen.missing(present, https=served.https, nonce=served.nonce):
                    headers.append((name.lower().encode(), value.encode()))
                message = {**message, "headers": headers}
            await send(message)

        return sending


class SecurityHeadersWSGI:
    """WSGI middleware (PEP 3333): as ``SecurityHeadersASGI``. The body, too, is made with the address known."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        preset: SecurityHeaders | None = None,
        trusted_proxies: Iterable[str] = (),
        forwarded_header: ForwardedHeader = "x-forwarded-for",
    ) -> None:
        self._app = app
        self._preset = preset
        self._client = ClientAddress(trusted_proxies, forwarded_header)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        peer = environ.get("REMOTE_ADDR") or None
        headers = _wsgi_headers(environ)
        served = _Served(self._client.https(peer, environ.get("wsgi.url_scheme", "http"), headers))

        def starting(status: str, found: list[tuple[str, str]], *rest: Any) -> Any:
            present = {name.lower(): value for name, value in found}
            chosen = self._preset or _preset(present)
            added = chosen.missing(present, https=served.https, nonce=served.nonce)
            return start_response(status, [*found, *added], *rest)

        # A context of its own: the server iterates the body after this returned, between other requests.
        context = contextvars.copy_context()
        context.run(_served.set, served)
        context.run(name_peer, ip_address=self._client.find(peer, headers))
        return _Body(context, context.run(self._app, environ, starting))


class _Body:
    """A response body whose parts are made in the context of their request."""

    def __init__(self, context: contextvars.Context, body: Iterable[bytes]) -> None:
        self._context = context
        self._body = body
        self._parts = context.run(iter, body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._context.run(next, self._parts)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            self._context.run(close)


def _preset(present: Mapping[str, str]) -> SecurityHeaders:
    kind = present.get("content-type", "").partition(";")[0].strip().lower()
    return PAGE if kind in _HTML else API


def _headers(response: object) -> MutableMapping[str, str]:
    headers = getattr(response, "headers", response)
    if not (hasattr(headers, "keys") and hasattr(headers, "__getitem__") and hasattr(headers, "__setitem__")):
        raise ConfigError(f"a {type(response).__name__} has no headers that can be set; pass a response or a mapping")
    return cast("MutableMapping[str, str]", headers)


def _checked_nonce(nonce: str) -> str:
    # It stands inside a header: anything else in it could end the directive, or the header.
    if not _NONCE.fullmatch(nonce):
        raise ConfigError("a nonce is at least 16 characters of base64; make one with secrets.token_urlsafe(16)")
    return nonce


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"got the trusted proxy {text!r}; write an address, a network or unix") from error


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """``192.0.2.1``, ``192.0.2.1:4711``, ``[2001:db8::1]``, ``[2001:db8::1]:4711``; None for anything else."""
    found = _HOST.fullmatch(text.strip().strip('"'))
    try:
        # A zone names an interface of whoever wrote it, and may be any text.
        parsed = ipaddress.ip_address((found["v6"] or found["host"]).partition("%")[0] if found else "")
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _forwarded(values: Sequence[str]) -> list[dict[str, str]]:
    """The elements of ``Forwarded`` headers (RFC 7239 section 4); quotes around values are taken off."""
    elements = []
    for element in ",".join(values).split(","):
        pairs = [pair.partition("=") for pair in element.split(";")]
        named = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        # A quoted value that holds a separator was cut here, and a name said twice is nobody's: both tell nothing.
        elements.append(named if element.count('"') % 2 == 0 and len(named) == len(pairs) else {})
    return elements


def _asgi_headers(scope: Scope) -> Callable[[str], Sequence[str]]:
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope.get("headers", ())]
    return lambda wanted: [value for name, value in pairs if name == wanted]


def _wsgi_headers(environ: Mapping[str, Any]) -> Callable[[str], Sequence[str]]:
    def values(wanted: str) -> Sequence[str]:
        found = environ.get("HTTP_" + wanted.upper().replace("-", "_"))
        return [] if found is None else [found]

    return values
