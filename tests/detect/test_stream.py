"""Streams: any chunking redacts as the whole text does, and little waits."""

from __future__ import annotations

import codecs
import itertools
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.conversation import Conversation
from agentguard.decision import Effect
from agentguard.detect.content import Content, ContentRules
from agentguard.detect.markup import inspect_markup
from agentguard.detect.recognizers import pii, secrets
from agentguard.detect.redaction import redact
from agentguard.detect.stream import StreamRedactor
from agentguard.errors import ConfigError
from agentguard.event import Message, ModelOutput

BOTH = frozenset({"secret", "pii"})
EXAMPLES = [example for r in (*secrets().recognizers, *pii().recognizers) for example in r.examples()]
ASSIGNMENTS = [
    '"password": "x y"',
    "password: hunter2",
    "API_KEY=abcd1234efgh5678",
    "<token>abc123def456gh</token>",
    "curl -u a:b1b1b1b1",
]
PARTS = st.one_of(
    st.sampled_from([*EXAMPLES, *ASSIGNMENTS]),
    st.sampled_from(
        [
            " ",
            "\n",
            "Phone:\n",
            "<apiToken>\n  ",
            ":\r\n",
            ">\u200b\n",
            '"',
            ". ",
            "\u200b",
            "日本",
            "password is ",
            "the quick brown fox jumps ",
            "Bearer ",
        ]
    ),
    st.sampled_from(EXAMPLES).flatmap(lambda e: st.integers(0, len(e)).map(lambda i: e[:i] + "\n" + e[i:])),
    st.text(max_size=8),
)


def stream(text: str, cuts: list[int], **settings: object) -> str:
    redactor = StreamRedactor(**settings)  # type: ignore[arg-type]
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return "".join(redactor.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + redactor.flush()


def any_chunking_equals_redacting_the_whole(text: str, cuts: list[int]) -> None:
    assert stream(text, cuts, hold_back=100_000) == redact(text, BOTH)


TEXTS = st.lists(PARTS, max_size=12).map("".join)
CUTS = st.lists(st.integers(0, 5000), max_size=12)
test_any_chunking_equals_redacting_the_whole = settings(max_examples=250, deadline=None)(
    given(TEXTS, CUTS)(any_chunking_equals_redacting_the_whole)
)
test_any_chunking_of_twenty_thousand_texts = pytest.mark.long(
    settings(max_examples=20_000, deadline=None)(given(TEXTS, CUTS)(any_chunking_equals_redacting_the_whole))
)


# -- with markup and invisible characters ------------------------------------------------------------------------------

# fmt: off
MARKUP = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>", "<img src=x onerror=y>", "<a href='java&#115;cript:x'>", "<b>bold</b>",
            "a < b",
            "<a title='>' onclick=x>", "<im\u200bg src=x onerror=y>", "<ifr\u200bame src=//e.example>",
            "<!-- c -->", "<",
            "![a](https://e.example/x?q=1)", "[docs](https://docs.example/page)",
            "[x](\n https://e.example/" + "a" * 50 + ")",
            "[1]", "![chart][1]", "![", "[see ", "\n\n", "\n[1]: https://e.example/?q=" + "b" * 60 + "\n",
            "[", "]", "](", "(", ")", "!",
            "=\n",
            "javascript:alert(1)", "j a v a s c r i p t", ":x", "&#58;x", "%3ax", "java", "<https://e.example>",
            "<data:x>",
            "\n```\n", "\n~~~\n", "`<script>`", "`", "```python\nx = '<script>'\n```\n", "\n", " ", ". ", '"', "'", ">",
            "The quick brown fox jumps over the lazy dog and goes on and on until the line is long enough to go ",
            "\u200b", "\u200d", "\u200e", "\u05d0\u05d1", "\u0645\u06cc\u200c\u062e\u0648",
            "\U0001f469\u200d\U0001f4bb",
            "\ufe0f",
            "\u0301" * 33, "\U000e0041\U000e0042", "\x07", "jane@example.com", "<token>\nabc123def456gh\n",
            "| a | b |\n|---|\n",
        ]
    ),
    st.sampled_from([*EXAMPLES, *ASSIGNMENTS]),
    st.text(max_size=6),
)
# fmt: on
ANSWERS = st.lists(MARKUP, max_size=14).map("".join)


def treated(text: str, markup: str) -> str | None:
    """What the stages make of the whole answer; None when they refuse it."""
    rules = ContentRules(markup=markup, hosts=frozenset())  # type: ignore[arg-type]
    verdict = Content(rules).inspect(ModelOutput(Message("assistant", text)), Conversation())
    if verdict.effect is Effect.DENY:
        return None
    return verdict.obligations[0].text if verdict.obligations else text


