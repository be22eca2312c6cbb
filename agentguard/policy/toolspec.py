"""What a tool says of itself, read from whatever defines it: name, description, parameters, what it returns.

Understood without importing any framework, by what the object has: plain functions and callables (signature and
docstring), LangChain, CrewAI, LlamaIndex and OpenAI Agents tools, pydantic models, and tool definitions as
dictionaries: JSON Schema, MCP (``inputSchema``), Anthropic (``input_schema``), OpenAI (``{"type": "function"}``).
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.errors import ConfigError
from agentguard.event import Json

__all__ = ["Parameter", "ToolSpec"]

# A schema that refers to itself, or a toolkit that holds toolkits, ends here.
MAX_DEPTH = 8
MAX_TOOLS = 10_000

_SCHEMA_KEYS = ("inputSchema", "input_schema", "parameters", "params_json_schema", "args_schema", "fn_schema", "inputs")
_TYPES: dict[object, str] = {
    str: "string", int: "integer", float: "number", bool: "boolean", list: "array", tuple: "array", set: "array",
    frozenset: "array", dict: "object",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. ``type`` is a JSON type, None when unknown; ``choices`` are the values of an enumeration.

    ``default`` counts only when ``required`` is False; it is None where the definition does not say.
    """

    name: str
    type: str | None = None
    description: str = ""
    required: bool = False
    choices: tuple[Json, ...] = ()
    default: Json = None
    format: str = ""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool.

    ``returns`` maps the fields of a structured result to their JSON types; ``returns_type`` is the JSON type of the
    whole, None when unknown. ``open`` says that it takes further arguments of any name.
    """

    name: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    returns: Mapping[str, str | None] = field(default_factory=dict)
    returns_type: str | None = None
    open: bool = False
    destructive: bool = False

    @classmethod
    def read_all(cls, source: object) -> list[ToolSpec]:
        """Every tool of a list, dictionary or toolkit, or the one tool that ``source`` is.

        Raises:
            ConfigError: an object is no tool, two tools share a name, or there is none.
        """
        found: dict[str, ToolSpec] = {}
        for name, tool in _members(source, 0):
            spec = cls.read(tool, name=name)
            if spec.name in found and found[spec.name] != spec:
                raise ConfigError(f"two tools are called {spec.name[:60]!r}; a policy tells tools apart by their names")
            found[spec.name] = spec
            if len(found) > MAX_TOOLS:
                raise ConfigError(f"more than {MAX_TOOLS} tools; draft policies for parts of them")
        if not found:
            raise ConfigError("no tool was found; pass a list or dictionary of tools, or one tool")
        return list(found.values())

    @classmethod
    def read(cls, tool: object, *, name: str | None = None) -> ToolSpec:
        """Read one tool; ``name`` is what it is called where its definition does not say.

        Raises:
            ConfigError: it is nothing this reader knows.
        """
        if isinstance(tool, Mapping):
            return _from_definition(tool, name)
        if isinstance(tool, type) and callable(getattr(tool, "model_json_schema", None)):
            return _from_schema(tool.__name__, inspect.getdoc(tool) or "", _schema_of(tool))
        found = _from_object(tool, name)
        if found is not None:
            return found
        if callable(tool):
            return _from_callable(tool, name)
        raise ConfigError(f"a {type(tool).__name__} is no tool; accepted: functions, tool objects, tool definitions")


def _members(source: object, depth: int) -> Iterator[tuple[str | None, object]]:
    if depth > MAX_DEPTH:
        raise ConfigError(f"tools nest deeper than {MAX_DEPTH} lists; pass a flat list")
    if isinstance(source, Mapping) and not _is_definition(source):
        tools = source.get("tools")
        if isinstance(tools, list | tuple | Mapping):  # an MCP `tools/list` result
            yield from _members(tools, depth + 1)
            return
        yield from ((str(key), tool) for key, tool in source.items())
    elif isinstance(source, list | tuple | set | frozenset):
        for item in source:
            if isinstance(item, list | tuple | set | frozenset):
                yield from _members(item, depth + 1)
            else:
                yield None, item
    elif callable(getattr(source, "get_tools", None)) and not isinstance(source, type):
        yield from _members(source.get_tools(), depth + 1)  # type: ignore[attr-defined]  # just looked at
    else:
        yield None, source


def _is_definition(mapping: Mapping[Any, Any]) -> bool:
    if isinstance(mapping.get("function"), Mapping) or isinstance(mapping.get("name"), str):
        return True
    return isinstance(mapping.get("title"), str) and isinstance(mapping.get("properties"), Mapping)


def _from_definition(tool: Mapping[Any, Any], name: str | None) -> ToolSpec:
    inner = tool.get("function")
    if isinstance(inner, Mapping):
        tool = inner
    found = next((value for key in ("name", "title") if isinstance(value := tool.get(key), str)), name)
    if not found:
        raise ConfigError("a tool definition without a name; give it `name`, or pass a dictionary of names to tools")
    schema = next((tool[key] for key in _SCHEMA_KEYS if isinstance(tool.get(key), Mapping)), None)
    if schema is None:
        schema = tool if isinstance(tool.get("properties"), Mapping) else {}
    spec = _from_schema(found, _text(tool.get("description")), schema)
    output = tool.get("outputSchema")
    hints = tool.get("annotations")
    return dataclasses.replace(
        spec,
        **(_returned(output) if isinstance(output, Mapping) else {}),
        destructive=isinstance(hints, Mapping) and hints.get("destructiveHint") is True,
    )


def _from_object(tool: object, name: str | None) -> ToolSpec | None:
    """A tool object of some framework: it has a name and one of the known places for its schema."""
    about = getattr(tool, "metadata", None)
    holder = about if getattr(about, "fn_schema", None) is not None else tool
    found = getattr(holder, "name", None)
    if not isinstance(found, str) or isinstance(tool, type):
        return None
    schema = _schema_of(getattr(holder, "tool_call_schema", None))
    for key in _SCHEMA_KEYS:
        schema = schema or _schema_of(getattr(holder, key, None))
    if schema is None:
        return None
    spec = _from_schema(found or name or "", _text(getattr(holder, "description", "")), schema)
    output = _schema_of(getattr(holder, "outputSchema", None))
    hints = getattr(holder, "annotations", None)
    function = next((f for key in ("func", "coroutine", "fn") if callable(f := getattr(tool, key, None))), None)
    returned = _returned(output) if output else _annotated_result(function) if function else {}
    return dataclasses.replace(spec, **returned, destructive=getattr(hints, "destructiveHint", None) is True)


def _schema_of(source: object) -> dict[str, Any] | None:
    if isinstance(source, Mapping):
        return dict(source)
    make = getattr(source, "model_json_schema", None)
    if not callable(make):
        return None
    try:
        schema = make()
    except Exception:  # noqa: BLE001  # a model with types that have no schema: its fields are told by name alone
        fields = getattr(source, "model_fields", {})
        return {"properties": {str(name): {} for name in fields}}
    return schema if isinstance(schema, dict) else None


def _from_schema(name: str, description: str, schema: Mapping[str, Any] | None) -> ToolSpec:
    schema = schema or {}
    properties = schema.get("properties")
    if properties is None and schema and all(isinstance(row, Mapping) for row in schema.values()):
        properties = schema  # a bare mapping of parameters
    needed = schema.get("required")
    required = set(map(str, needed)) if isinstance(needed, list) else set()
    rows = properties.items() if isinstance(properties, Mapping) else ()
    parameters = tuple(_parameter(str(key), row, schema, str(key) in required) for key, row in rows)
    return ToolSpec(name, description, parameters, open=schema.get("additionalProperties") not in (None, False))


def _parameter(name: str, row: object, root: Mapping[str, Any], required: bool) -> Parameter:
    node = _resolved(row, root)
    choices = node.get("enum")
    if choices is None and "const" in node:
        choices = [node["const"]]
    return Parameter(
        name=name,
        type=_type_of(node),
        description=_text(node.get("description")) or _text(row.get("description") if isinstance(row, Mapping) else ""),
        required=required,
        choices=tuple(choices) if isinstance(choices, list) else (),
        default=node.get("default", row.get("default") if isinstance(row, Mapping) else None),
        format=_text(node.get("format")),
    )


def _resolved(node: object, root: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any]:
    """A schema node with references followed and "or null" taken off."""
    if not isinstance(node, Mapping) or depth > MAX_DEPTH:
        return {}
    reference = node.get("$ref")
    if isinstance(reference, str):
        target: object = root
        for step in reference.removeprefix("#/").split("/"):
            target = target.get(step) if isinstance(target, Mapping) else None
        return _resolved(target, root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        options = node.get(key)
        if isinstance(options, list):
            kept = [o for o in options if not (isinstance(o, Mapping) and o.get("type") == "null")]
            if len(kept) == 1:
                return {**_resolved(kept[0], root, depth + 1), **{k: v for k, v in node.items() if k != key}}
    return node


def _type_of(node: Mapping[str, Any]) -> str | None:
    kind = node.get("type")
    if isinstance(kind, list):
        named = [each for each in kind if each != "null"]
        kind = named[0] if len(named) == 1 else None
    return kind if kind in _TYPES.values() else None


def _returned(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Fields and type of a result; of a list, those of its items."""
    node = _resolved(schema, schema)
    inner = _resolved(node.get("items"), schema) if _type_of(node) == "array" else node
    properties = inner.get("properties")
    rows = properties.items() if isinstance(properties, Mapping) else ()
    fields = {str(name): _type_of(_resolved(row, schema)) for name, row in rows}
    return {"returns": fields, "returns_type": _type_of(node)}


