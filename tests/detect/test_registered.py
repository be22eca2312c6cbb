"""Secrets the application names: found in every form, and honest text is left alone."""

from __future__ import annotations

import base64
import html
import itertools
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.detect.recognizers.engine import LIMIT, MAX_MATCHES
from agentguard.detect.redaction import redact
from agentguard.detect.registered import MAX_GAP, RegisteredSecrets
from agentguard.detect.stream import StreamRedactor

SECRET = "Tr0ub4dor&3-horse/staple"
KNOWN = RegisteredSecrets([SECRET])
NONE: frozenset[str] = frozenset()

FORMS: dict[str, Callable[[str], str]] = {
    "verbatim": lambda v: v,
    "upper": str.upper,
    "reversed": lambda v: v[::-1],
    "hex": lambda v: v.encode().hex(),
    "hex-upper": lambda v: v.encode().hex().upper(),
    "hex-colons": lambda v: v.encode().hex(":"),
    "hex-escapes": lambda v: "".join(f"\\x{b:02x}" for b in v.encode()),
    "hex-array": lambda v: ", ".join(f"0x{b:02X}" for b in v.encode()),
    "unicode-escapes": lambda v: "".join(f"\\u{ord(c):04x}" for c in v),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64-second-alignment": lambda v: base64.b64encode(b"x" + v.encode() + b"yz").decode(),
    "base64-third-alignment": lambda v: base64.b64encode(b"xy" + v.encode() + b"z").decode(),
    "base64-url": lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
    "base64-lines": lambda v: base64.encodebytes(b"p" * 50 + v.encode()).decode(),
    "percent": lambda v: quote(v, safe=""),
    "percent-all": lambda v: "".join(f"%{b:02X}" for b in v.encode()),
    "percent-twice": lambda v: quote(quote(v, safe=""), safe=""),
    "percent-of-base64": lambda v: quote(base64.b64encode(v.encode()).decode(), safe=""),
    "entities": html.escape,
    "entities-decimal": lambda v: "".join(f"&#{ord(c)};" for c in v),
    "entities-hex": lambda v: "".join(f"&#x{ord(c):X};" for c in v),
    "json": lambda v: json.dumps(v),
    "spaced": " ".join,
    "hyphens": "-".join,
    "lines": "\n".join,
    "zero-width": "\u200b".join,
    "array": lambda v: json.dumps(list(v)),
    "halves": lambda v: f'"{v[:9]}" + "{v[9:]}"',
    "halves-over-lines": lambda v: f"{v[:9]}\r\n  {v[9:]}",
    "hex-spaced": lambda v: " ".join(v.encode().hex()),
    "base64-zero-width": lambda v: "\u200d".join(base64.b64encode(v.encode()).decode()),
}
# A value of few letters is found whole, with every character apart, and encoded.
SHORT_FORMS = {"spaced", "hyphens", "lines", "zero-width", "array", "verbatim", "upper", "reversed"}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("secret", [SECRET, "correcthorse1", "pässwörd-ünïcode"])
def test_a_value_is_found_in_every_form(form: str, secret: str) -> None:
    if form == "upper" and not secret.isascii():
        pytest.skip("only ASCII letters are compared in any case")
    text = f"so it is {FORMS[form](secret)}, and more"

    out = redact(text, NONE, RegisteredSecrets([secret]))

    assert out.startswith("so it is ")
    assert out.endswith(" more")
    assert "[redacted:secret.registered]" in out
    if form != "base64-lines":
        assert len(out) <= len("so it is , and more") + 3 * len("[redacted:secret.registered]") + 8


@pytest.mark.parametrize("form", sorted(SHORT_FORMS | {f for f in FORMS if f.startswith(("base64", "hex", "perc"))}))
def test_a_short_value_is_found_too(form: str) -> None:
    text = f"so it is {FORMS[form]('hun3er')} and more"

    assert RegisteredSecrets(["hun3er"]).scan(text)


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        pytest.param("hunter", "the hunt, err: hunt\nerrors", id="a-short-value-across-words"),
        pytest.param("hunter", "hun - ter", id="a-short-value-in-halves"),
        pytest.param("ab", "ab ab", id="too-short-to-register"),
        pytest.param(SECRET, f"Tr0ub4dor&3{' ' * (MAX_GAP + 1)}horse staple", id="far-apart"),
        pytest.param("abcdefghijklm", "abcdefghijkl n", id="nearly"),
        pytest.param("drawer-", "reward", id="reversed-without-its-mark"),
    ],
)  # fmt: skip
def test_honest_text_is_left_alone(secret: str, text: str) -> None:
    assert RegisteredSecrets([secret]).scan(text) == ()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=400))
def test_random_text_holds_no_registered_value(text: str) -> None:
    assert KNOWN.scan(text) == ()


def test_overlapping_values_leave_no_tail() -> None:
    known = RegisteredSecrets(["abcdefghijkl", "ghijklmnopqr", "mnopqrstuvwx"])

    assert redact("abcdefghijklmnopqrstuvwx", NONE, known) == "[redacted:secret.registered]"


def test_a_crowd_of_matches_is_a_limit() -> None:
    known = RegisteredSecrets(["a" * 12])

    assert [m.type for m in known.scan("a" * (MAX_MATCHES + 100))] == [LIMIT]


def test_many_values_are_one_search() -> None:
    values = [f"secret-{i * 7919:08d}-value" for i in range(3000)]

    assert len(RegisteredSecrets(values).scan(f"x {values[2999]} y {values[0][::-1]}")) == 2


PIECES = st.one_of(
    st.sampled_from(sorted(FORMS)).map(lambda name: FORMS[name](SECRET)),
    st.sampled_from(sorted(SHORT_FORMS)).map(lambda name: FORMS[name]("hun3er")),
    st.tuples(st.sampled_from(sorted(FORMS)), st.integers(1, 60)).map(lambda t: FORMS[t[0]](SECRET)[: t[1]]),
    st.sampled_from(
        [" ", "\n", "&", "%4", "&#1", "\\u00", "word ", "the quick brown fox jumps over it ", "=", "A", "-"]
    ),
    st.text(max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join), st.lists(st.integers(0, 3000), max_size=10))
def test_a_stream_finds_what_the_whole_text_holds(text: str, cuts: list[int]) -> None:
    values = [SECRET, "hun3er"]
    stream = StreamRedactor(NONE, registered=values, hold_back=100_000)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]

    out = "".join(stream.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + stream.flush()

    assert out == redact(text, NONE, RegisteredSecrets(values))


def test_a_stream_with_registered_values_still_goes_on_word_by_word() -> None:
    stream = StreamRedactor(registered=[SECRET])

    assert len(stream.feed("word " * 200)) > 700