def let_go(text: str, cuts: list[int], markup: str) -> tuple[str, StreamRedactor]:
    redactor = StreamRedactor(markup=markup, hosts=frozenset(), unicode="strip", overflow="wait")  # type: ignore[arg-type]
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return "".join(redactor.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + redactor.flush(), redactor


def any_chunking_of_an_answer_is_the_treated_whole(text: str, cuts: list[int]) -> None:
    assert let_go(text, cuts, "strip")[0] == treated(text, "strip")
    out, redactor = let_go(text, cuts, "block")
    whole = treated(text, "block")
    if whole is None:
        assert redactor.stopped
        assert inspect_markup(out, hosts=frozenset(), exempt_code=False) == () or "`" in out
        assert (treated(text, "strip") or "").startswith(out)
    elif redactor.stopped:
        assert whole.startswith(out)
    else:
        assert whole == out


test_any_chunking_of_an_answer_is_the_treated_whole = settings(max_examples=300, deadline=None)(
    given(ANSWERS, CUTS)(any_chunking_of_an_answer_is_the_treated_whole)
)
test_any_chunking_of_twenty_thousand_answers = pytest.mark.long(
    settings(max_examples=20_000, deadline=None)(given(ANSWERS, CUTS)(any_chunking_of_an_answer_is_the_treated_whole))
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "text",
    [
        "ok\n![a\nb](https://evil.example/?q=1)\nmore\n",
        "ok\n![a\nb]\nno link\n\n[see\nthis](https://e.example/" + "a" * 60 + ")\n",
        "ok\n[see ![x\ny](https://evil.example/?q=1)\n",
        "ok\n[x](\nhttps://e.example/" + "a" * 60 + ")\nmore\n",
        "![ok](/x)\nthen more](https://evil.example/?q=1)\nend\n",
        "ok\n<img\nsrc=x\nonerror=y>\nmore\n",
        "ok\n<a title='\n>'\nonclick=x>\nmore\n",
        "if a <b and c\nthen more\n<i>x</i>\n",
        "ok\nj a v a\ns c r i p t:x()\nmore\n",
        "ok\n```\n<script>a()</script>\nx\n```\nmore\n<b>x</b>\n",
        "ok\n```\n<script>a()</script>\nx\n",
        "![chart][1] as\nshown\n\n[1]: https://evil.example/x.png\nend\n",
        f"![{'long ' * 300}][1]\nas shown\n\n[1]: https://evil.example/x.png\nend\n",
        "![1]\nas shown\n\n[1]: https://evil.example/x.png\nend\n",
        "ok\n~~~\n`<b onclick=x>`\n~~~\n`a` <b onclick=x>\n",
        "a\u200b\n<ifr\u200bame\nsrc=//e.example>\nmore\n",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 a\u200eb \u200f\u05d0\n" * 3,
    ],
)
def test_what_goes_over_lines_in_pieces_of_every_size(text: str, size: int) -> None:
    any_chunking_of_an_answer_is_the_treated_whole(text, list(range(0, len(text), size)))


@settings(max_examples=100, deadline=None)
@given(TEXTS, CUTS)
def test_bytes_cut_inside_a_character_redact_as_the_whole(text: str, cuts: list[int]) -> None:
    raw = text.encode("utf-8", "replace")
    decoder = codecs.getincrementaldecoder("utf-8")()
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    chunks = [decoder.decode(raw[a:b]) for a, b in itertools.pairwise(edges)]

    out = "".join(StreamRedactor(hold_back=100_000).iterate(chunks))

    assert out == redact(raw.decode(), BOTH)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["to", "body", "password", "api_key", "note"]), TEXTS, max_size=3), CUTS)
def test_deltas_of_json_arguments_redact_as_the_whole(arguments: dict[str, str], cuts: list[int]) -> None:
    text = json.dumps(arguments)

    assert stream(text, cuts, hold_back=100_000) == redact(text, BOTH)


@pytest.mark.parametrize("label", ["Phone:", "<apiToken>", "<apiToken>\u200b ", "Phone：\r"])
def test_a_line_that_announces_a_value_waits_for_the_next(label: str) -> None:
    redactor = StreamRedactor()

    assert redactor.feed(f"first\n{label}\n") == "first\n"
    assert redactor.feed("ab12cd34ef56gh78\nnext").startswith(label)


def test_the_value_behind_a_withheld_label_never_leaks() -> None:
    redactor = StreamRedactor(hold_back=256)

    out = redactor.feed('{"k": 1}' * 100) + redactor.feed("<apiToken>") + redactor.feed("\nab12cd34ef56gh78\nnext\n")

    assert out == "[redacted:unscanned]\nnext\n"


