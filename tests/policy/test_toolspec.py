"""Tool definitions of every kind say the same of one tool."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field

from agentguard import ConfigError
from agentguard.policy.toolspec import Parameter, ToolSpec


class Contact(TypedDict):
    """A record."""

    email: str
    notes: str


class Urgency(enum.Enum):
    """A choice."""

    LOW = "low"
    HIGH = "high"


@dataclasses.dataclass
class Row:
    """Another record."""

    id: int


class SendMail(BaseModel):
    """Send a mail."""

    to: str
    urgency: Urgency = Urgency.LOW
    copies: int | None = Field(None, description="how many")


def send_mail(to: str, urgency: Literal["low", "high"] = "low", copies: int | None = None) -> str:
    """Send a mail."""
    return to


PARAMETERS = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "urgency": {"type": "string", "enum": ["low", "high"], "default": "low"},
        "copies": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
    },
    "required": ["to"],
}
KINDS = [
    pytest.param(send_mail, id="function"),
    pytest.param(tool(send_mail), id="langchain"),
    pytest.param(StructuredTool.from_function(send_mail), id="langchain-structured"),
    pytest.param({"name": "send_mail", "description": "Send a mail.", "inputSchema": PARAMETERS}, id="mcp"),
    pytest.param({"name": "send_mail", "description": "Send a mail.", "input_schema": PARAMETERS}, id="anthropic"),
    pytest.param(
        {"function": {"name": "send_mail", "description": "Send a mail.", "parameters": PARAMETERS}},
        id="openai",
    ),
    pytest.param(
        {"type": "function", "name": "send_mail", "description": "Send a mail.", "parameters": PARAMETERS},
        id="openai-responses",
    ),
    pytest.param({"title": "send_mail", "description": "Send a mail.", **PARAMETERS}, id="json-schema"),
    pytest.param(
        SimpleNamespace(name="send_mail", description="Send a mail.", inputSchema=PARAMETERS), id="mcp-object"
    ),
    pytest.param(
        SimpleNamespace(name="send_mail", description="Send a mail.", params_json_schema=PARAMETERS), id="openai-agents"
    ),
    pytest.param(
        SimpleNamespace(metadata=SimpleNamespace(name="send_mail", description="Send a mail.", fn_schema=PARAMETERS)),
        id="llama-index",
    ),
]


@pytest.mark.parametrize("definition", KINDS)
def test_every_kind_of_definition_is_read_alike(definition: object) -> None:
    spec = ToolSpec.read(definition)

    assert spec.name == "send_mail"
    assert spec.description.startswith("Send a mail.")
    to, urgency, copies = spec.parameters
    assert (to.name, to.type, to.required) == ("to", "string", True)
    assert (urgency.choices, urgency.required, urgency.default) == (("low", "high"), False, "low")
    assert (copies.type, copies.required, copies.default) == ("integer", False, None)


def test_a_pydantic_model_is_a_tool() -> None:
    spec = ToolSpec.read(SendMail)

    to, urgency, copies = spec.parameters
    assert (spec.name, to.required, urgency.choices) == ("SendMail", True, ("low", "high"))
    assert (copies.type, copies.description) == ("integer", "how many")


def lookup(id: int) -> list[Contact]:
    """Find contacts."""
    return []


def rows() -> dict[str, int]:
    """Count."""
    return {}


def row() -> Row:
    """Get."""
    return Row(1)


@pytest.mark.parametrize(
    ("definition", "returns", "kind"),
    [
        pytest.param(lookup, {"email": "string", "notes": "string"}, "array", id="list-of-typed-dict"),
        pytest.param(tool(lookup), {"email": "string", "notes": "string"}, "array", id="langchain"),
        pytest.param(row, {"id": "integer"}, "object", id="dataclass"),
        pytest.param(rows, {}, "object", id="plain-dict"),
        pytest.param(send_mail, {}, "string", id="text"),
        pytest.param(
            {
                "name": "x",
                "inputSchema": {},
                "outputSchema": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "number"}}}},
            },
            {"a": "number"},
            "array",
            id="mcp-output-schema",
        ),
    ],
)
def test_what_a_tool_returns(definition: object, returns: dict[str, str], kind: str) -> None:
    spec = ToolSpec.read(definition)

    assert (dict(spec.returns), spec.returns_type) == (returns, kind)


class Caller:
    """A tool that is an object."""

    def __call__(self, path: Annotated[str, "where"], *more: str, **rest: object) -> None:
        """Call."""


@pytest.mark.parametrize(
    ("definition", "name", "parameters", "is_open"),
    [
        pytest.param(
            Caller(),
            "Caller",
            (Parameter("path", "string", "where", required=True), Parameter("more", "array")),
            True,
            id="callable-object",
        ),
        pytest.param(
            functools.partial(send_mail, "x"),
            "send_mail",
            (Parameter("urgency", "string", choices=("low", "high"), default="low"), Parameter("copies", "integer")),
            False,
            id="partial",
        ),
        pytest.param(lambda a, b=1: a, "<lambda>", (Parameter("a", required=True), Parameter("b", default=1)), False),
    ],
)
def test_callables(definition: Callable[..., Any], name: str, parameters: tuple[Parameter, ...], is_open: bool) -> None:
    spec = ToolSpec.read(definition)

    assert (spec.name, spec.parameters, spec.open) == (name, parameters, is_open)


class Toolkit:
    """As frameworks bundle tools."""

    def get_tools(self) -> list[object]:
        return [send_mail, [lookup]]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        pytest.param([send_mail, lookup], ["send_mail", "lookup"], id="list"),
        pytest.param({"mail": send_mail, "find": lookup}, ["mail", "find"], id="dictionary"),
        pytest.param(Toolkit(), ["send_mail", "lookup"], id="toolkit"),
        pytest.param({"tools": [{"name": "a", "inputSchema": {}}]}, ["a"], id="mcp-list"),
        pytest.param(send_mail, ["send_mail"], id="one-tool"),
        pytest.param([send_mail, send_mail], ["send_mail"], id="twice-the-same"),
    ],
)
def test_collections(source: object, names: list[str]) -> None:
    assert [spec.name for spec in ToolSpec.read_all(source)] == names


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param([], "no tool was found", id="none"),
        pytest.param([42], "a int is no tool", id="no-tool"),
        pytest.param([{"description": "x"}], "without a name", id="nameless"),
        pytest.param([send_mail, {"name": "send_mail", "parameters": {}}], "two tools are called", id="clash"),
        pytest.param([[[[[[[[[[send_mail]]]]]]]]]], "nest deeper", id="deep"),
    ],
)
def test_what_is_no_tool_is_a_config_error(source: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ToolSpec.read_all(source)


def test_a_schema_that_refers_to_itself_ends() -> None:
    loop = {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}}

    assert ToolSpec.read({"name": "x", "parameters": loop}).parameters == (Parameter("a"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "required", "$ref", "anyOf", "enum", "items", "default", "format"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(name=st.text(max_size=8), schema=JSON, output=JSON)
def test_any_definition_is_read_or_is_a_config_error(name: str, schema: object, output: object) -> None:
    """Schemas come from servers nobody here wrote."""
    try:
        spec = ToolSpec.read({"name": name, "inputSchema": schema, "outputSchema": output})
    except ConfigError:
        return
    assert all(isinstance(parameter.name, str) for parameter in spec.parameters)
