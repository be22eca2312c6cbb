"""Recognizers: each finds its own examples whole, refuses look-alikes, and never crosses a line."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.detect.recognizers import LIMIT, Recognizer, RecognizerSet, engine, national, pii, scan, secrets
from agentguard.detect.recognizers.assignments import ASSIGNMENTS
from agentguard.detect.recognizers.formats import ALPHABETS, FORMATS, sample

ALL = [*secrets().recognizers, *pii().recognizers]


def _set_of(recognizer: Recognizer) -> RecognizerSet:
    return secrets() if recognizer.type.startswith("secret.") else pii()


@pytest.mark.parametrize("recognizer", [r for r in ALL if r.examples()], ids=lambda r: r.rule)
def test_own_examples_are_found(recognizer: Recognizer) -> None:
    for example in recognizer.examples():
        assert recognizer.rule in {m.rule for m in _set_of(recognizer).scan(f"see {example} there")}, example


@pytest.mark.parametrize("recognizer", [r for r in ALL if r.negatives()], ids=lambda r: r.rule)
def test_own_look_alikes_are_refused(recognizer: Recognizer) -> None:
    for negative in recognizer.negatives():
        assert recognizer.rule not in {m.rule for m in _set_of(recognizer).scan(f"see {negative} there")}, negative


def test_at_least_two_hundred_secret_formats_and_numbers_of_twenty_five_countries() -> None:
    assert len({(f.provider, f.name) for f in FORMATS}) >= 200
    assert len({r.type.removeprefix("pii.")[:2] for r in national.RECOGNIZERS}) >= 25


def test_every_recognizer_has_a_rule_of_its_own_and_an_example() -> None:
    assert len({r.rule for r in ALL}) == len(ALL)
    assert [r.rule for r in ALL if not r.examples() and r not in ASSIGNMENTS] == []


@pytest.mark.parametrize("recognizer", [r for r in ALL if r.trigger], ids=lambda r: r.rule)
def test_a_trigger_occurs_wherever_the_pattern_does(recognizer: Recognizer) -> None:
    for example in recognizer.examples():
        text = f"see {example} there"
        if re2.search(recognizer.pattern, text):
            assert re2.search(recognizer.trigger, text), example


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('{"password": "hun ter2!", "x": 1}', "hun ter2!", id="json-with-space"),
        pytest.param('"password": "x"', "x", id="json-one-character"),
        pytest.param("password: hunter2\nnext: 1", "hunter2", id="yaml"),
        pytest.param("PASSWORD=letmein", "letmein", id="env"),
        pytest.param("password = 'it\\'s+/=secret'", "it\\'s+/=secret", id="code-escaped-quote"),
        pytest.param("<password>s3cr3t</password>", "s3cr3t", id="xml"),
        pytest.param("mysql --password hunter22 -u x", "hunter22", id="shell-option"),
        pytest.param("api_key=abcd1234efgh5678+/==", "abcd1234efgh5678+/==", id="value-with-plus-slash-equals"),
        pytest.param("Authorization: Bearer eyJab1.c+/=~x next", "eyJab1.c+/=~x", id="bearer"),
        pytest.param("redis://:p4ss!w0rd@cache:6379/0", "p4ss!w0rd", id="url-password"),
        pytest.param("//r/:_authToken=ft8z14w2oqj8u1", "ft8z14w2oqj8u1", id="value-that-begins-like-a-string-prefix"),
        pytest.param('{\\"password\\": \\"hunter2!\\"}', "hunter2!", id="json-in-a-string"),
        pytest.param(
            "<apiToken>\n    ab12cd34ef56gh78\n</apiToken>", "ab12cd34ef56gh78", id="xml-value-on-its-own-line"
        ),
        pytest.param("curl -u app:s3cr3t-9 https://x", "app:s3cr3t-9", id="curl-user"),
        pytest.param("db_pass: m{{h}o)p${e]no", "m{{h}o)p${e]no", id="bare-value-with-brackets"),
        pytest.param("[db]\npassword = hunter22\n", "hunter22", id="ini"),
        pytest.param('password = "hunter22"', "hunter22", id="toml"),
        pytest.param('setProperty("SONAR_TOKEN", "ab12cd34ef56gh78ij90")', "ab12cd34ef56gh78ij90", id="call"),
        pytest.param("https://h/?access_token=ab12cd34ef56gh78&x=1", "ab12cd34ef56gh78", id="url-query"),
        pytest.param("X-Api-Key: ab12cd34ef56gh78", "ab12cd34ef56gh78", id="http-header"),
        pytest.param(
            "gh" + "p_\u200b" + sample(ALPHABETS["a"], 36),
            "gh" + "p_\u200b" + sample(ALPHABETS["a"], 36),
            id="zero-width-split-token",
        ),
    ],
)
def test_the_whole_value_and_nothing_else(text: str, value: str) -> None:
    matches = secrets().scan(text)

    assert [text[m.start : m.end] for m in matches] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "author: John Smith",
        "authors = ['a', 'b']",
        "login(user, password=password)",
        "password = os.environ['DB_PASSWORD']",
        "password: ${DB_PASSWORD}",
        'password = "changeme"',
        '"password": "Enter your password"',
        "max_tokens: 100000",
        "token = tokenizer.encode(text)",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "meeting at 10:30, room 4-12-7, ratio 1:2:3",
        "version 1.2.3.4 of the library",
        "columns = ['username', 'password', 'properties']",
        "password_reset_template = 'auth/password_reset/form.html'",
        "curl -u $USER:$PASSWORD https://internal",
        "docker run -u 1000:1000 image",
        'password = "somefakekey"',
        'password = ",.:-*?!"',
        "aws_access_key_id: AKIA" + "X" * 16,
        "released on 2024-03-08 04:11",
        "nlp = sequence[3:15], loss 180.48 (290.454)",
    ],
)
def test_honest_text_is_left_alone(text: str) -> None:
    assert scan(text) == ()


def test_full_width_at_sign_is_an_address() -> None:
    assert [m.type for m in pii().scan("write to jane＠example．com")] == ["pii.email"]


def test_lone_surrogates_keep_offsets() -> None:
    text = "\ud800 mail jane@example.com \udfff"

    (match,) = pii().scan(text)

    assert text[match.start : match.end] == "jane@example.com"


def test_offsets_are_code_points_not_bytes() -> None:
    text = "日本語 🎉 jane@example.com"

    (match,) = pii().scan(text)

    assert text[match.start : match.end] == "jane@example.com"


def test_too_many_matches_are_one_limit_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_MATCHES", 5)

    assert [m.type for m in pii().scan("a1@b.co " * 6)] == [LIMIT]


def test_a_crowd_is_refused_before_any_of_it_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(value: str, before: str) -> int:
        raise AssertionError("a candidate was judged")

    crowd = Recognizer("pii.x", "x", "x[0-9]", validator=judged, most=3)

    assert [m.type for m in RecognizerSet([crowd]).scan("x1 " * 4)] == [LIMIT]
    monkeypatch.setattr(engine, "MAX_CANDIDATES", 2)
    assert [m.type for m in RecognizerSet([crowd]).scan("x1 " * 3)] == [LIMIT]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("aé日🎉 \u200b0123456789@.\n"), max_size=60))
def test_places_are_code_points_whatever_stands_before(text: str) -> None:
    whole = f"{text} jane@example.com {text}"

    assert whole.index("jane@") in {m.start for m in pii().scan(whole)}


@pytest.mark.parametrize(
    "unit", ["a@", "eyJaaaaaa.", "password=", "1 ", "::", "-----BEGIN PRIVATE KEY-----", "http://a:", "a@b.co "]
)
def test_crafted_text_costs_searches_in_proportion_to_its_length(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    """Counts searches, not time: beyond one linear pass each hit costs one more search."""
    searches = 0
    candidates = RecognizerSet._candidates

    def counted(self: RecognizerSet, index: int, body: engine._Body) -> list[tuple[int, int]]:
        nonlocal searches
        found = candidates(self, index, body)
        searches += 1 + len(found)
        return found

    monkeypatch.setattr(RecognizerSet, "_candidates", counted)
    scan(unit * (2000 // len(unit)))
    half = searches
    scan(unit * (4000 // len(unit)))

    assert searches - half <= 2 * half + 16
