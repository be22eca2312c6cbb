"""A client's session whose every request and answer passes the guard, for ``mcp`` 1.x and 2.x.

Results are a server's, so they are untrusted unless the policy says otherwise. A refused tool call never reaches the
server and is answered with an error result; whatever else is refused raises ``Denied``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from mcp import types
from pydantic import TypeAdapter

from agentguard import AdapterError, Conversation, Denied, Guard, Json, current_conversation
from agentguard.adapter import Gate

from .link import FRAMEWORK, Link
from .messages import CALL, Fault, Object, words
from .proxy import MAX_PAGES, REFUSED
from .versions import is_second_generation, warn_untested

__all__ = ["guarded_session"]

S = TypeVar("S")
_GUARD = "_agentguard_guard"
# Where a session keeps what answers a server's own requests, in both generations of the library.
_ANSWERERS = {
    "_sampling_callback": "sampling/createMessage",
    "_elicitation_callback": "elicitation/create",
    "_list_roots_callback": "roots/list",
}
_LOG = "notifications/message"


def guarded_session(session: S, guard: Guard, *, agent: str | None = None, prefix: str = "") -> S:
    """Guard ``session`` in place and give it back. Guarding twice with one guard is guarding once.

    Args:
        session: a ``ClientSession``, or an entered ``Client`` of ``mcp`` 2.x.
        guard: decides.
        agent: the policy's name of who calls, where no conversation is open.
        prefix: put before the server's names to make the policy's, as in ``files.``.

    Raises:
        AdapterError: it is no session that can be guarded.
    """
    warn_untested()
    inner: Any = getattr(session, "session", session)
    if not all(hasattr(inner, name) for name in ("send_request", "call_tool", "_logging_callback", *_ANSWERERS)):
        raise AdapterError(f"a {type(session).__name__} is no client session that can be guarded")
    known = getattr(inner, _GUARD, None)
    if known is guard:
        return session
    if known is not None:
        raise AdapterError("another guard guards this session already")
    _Guarded(inner, Gate(guard, agent), prefix).attach()
    setattr(inner, _GUARD, guard)
    return session


class _Guarded:
    def __init__(self, session: Any, gate: Gate, prefix: str) -> None:
        self._session = session
        self._raw = session.send_request
        self._link = Link(gate, prefix=prefix, source=self._definitions)
        # Where the application opens none, the calls of one session are one conversation.
        self._own = Conversation(principal=gate.principal(), framework=FRAMEWORK)

    def attach(self) -> None:
        """Put the guard between the session and the server, in both directions."""
        self._session.send_request = self.request
        for name, method in _ANSWERERS.items():
            answer = getattr(self._session, name)
            # The library's own refuses, and by being there tells the server that nobody answers.
            if getattr(answer, "__name__", "") != f"_default{name}":
                setattr(self._session, name, self._answerer(answer, method))
        self._session._logging_callback = self._logger(self._session._logging_callback)

    def _run(self) -> Conversation:
        return current_conversation() or self._own

    async def request(self, request: Any, result_type: Any, *rest: Any, **options: Any) -> Any:
        """As ``send_request`` of the session."""
        data = _dumped(request)
        method, before = str(data["method"]), cast(Object, data.get("params") or {})
        answers: list[Any] = []

        async def send(params: Object) -> Object:
            ready = request if params == before else type(request).model_validate({**data, "params": params})
            try:
                answers.append(await self._raw(ready, result_type, *rest, **options))
            except _error_type() as error:
                answers.append(error)
                raise Fault(_dumped(error.error)) from None
            return _dumped(answers[-1])

        try:
            result = await self._link.request(method, before, send, self._run())
        except Fault as fault:
            raise _error(fault) from None
        if answers and result == _dumped(answers[-1]):
            return answers[-1]
        if method == CALL:
            return types.CallToolResult.model_validate(result)
        if isinstance(result_type, TypeAdapter):
            return result_type.validate_python(result)
        return result_type.model_validate(result)

    async def _definitions(self) -> list[Json]:
        """Every tool of the server, page by page, asked past the guard: it looks at them one by one."""
        tools: list[Json] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            request: Any = types.ListToolsRequest(method="tools/list", params=params)
            if not is_second_generation():
                request = types.ClientRequest(request)  # type: ignore[operator,unused-ignore]  # a model of 1.x
            try:
                page = _dumped(await self._raw(request, types.ListToolsResult))
            except _error_type() as error:
                raise Fault(_dumped(error.error)) from None
            tools.extend(cast(list[Json], page.get("tools") or []))
            cursor = cast("str | None", page.get("nextCursor"))
            if not cursor:
                break
        return tools

    def _answerer(self, answer: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def guarded(context: Any, *params: Any) -> Any:
            answers: list[Any] = []

            async def send(ready: Object) -> Object:
                checked = [type(each).model_validate(ready) for each in params]
                answers.append(await answer(context, *checked))
                if isinstance(answers[0], types.ErrorData):
                    raise Fault(_dumped(answers[0]))
                return _dumped(answers[0])

            asked = _dumped(params[0]) if params else {}
            try:
                result = await self._link.reverse(method, asked, send, self._run())
            except Denied as refusal:
                return types.ErrorData(code=REFUSED, message=words(refusal))
            except Fault as fault:
                return types.ErrorData.model_validate(fault.error)
            return answers[0] if result == _dumped(answers[0]) else type(answers[0]).model_validate(result)

        return guarded

    def _logger(self, log: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def guarded(params: Any) -> None:
            passed = await self._link.notification(_LOG, _dumped(params), self._run(), from_server=True)
            if passed is not None:
                await log(type(params).model_validate(passed))

        return guarded


def _error_type() -> Any:
    from mcp.shared import exceptions

    return exceptions.MCPError if is_second_generation() else exceptions.McpError  # type: ignore[attr-defined,unused-ignore]


def _error(fault: Fault) -> Exception:
    kind, data = _error_type(), types.ErrorData.model_validate(fault.error)
    return cast(Exception, kind.from_error_data(data) if is_second_generation() else kind(data))


def _dumped(model: Any) -> Object:
    return cast(Object, model.model_dump(by_alias=True, mode="json", exclude_none=True))
