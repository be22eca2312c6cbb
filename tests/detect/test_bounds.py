"""What every part of the text engine holds for any input: bounded, never raising, never telling what it found."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard import AgentMessage, Event, Guard, Message, ModelInput, ModelOutput, ToolCall, ToolResult
from agentguard.conversation import Conversation
from agentguard.decision import Verdict
from agentguard.detect import Content, ContentRules, OutputSecurityFilter, PromptSecurityValidator, Size, StreamRedactor
from agentguard.detect.markup import inspect_markup
from agentguard.detect.pseudonym import Tokens
from agentguard.detect.recognizers import LIMIT, RecognizerSet, engine, pii, scan, secrets
from agentguard.detect.redaction import redact
from agentguard.detect.registered import RegisteredSecrets
from agentguard.testing import RecordingSink

BOTH = frozenset({"secret", "pii"})
ALL = [*secrets().recognizers, *pii().recognizers]
TEN_MB = 10_000_000

JUNK = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.text(st.characters(categories=["Cs", "Cc", "Cf", "Co", "Mn"]), max_size=20),
        st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")),
        st.sampled_from(
            ["\x00", "\ud800", "\udfff", "\x00" * 300, "\ufeff", "<", "](", "&#", "%", "password: \x00\ud800x"]
        ),
    ),
    max_size=12,
).map("".join)

READERS: dict[str, Callable[[str], object]] = {
    "scan": scan,
    "redact": lambda text: redact(text, BOTH),
    "registered": RegisteredSecrets(["correct-horse", "\ud800staple"]).scan,
    "tokens": Tokens(b"k" * 32).find,
    "markup": lambda text: inspect_markup(text, hosts=frozenset()),
    "validate": PromptSecurityValidator().validate_prompt,
    "sanitize": PromptSecurityValidator().sanitize_prompt,
    "filter": OutputSecurityFilter().filter_output,
    "safety": OutputSecurityFilter().validate_output_safety,
    "content": lambda text: Content(ContentRules()).inspect(ToolResult("t", {}, text), Conversation()),
    "answer": lambda text: Content(ContentRules()).inspect(ModelOutput(Message("assistant", text)), Conversation()),
    "stream": lambda text: list(StreamRedactor(markup="strip", unicode="strip").iterate(text)),
}


@pytest.mark.parametrize("reader", list(READERS))
@settings(max_examples=60, deadline=None)
@given(text=JUNK)
def test_no_text_is_too_broken_to_be_read(reader: str, text: str) -> None:
    READERS[reader](text)


def test_a_text_beyond_what_is_read_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(self: RecognizerSet, text: str) -> list[int]:
        raise AssertionError("the text was read")

    monkeypatch.setattr(RecognizerSet, "_occurring", looked)

    assert [match.type for match in scan("a" * (engine.MAX_SCANNED + 1))] == [LIMIT]
    assert redact("a" * (engine.MAX_SCANNED + 1), BOTH) == "[redacted:unscanned]"


@pytest.mark.parametrize(
    "event",
    [
        ToolResult("t", {}, "a" * TEN_MB),
        ToolCall("t", {"x": ["a" * TEN_MB]}),
        ModelInput((Message("user", "a" * TEN_MB),)),
        ModelOutput(Message("assistant", "\x00" * TEN_MB)),
        AgentMessage("a", "b", "t", "\ud800" * TEN_MB),
    ],
    ids=lambda event: type(event).__name__,
)
def test_ten_megabytes_are_refused_before_anything_reads_them(event: Event) -> None:
    guard = Guard(stages=[Size(), _Never()], audit=RecordingSink())

    assert guard.check(event).reason == "too-large"


class _Never:
    name = "never"
    blocking = False

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        raise AssertionError("a later stage ran")


# -- nothing tells what was found --------------------------------------------------------------------------------------


class _Breaking:
    """An operator that breaks over every value, as careless code of an application may."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def at(self, run: Conversation) -> _Breaking:
        return self

    scope = ()

    def spans(self, text: str) -> tuple[tuple[int, int], ...]:
        return ()

    def __call__(self, type_: str, value: str) -> str:
        self.seen.append(value)
        raise RuntimeError("broken")


def _told(guard: Guard, event: Event, caplog: pytest.LogCaptureFixture) -> str:
    """Everything that anybody may print of a decision, but for the event itself."""
    decision = guard.check(event)
    cause = "".join(traceback.format_exception(decision.cause)) if decision.cause else ""
    return "\n".join(
        [decision.message, decision.reason, repr(decision.findings), repr(decision.rules), cause, repr(decision.cause)]
        + [record.getMessage() + str(record.exc_info) for record in caplog.records]
    )


@pytest.mark.parametrize("recognizer", [r for r in ALL if r.examples()], ids=lambda r: r.rule)
def test_no_finding_exception_or_log_line_holds_the_value(recognizer: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rules = ContentRules(redact_results=BOTH)
    breaking = _Breaking()
    guards = [
        Guard(stages=[Content(rules)], audit=RecordingSink()),
        Guard(stages=[Content(rules, breaking)], audit=RecordingSink()),  # type: ignore[arg-type]
    ]
    for example in recognizer.examples():  # type: ignore[attr-defined]
        text = f"see {example} there"
        values = {text[m.start : m.end] for m in scan(text)}

        told = "\n".join(_told(guard, ToolResult("t", {}, text), caplog) for guard in guards)
        told += repr(scan(text)) + str(OutputSecurityFilter().validate_output_safety(text))
        told += str(PromptSecurityValidator(max_length=5).validate_prompt(text))
        told += repr(PromptSecurityValidator().inspect(text))

        assert values
        assert [value for value in {*values, *breaking.seen} if len(value) > 3 and value in told] == []


def test_registered_secrets_are_told_by_nobody(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RE2 would print a pattern that it cannot hold; the pattern is the secrets."""
    from agentguard.detect import registered
    from agentguard.errors import ConfigError

    monkeypatch.setattr(registered, "PATTERN_MEMORY", 1000)
    known = [f"correct-horse-{index:06d}" for index in range(200)]

    with pytest.raises(ConfigError) as raised:
        RegisteredSecrets(known)

    told = "".join(traceback.format_exception(raised.value)) + capfd.readouterr().err + caplog.text
    assert "correct-horse-0" not in told
    assert raised.value.__cause__ is None