def _from_callable(tool: Callable[..., Any], name: str | None) -> ToolSpec:
    function = getattr(tool, "func", tool)  # functools.partial has no name of its own
    found = name or getattr(function, "__name__", None) or type(tool).__name__
    try:
        signature = inspect.signature(tool)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{found[:60]!r} has no readable signature; pass its JSON Schema instead") from error
    hints = _hints(tool)
    kinds = inspect.Parameter
    parameters = tuple(
        _signature_parameter(each, hints.get(each.name, each.annotation))
        for each in signature.parameters.values()
        if each.kind is not kinds.VAR_KEYWORD
    )
    return ToolSpec(
        name=found,
        description=inspect.getdoc(tool) or "",
        parameters=parameters,
        open=any(each.kind is kinds.VAR_KEYWORD for each in signature.parameters.values()),
        **_annotated_result(tool),
    )


def _signature_parameter(parameter: inspect.Parameter, hint: object) -> Parameter:
    is_list = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    kind, choices, description = _hint(hint)
    required = parameter.default is parameter.empty and not is_list
    default = None if required or is_list else parameter.default
    return Parameter(
        name=parameter.name,
        type="array" if is_list else kind,
        description=description,
        required=required,
        choices=choices,
        default=default if isinstance(default, str | int | float | bool) else None,
    )


