"""A document checked against its model; the first fault becomes one line with its place and what is accepted."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agentguard.policy.compiler import did_you_mean
from agentguard.policy.document import Document, Step

__all__ = ["validated"]

M = TypeVar("M", bound=BaseModel)


def validated(document: Document, model: type[M], *, noun: str) -> M:
    """The document as ``model``, a file of which ``noun`` ("a policy") is the name in messages.

    Raises:
        PolicyError: (or the document's own kind of error) it does not fit; with line and column.
    """
    if not isinstance(document.value, dict):
        document.fail((), f"{noun} is a mapping that starts with `version: 1`")
    # True equals 1, so Literal[1] would take it.
    if isinstance(document.value.get("version"), bool):
        document.fail(("version",), "got true or false; accepted: 1")
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        # A misspelt key is also a missing one: name the spelling first.
        details = sorted(
            error.errors(include_url=False), key=lambda d: (d["type"] != "extra_forbidden", _order(document, d))
        )
        steps, message, is_key = _explained(document, details[0], model.model_json_schema())
        document.fail(steps, message, key=is_key)


def _order(document: Document, detail: ErrorDetails) -> tuple[int, int]:
    place = document.values[_written(document, detail["loc"])]
    return place.line, place.column


def _written(document: Document, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The part of a pydantic location that stands in the file; the rest names union members."""
    while steps not in document.values:
        steps = steps[:-1]
    return steps


def _explained(document: Document, detail: ErrorDetails, schema: dict[str, Any]) -> tuple[tuple[Step, ...], str, bool]:
    """Where, what, and whether the fault is in a key rather than in its value."""
    steps = detail["loc"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = list(_row_type(schema, steps[:-1]).get("properties", ()))
        accepted = ", ".join(known)
        return (
            steps,
            f"unknown key {str(steps[-1])[:60]!r}; accepted: {accepted}{did_you_mean(str(steps[-1]), known)}",
            True,
        )
    if kind == "missing":
        choices = _row_type(schema, steps).get("enum", ())
        accepted = "1" if steps == ("version",) else ", ".join(map(str, choices))
        return (
            steps[:-1],
            f"the key {str(steps[-1])!r} is missing" + (f"; accepted: {accepted}" if accepted else ""),
            False,
        )
    is_key = steps[-1:] == ("[key]",)
    steps = _written(document, steps)
    where = ".".join(str(step) for step in steps)
    got = _named(detail["input"])
    if kind == "literal_error":
        text = detail["input"] if isinstance(detail["input"], str) else ""
        choices = [choice.strip("'") for choice in detail["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return steps, f"{where}: got {got}; accepted: {', '.join(choices)}{did_you_mean(text, choices)}", is_key
    return steps, f"{where}: got {got}; {_ACCEPTED.get(kind) or detail['msg']}", is_key


_ACCEPTED = {
    "string_type": "accepted: text (put it in quotes if it looks like a number)",
    "list_type": "accepted: a list, as in [a, b]",
    "dict_type": "accepted: a mapping of names to rows",
    "model_type": "accepted: a mapping of keys to values",
    "model_attributes_type": "accepted: a mapping of keys to values",
    "int_type": "accepted: a whole number",
    "float_type": "accepted: a number",
    "bool_type": "accepted: true or false",
}


def _named(value: object) -> str:
    """A short description of what stood in the file. The file's author reads it, so the text itself may show."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return ascii(value)[:60]


def _row_type(schema: dict[str, Any], steps: tuple[Step, ...]) -> dict[str, Any]:
    """The JSON Schema of the row at ``steps``, following names through mappings."""
    node = schema
    for step in steps:
        node = _resolved(schema, node)
        node = node.get("properties", {}).get(step) or node.get("additionalProperties") or node.get("items") or {}
    return _resolved(schema, node)


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", ()):
        if "$ref" in option or "additionalProperties" in option:
            node = option
    reference = node.get("$ref")
    found: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]] if reference else node
    return found
