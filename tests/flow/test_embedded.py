"""Targets inside bodies of text, plain and disguised."""

from __future__ import annotations

import re
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.flow import embedded as module
from agentguard.flow.embedded import EXCESS, embedded


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("See https://a.example/x).", [("link", "https://a.example/x")]),
        ("Wiki: https://en.example/wiki/A_(b).", [("link", "https://en.example/wiki/A_(b)")]),
        ("go to evil.com/y today", [("link", "evil.com/y")]),
        ("www.foo.bar", [("link", "www.foo.bar")]),
        ("<https://auto.example>", [("link", "https://auto.example")]),
        ("![x](https://img.example/p?d=1)", [("link", "https://img.example/p?d=1")]),
        ("[x](//evil.test/p)", [("link", "//evil.test/p")]),
        ("<img src='https://q.example?a=1'>", [("link", "https://q.example?a=1")]),
        ("<a href=//q.example/z>", [("link", "//q.example/z")]),
        ("[1]: //ref.example/z", [("link", "//ref.example/z")]),
        ("hxxps://evil[.]com/a", [("link", "https://evil.com/a")]),
        ("ht\u200btps://evil.example", [("link", "https://evil.example")]),
        ("ｈｔｔｐｓ：／／ｅｖｉｌ．ｅｘａｍｐｌｅ", [("link", "https://evil.example")]),
        ("javascript:alert(1)", [("link", "javascript:alert(1)")]),
        ("open \\\\host\\share\\x", [("link", "\\\\host\\share\\x")]),
        ("10.0.0.1/x", [("link", "10.0.0.1/x")]),
        ("mail bob@corp.com.", [("email", "bob@corp.com")]),
        ("mailto:bob@corp.com?subject=x", [("email", "bob@corp.com")]),
        ("bob [at] corp (dot) com", [("email", "bob@corp.com")]),
        ("bob @ corp.com", [("email", "bob@corp.com")]),
        ("bob @corp.com", [("email", "bob@corp.com")]),
        ("evil。com/x", [("link", "evil.com/x")]),
        ("bob at corp dot com", [("email", "bob@corp.com")]),
        ("bo\u200bb@x.io", [("email", "bob@x.io")]),
        ("ｂｏｂ＠ｘ．com", [("email", "bob@x.com")]),
        ("a&#64;b.com", [("email", "a@b.com")]),
        ("IBAN DE89 3704 0044 0532 0130 00 please", [("iban", "DE89370400440532013000")]),
        ("gb29nwbk60161331926819", [("iban", "GB29NWBK60161331926819")]),
        ("call +49 30 1234567", [("phone", "+49301234567")]),
        ("(555) 123-4567", [("phone", "5551234567")]),
        ("tel:+15551234567", [("phone", "+15551234567")]),
        ("account no. 12345678", [("account", "12345678")]),
        ("4111 1111 1111 1111", [("card", "4111111111111111")]),
        (
            "0x52908400098527886E0F7030069857D2E4169EE7",
            [("crypto", "0x52908400098527886E0F7030069857D2E4169EE7")],
        ),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", [("crypto", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq")]),
    ],
)
def test_a_target_is_found_as_its_reader_would_follow_it(text: str, found: list[tuple[str, str]]) -> None:
    items = [(item.kind, item.value) for item in embedded(text)]

    assert set(found) <= set(items)


@pytest.mark.parametrize(
    "text",
    [
        "The end.It was good, e.g. this, i.e. that.",
        "Read notes.md and main.py, then v1.2.3.",
        "On 2026-11-25 10:00 we sold 3.5 tons for 1,250.00.",
        "Dear Bob, thanks a lot & see you at 5.",
        "Ticket 4711, room 12.",
        "Thanks to a patch by @someone, fixed 3 May 2020 @ 0915 hours.",
        "有 17\u00a0786\u00a0419 人。根据条约",
        "See level=logging.INFO and docs.md#part, number 0001067983.",
        "Die Lichtmaschinenkommutatoren.",
        "",
    ],
)
def test_prose_holds_no_target(text: str) -> None:
    assert list(embedded(text)) == []


def test_too_many_is_said() -> None:
    items = list(embedded(" ".join(f"https://h{number}.example/" for number in range(50)), limit=10))

    assert [item.kind for item in items].count(EXCESS) == 1
    assert items[-1].kind == EXCESS
    assert len(items) == 11


@given(st.text(max_size=400))
def test_any_text_is_read_and_spans_lie_in_it(text: str) -> None:
    for item in embedded(text):
        assert 0 <= item.span.start <= item.span.end <= len(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_surroundings_hide_no_link(before: str, after: str) -> None:
    values = [item.value for item in embedded(f"{before}\n https://evil.example/x \n{after}")]

    assert "https://evil.example/x" in values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('<a href="https://ev\nil.example/x">here</a>', "https://evil.example/x", id="line-feed-in-a-link"),
        pytest.param('<a href="ht\r\ntps://ev\til.example/x">', "https://evil.example/x", id="tab-and-break-in-a-link"),
        pytest.param("<img src='//e\nvil.example/p'>", "//evil.example/p", id="break-in-an-image"),
        pytest.param("eve(the desk)@evil.example", "eve@evil.example", id="comment-before-the-at"),
        pytest.param("eve@(the desk)evil.example", "eve@evil.example", id="comment-behind-the-at"),
        pytest.param("eve<!-- desk -->@evil.example", "eve@evil.example", id="html-comment"),
        pytest.param("e<b>v</b>e@ev<wbr>il.example", "eve@evil.example", id="tags-inside-an-address"),
        pytest.param("https://ev<!---->il.example/x", "https://evil.example/x", id="html-comment-in-a-link"),
        pytest.param("see evil.blackfriday now", "evil.blackfriday", id="rare-top-level"),
        pytest.param("see evil.versicherung", "evil.versicherung", id="german-top-level"),
    ],
)
def test_what_a_renderer_joins_is_found_joined(text: str, value: str) -> None:
    assert value in [item.value for item in embedded(text)]


@pytest.mark.parametrize("text", ["Call file.read() and data.map(x).", "a < b (c) and d > e", 'x = "a\nb" (see 2)'])
def test_code_holds_no_target(text: str) -> None:
    assert list(embedded(text)) == []


PIECES = [
    "evil", "com", "example", ".", " . ", " dot ", " at ", "[at]", "(dot)", "@", "http", "hxxp", ":", "//", "\\\\",
    "&#46;", "\u200b", "\uff0e", "1", "86.40", "555", "-", "\n", "\t", " ", "\u00a0", "www.", "DE89370400440532013000",
    "bc1", "url(", "](", "=", 'href="', "<b>", "<!--", "-->", "\u0661", "0x" + "a" * 40, "tel", "10.0.0.1", "xn--a",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=80))
@settings(max_examples=400)
def test_a_search_that_is_left_out_would_have_found_nothing(text: str) -> None:
    """Searches are skipped where the marks they need are missing; with all of them the same is found."""
    found = list(embedded(text))

    with patch.multiple(
        module,
        _possible=lambda text: list(module._DISGUISES),
        _digits=lambda text: 1_000,
        _host_matches=module._HOST.finditer,
        SHORTEST_COIN=0,
        _SCHEME_MARK=re.compile(""),
        _SPACED_DOT_MARK=re.compile(""),
        _IP_MARK=re.compile(""),
    ):
        assert list(embedded(text)) == found
