"""Labels doubted by names, descriptions, types and recorded sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard.policy.label_lint import LABEL_CODES, Sizes, lint_labels
from agentguard.policy.toolspec import Parameter, ToolSpec

ROOT = Path(__file__).resolve().parents[2]


def remarks(
    tool: str, *, spec: ToolSpec | None = None, sizes: Sizes | None = None, more: str = ""
) -> dict[str, tuple[int | None, str]]:
    """Remarks on one tool ``t`` written as a row."""
    text = f"version: 1\ntools:\n  {tool}\n{more}"
    name = tool.partition(":")[0]
    found = lint_labels(text, tools=[spec] if spec else None, sizes={name: sizes} if sizes else None)
    return {remark.code: (remark.line, remark.message) for remark in found}


PROSE = ToolSpec("get_page_text", "Return the text of an article.")


@pytest.mark.parametrize(
    ("tool", "spec", "sizes", "code"),
    [
        pytest.param(
            "lookup: {side_effect: read, output: trusted}", None, Sizes(9, 5000, 9000), "trusted-prose", id="sizes"
        ),
        pytest.param(
            "get_page_text: {side_effect: read, output: trusted}", PROSE, None, "trusted-prose", id="description"
        ),
        pytest.param("t: {side_effect: read, output: trusted, egress: true}", None, None, "trusted-prose", id="egress"),
        pytest.param("get_inbox: {side_effect: read, output: trusted}", None, None, "trusted-prose", id="inbox"),
        pytest.param(
            "t: {side_effect: read, output: trusted}",
            ToolSpec("t", returns={"notes": "string", "id": "integer"}),
            None,
            "trusted-prose",
            id="fields",
        ),
        pytest.param(
            "t: {side_effect: read, output: mixed, free_text: [notes]}",
            ToolSpec("t", returns={"notes": "string", "comment": "string"}),
            None,
            "free-text-missing",
            id="free-text",
        ),
        pytest.param("get_inbox: {side_effect: read, output: mixed}", None, None, "inbound-missing", id="inbound"),
        pytest.param("delete_file: {side_effect: read}", None, None, "effect-doubtful", id="effect"),
        pytest.param("send_money: {side_effect: write}", None, None, "effect-doubtful", id="money"),
        pytest.param("get: {side_effect: read, args: {url: {}}}", None, None, "egress-missing", id="egress-missing"),
        pytest.param("add: {side_effect: write, args: {iban: {}}}", None, None, "sink-missing", id="sink"),
        pytest.param(
            "add: {side_effect: write}",
            ToolSpec("add", parameters=(Parameter("iban"),)),
            None,
            "sink-missing",
            id="row",
        ),
        pytest.param(
            "add: {side_effect: write, args: {user_email: {content: true}}}",
            None,
            None,
            "content-on-identifier",
            id="id",
        ),
        pytest.param("send: {side_effect: send, args: {body: {content: true}}}", None, None, "send-without-recipient"),
    ],
)
def test_suspicious_labels(tool: str, spec: ToolSpec | None, sizes: Sizes | None, code: str) -> None:
    found = remarks(tool, spec=spec, sizes=sizes)

    assert code in found, found
    assert found[code][0] == 3


def test_fields_that_outsiders_choose_are_no_source_for_money() -> None:
    found = remarks(
        "get_mail: {side_effect: read, output: mixed, inbound: true}",
        more="  pay: {side_effect: money, args: {iban: {sink: account, sources: [user, get_mail]}}}\n",
    )

    assert found["source-inbound"][0] == 4


@pytest.mark.parametrize(
    ("tool", "spec", "sizes"),
    [
        pytest.param("lookup: {side_effect: read, output: trusted}", None, Sizes(9, 120, 300), id="short"),
        pytest.param(
            "get_rate: {side_effect: read, output: trusted}",
            ToolSpec("get_rate", returns_type="number"),
            None,
            id="number",
        ),
        pytest.param("get_inbox: {side_effect: read, output: mixed, inbound: true}", None, None, id="inbox"),
        pytest.param(
            "fetch: {side_effect: read, egress: true, args: {url: {sink: url}}}", None, None, id="fetch-that-says-so"
        ),
        pytest.param(
            "send: {side_effect: send, args: {to: {sink: recipient}, body: {content: true}}}", None, None, id="send"
        ),
        pytest.param("find: {side_effect: read, args: {customer_id: {}}}", None, None, id="read"),
    ],
)
def test_labels_that_fit_are_left_alone(tool: str, spec: ToolSpec | None, sizes: Sizes | None) -> None:
    assert remarks(tool, spec=spec, sizes=sizes) == {}


def test_the_demo_has_no_suspicious_label() -> None:
    assert lint_labels((ROOT / "examples/agentguard_demo/agentguard.yaml").read_text()) == []


def test_every_code_is_tested_and_explained() -> None:
    source = Path(__file__).read_text()

    assert [code for code in LABEL_CODES if source.count(f'"{code}"') == 0] == []
