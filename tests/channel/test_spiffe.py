"""SPIFFE IDs: what is one, what is none, and which agent it names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.channel import SpiffeId
from agentguard.errors import IdentityError

SEGMENT = st.text("abcXYZ019._-", min_size=1, max_size=20).filter(lambda text: text not in (".", ".."))
IDS = st.builds(
    lambda domain, segments: f"spiffe://{domain}/{'/'.join(segments)}",
    st.text("abc019._-", min_size=1, max_size=30),
    st.lists(SEGMENT, min_size=1, max_size=5),
)


@given(IDS)
def test_an_id_reads_back_as_it_was_written(text: str) -> None:
    assert str(SpiffeId.parse(text)) == text


@given(st.text() | IDS.map(lambda text: text + "\n") | st.builds(lambda a, b: a + b, IDS, st.text(min_size=1)))
def test_anything_else_is_an_identity_error_or_reads_back_whole(text: str) -> None:
    """No text is folded, cut or decoded into an ID that it is not."""
    try:
        found = SpiffeId.parse(text)
    except IdentityError:
        return
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("spiffe://", id="no-domain"),
        pytest.param("spiffe://example.org", id="a-trust-domain-alone"),
        pytest.param("spiffe://example.org/", id="empty-path"),
        pytest.param("spiffe://example.org/agent/", id="empty-segment-at-the-end"),
        pytest.param("spiffe://example.org//agent", id="empty-segment"),
        pytest.param("spiffe://example.org/agent/..", id="dots"),
        pytest.param("spiffe://example.org/./agent", id="dot"),
        pytest.param("SPIFFE://example.org/agent/x", id="upper-case-scheme"),
        pytest.param("spiffe://Example.org/agent/x", id="upper-case-domain"),
        pytest.param("spiffe://user@example.org/agent/x", id="user"),
        pytest.param("spiffe://example.org:8443/agent/x", id="port"),
        pytest.param("spiffe://example.org/agent/x?a=b", id="query"),
        pytest.param("spiffe://example.org/agent/x#a", id="fragment"),
        pytest.param("spiffe://example.org/agent/%78", id="percent-encoded"),
        pytest.param("spiffe://exämple.org/agent/x", id="not-ascii-domain"),
        pytest.param("spiffe://example.org/agent/\u0430", id="look-alike-letter"),
        pytest.param("spiffe://example.org/agent/x\n", id="line-end"),
        pytest.param("spiffe://example.org/agent/x\0", id="nul"),
        pytest.param("https://example.org/agent/x", id="other-scheme"),
        pytest.param(f"spiffe://{'a' * 256}/agent/x", id="domain-too-long"),
        pytest.param(f"spiffe://example.org/{'a' * 2048}", id="too-long"),
    ],
)
def test_what_is_no_spiffe_id_is_refused(text: str) -> None:
    with pytest.raises(IdentityError) as error:
        SpiffeId.parse(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("spiffe://example.org/agent/researcher", "researcher"),
        ("spiffe://example.org/agent/researcher/2", "researcher"),
        ("spiffe://example.org/researcher", "/researcher"),
        ("spiffe://example.org/agent", "/agent"),
        ("spiffe://example.org/agent/a/b/c", "/agent/a/b/c"),
        ("spiffe://cluster.local/ns/default/sa/researcher", "/ns/default/sa/researcher"),
    ],
)
def test_only_an_agents_path_names_an_agent(text: str, agent: str) -> None:
    """A mesh's identity keeps its whole path, which no agent name can equal."""
    assert SpiffeId.parse(text).agent == agent


def test_an_agents_id_is_built_from_names_that_are_one_segment() -> None:
    assert str(SpiffeId.of_agent("example.org", "researcher", "2")) == "spiffe://example.org/agent/researcher/2"
    with pytest.raises(IdentityError):
        SpiffeId.of_agent("example.org", "researcher/../ca")