def _hints(tool: Callable[..., Any]) -> dict[str, Any]:
    function = getattr(tool, "func", tool)  # functools.partial
    if not inspect.isroutine(function):
        function = getattr(type(function), "__call__", function)  # noqa: B004  # its hints are read, it is not tested
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  # a hint that names what is not there; the signature still names the parameter
        return {}


def _hint(hint: object, depth: int = 0) -> tuple[str | None, tuple[Json, ...], str]:
    """JSON type, choices and description of a type hint."""
    if depth > MAX_DEPTH:
        return None, (), ""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        kind, choices, said = _hint(args[0], depth + 1)
        texts = [each for each in args[1:] if isinstance(each, str)]
        texts += [text for each in args[1:] if isinstance(text := getattr(each, "description", None), str)]
        return kind, choices, " ".join(texts) or said
    if origin is typing.Literal:
        kinds = {_TYPES.get(type(each)) for each in args}
        return (kinds.pop() if len(kinds) == 1 else None), args, ""
    if origin in (typing.Union, types.UnionType):
        kept = [each for each in args if each is not type(None)]
        return _hint(kept[0], depth + 1) if len(kept) == 1 else (None, (), "")
    values = getattr(hint, "__members__", None)
    if isinstance(values, Mapping):  # an enumeration
        return None, tuple(getattr(each, "value", None) for each in values.values()), ""
    return _TYPES.get(origin or hint) if _hashable(origin or hint) else None, (), ""


def _annotated_result(tool: object) -> dict[str, Any]:
    """What the return annotation tells: the fields of a TypedDict, dataclass or model, or of a list of them."""
    hint = _hints(tool).get("return") if callable(tool) else None
    kind = _hint(hint)[0]
    inner = hint
    if kind == "array" and typing.get_args(hint):
        inner = typing.get_args(hint)[0]
    fields = _fields(inner)
    return {"returns": fields, "returns_type": kind or ("object" if fields else None)}


def _fields(hint: object) -> dict[str, str | None]:
    schema = _schema_of(hint) if isinstance(hint, type) else None
    if schema:
        return dict(_returned(schema)["returns"])
    annotated = typing.is_typeddict(hint) or (isinstance(hint, type) and dataclasses.is_dataclass(hint))
    if not annotated:
        return {}
    try:
        hints = typing.get_type_hints(hint)
    except Exception:  # noqa: BLE001  # as in _hints
        hints = dict.fromkeys(getattr(hint, "__annotations__", {}))
    return {name: _hint(each)[0] for name, each in hints.items()}


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
