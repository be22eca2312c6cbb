"""Pins: one hash a definition, whatever its keys' order and escapes; any word changed is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.conversation import Conversation
from agentguard.decision import Effect
from agentguard.errors import PolicyError
from agentguard.event import ModelInput, Principal, ToolCall
from agentguard.policy import Pins, Policy, pin_of

DEFINITION: dict[str, Any] = {
    "name": "search",
    "title": "Search",
    "description": "Searches the caf\u00e9's books.",
    "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"default": None}}},
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}
RUN = Principal("assistant")


def _policy(pin: str, *, mode: str = "enforce") -> Policy:
    return Policy.parse(f"version: 1\ntools: {{search: {{side_effect: read, mode: {mode}, pin: '{pin}'}}}}\n")


def _offer(definition: dict[str, Any]) -> ModelInput:
    return ModelInput((), (definition,), is_call=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_order_and_escapes_do_not_matter(definition: dict[str, Any]) -> None:
    """What is read back from any writing of the definition has its pin."""
    escaped = json.loads(json.dumps(_reversed(definition), ensure_ascii=True))

    assert pin_of(escaped) == pin_of(definition)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.update(description="Searches the cafe's books."), id="a-letter"),
        pytest.param(lambda d: d.update(description=d["description"] + "\u200b"), id="an-invisible-character"),
        pytest.param(lambda d: d.update(description="Searches the cafe\u0301's books."), id="another-normal-form"),
        pytest.param(lambda d: d["inputSchema"]["properties"].update(to={"type": "string"}), id="an-argument-more"),
        pytest.param(lambda d: d["annotations"].update(readOnlyHint=False), id="an-annotation"),
        pytest.param(lambda d: d.update(outputSchema=None), id="no-output-schema"),
        pytest.param(lambda d: d.update(title="Delete"), id="the-title"),
        pytest.param(lambda d: d.update(futureField="obey"), id="a-field-nobody-knows-yet"),
    ],
)
def test_any_change_is_refused_where_it_is_offered_and_where_it_is_called(
    change: Callable[[dict[str, Any]], None],
) -> None:
    """The call too: the model may have read the definition elsewhere."""
    stage, run = Pins(_policy(pin_of(DEFINITION))), Conversation(principal=RUN)
    changed = json.loads(json.dumps(DEFINITION))
    change(changed)

    assert stage.inspect(_offer(DEFINITION), run).effect is Effect.ALLOW
    assert stage.inspect(ToolCall("search", {}), run).effect is Effect.ALLOW
    assert stage.inspect(_offer(changed), run).reason == "tool-changed"
    assert stage.inspect(ToolCall("search", {}), run).reason == "tool-changed"


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({**DEFINITION, "name": "books.search", "_meta": {"x": 1}}, id="prefix-and-meta"),
        pytest.param({**DEFINITION, "icons": None}, id="null-is-absent"),
        pytest.param({**DEFINITION, "annotations": {"title": None, "readOnlyHint": True}}, id="null-annotation"),
    ],
)
def test_what_no_model_reads_is_not_pinned(same: dict[str, Any]) -> None:
    assert pin_of(same) == pin_of(DEFINITION)


def test_a_pinned_tool_that_was_never_shown_is_refused() -> None:
    """A pin that is never compared would protect nothing; a child run may rely on what its parent was shown."""
    stage, run = Pins(_policy(pin_of(DEFINITION))), Conversation(principal=RUN)

    assert stage.inspect(ToolCall("search", {}), run).reason == "tool-unverified"

    stage.inspect(_offer(DEFINITION), run)

    assert stage.inspect(ToolCall("search", {}), Conversation(principal=RUN, parent=run)).effect is Effect.ALLOW
    assert stage.inspect(ToolCall("search", {}), Conversation(principal=RUN)).effect is Effect.DENY


def test_a_tool_that_waits_for_its_pin_is_refused() -> None:
    stage, run = Pins(_policy("required")), Conversation(principal=RUN)

    assert stage.inspect(_offer(DEFINITION), run).reason == "tool-unpinned"
    assert stage.inspect(ToolCall("search", {}), run).reason == "tool-unpinned"


def test_a_tool_in_shadow_is_only_recorded() -> None:
    stage = Pins(_policy("required", mode="shadow"))

    verdict = stage.inspect(_offer(DEFINITION), Conversation(principal=RUN))

    assert (verdict.effect, verdict.shadow) == (Effect.DENY, True)


@pytest.mark.parametrize("pin", ["sha256:abc", "md5:" + "0" * 32, "SHA256:" + "0" * 64, "", "yes"])
def test_what_is_no_pin_is_a_load_error(pin: str) -> None:
    with pytest.raises(PolicyError, match="pin"):
        _policy(pin)