async def test_an_asynchronous_stream_is_redacted_and_flushed_when_it_breaks() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "mail jane@exam"
        yield "ple.com"
        raise ConnectionError

    out: list[str] = []

    async def read() -> None:
        async for piece in StreamRedactor().aiterate(broken()):
            out.append(piece)

    with pytest.raises(ConnectionError):
        await read()

    assert "".join(out) == "mail [redacted:pii.email]"


def test_a_synchronous_stream_is_flushed_when_it_breaks() -> None:
    def broken() -> Iterator[str]:
        yield "mail jane@example.com"
        raise ConnectionError

    out: list[str] = []
    with pytest.raises(ConnectionError):
        out.extend(StreamRedactor().iterate(broken()))

    assert "".join(out) == "mail [redacted:pii.email]"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e[:12].strip())
def test_one_character_at_a_time_leaks_nothing(example: str) -> None:
    text = (
        f"Here is a long enough sentence of plain words that goes on and on before the value: {example} and after.\nEnd"
    )

    assert stream(text, list(range(len(text))), hold_back=100_000) == redact(text, BOTH)


def test_registered_secrets_split_over_chunks() -> None:
    out = stream("the code is alpha-bravo-charlie now", list(range(35)), registered=["alpha-bravo-charlie"])

    assert out == "the code is [redacted:secret.registered] now"


def test_plain_prose_goes_on_after_a_line_or_so_of_words() -> None:
    redactor = StreamRedactor()
    text = "word " * 200

    out = redactor.feed(text)

    assert len(text) - len(out) <= 200


def test_whole_lines_go_on_at_once() -> None:
    redactor = StreamRedactor()

    assert redactor.feed("a: 1\nb") == "a: 1\n"
    assert redactor.flush() == "b"


def test_a_line_beyond_the_bound_is_withheld_to_its_end() -> None:
    redactor = StreamRedactor(hold_back=256)

    out = "".join(redactor.feed('{"k": 1}') for _ in range(100)) + redactor.feed('"password": "hunter2"}\nnext\n')

    assert out == "[redacted:unscanned]\nnext\n"


def test_a_key_block_beyond_the_bound_never_leaks_a_line() -> None:
    mark = "-" * 5
    block = f"{mark}BEGIN PRIVATE KEY{mark}\n" + "QUJD\n" * 500 + f"{mark}END PRIVATE KEY{mark}\ndone\n"
    redactor = StreamRedactor(hold_back=256)

    out = "".join(redactor.feed(block[i : i + 7]) for i in range(0, len(block), 7)) + redactor.flush()

    assert "QUJD" not in out
    assert out.endswith("\ndone\n")


@pytest.mark.parametrize("settings_", [{"classes": ["keys"]}, {"hold_back": 10}])
def test_a_wrong_setting_is_refused(settings_: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        StreamRedactor(**settings_)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(st.lists(ANSWERS, min_size=2, max_size=6), st.integers(1, 20))
def test_streams_that_arrive_at_the_same_time_do_not_meet(answers: list[str], size: int) -> None:
    streams = [
        StreamRedactor(markup="strip", hosts=frozenset(), unicode="strip", overflow="wait") for _ in answers
    ]  # fmt: skip
    outs = [""] * len(answers)
    for at in range(0, max(map(len, answers)), size):
        for index, answer in enumerate(answers):
            outs[index] += streams[index].feed(answer[at : at + size])

    assert [out + each.flush() for out, each in zip(outs, streams, strict=True)] == [
        treated(answer, "strip") for answer in answers
    ]


@settings(max_examples=50, deadline=None)
@given(ANSWERS, st.integers(1, 9))
def test_no_more_than_the_bound_waits(text: str, size: int) -> None:
    redactor = StreamRedactor(hold_back=256, markup="strip", hosts=frozenset(), unicode="strip")
    for at in range(0, len(text), size):
        redactor.feed(text[at : at + size])
        assert len(redactor._pending) + redactor._unveiler.waiting <= 256 + size + 200

    redactor.flush()


def test_a_line_beyond_the_bound_waits_where_the_whole_is_checked_later() -> None:
    text = "first\n" + '{"k": 1}' * 1000 + ' "password": "hunter2"\nlast\n'
    redactor = StreamRedactor(overflow="wait")

    early = "".join(redactor.feed(text[at : at + 7]) for at in range(0, len(text), 7))

    assert early.startswith("first\n")
    assert early + redactor.flush() == redact(text, BOTH)


def test_invisible_characters_that_block_stop_the_stream() -> None:
    redactor = StreamRedactor(unicode="block")

    out = redactor.feed("fine\n") + redactor.feed("hid\u200bden" + " words" * 30 + "\n") + redactor.flush()

    assert (out, redactor.stopped) == ("fine\n", True)
