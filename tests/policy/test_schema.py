"""The published JSON Schema says what the loader says, and every key explains itself."""

from __future__ import annotations

import ast
import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agentguard import Policy, PolicyError
from agentguard.policy import STARTER_POLICY
from agentguard.policy.document import read
from agentguard.policy.schema import PolicyFile

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Policy.json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

WHOLE: dict[str, Any] = {
    "version": 1,
    "mode": "enforce",
    "roles": {
        "reader": {
            "permissions": ["read_data", "reports.export"],
            "inherits": [],
            "tools": ["*"],
            "deny": ["x"],
            "deny_permissions": ["admin"],
            "resources": ["reports/*"],
            "mode": "shadow",
        }
    },
    "permissions": ["reports.export"],
    "agents": {
        "a": {"roles": ["reader"], "may_message": ["b"]},
        "b": {"may_message": {"a": {"topics": ["draft.*"], "max_size": 1000}}},
    },
    "tools": {
        "send": {
            "side_effect": "send",
            "output": "mixed",
            "free_text": ["notes"],
            "egress": False,
            "inbound": True,
            "object": ["mail"],
            "verbs": ["shoot over"],
            "intent": "off",
            "repeat": "allow",
            "clears": {"pii": ["*@example.com"]},
            "args": {
                "to": {"sink": "recipient", "sources": ["user"], "allow": ["*"], "deny": [], "required": True},
                "n": {"type": "number", "min": 1, "max": 2.5, "one_of": [1, 1.5, "x", True]},
                "body": {"content": True, "max_length": 9, "pattern": "a", "redact": ["secret"]},
                "path": {"sink": "path", "under": "reports"},
            },
            "extra_args": "deny",
            "approval": "always",
            "rate": {"limit": "5/minute", "burst": 2, "scope": "process"},
            "mode": "shadow",
        }
    },
    "input": {"max_length": 9, "tool_result_max": 9, "injection": {"user": "off", "threshold": 0.5}, "redact": []},
    "output": {"max_length": 9, "redact": ["pii"], "markup": "strip", "allow_hosts": ["example.com"]},
    "rates": {"model": "5/minute", "message": None, "default": {"limit": "1/day"}},
    "audit": {"payloads": "full", "fail": "unsafe-open"},
    "recognizers": {
        "own": {"a": {"class": "pii", "pattern": "ab", "keywords": ["x"], "examples": ["x ab"], "look_alikes": ["ac"]}},
        "deny": ["Project Falcon"],
        "allow": ["a@b.co"],
    },
    "flow": {"memory": 10_000, "languages": ["en"], "intent": "off", "verbs": {"send": ["a"]}, "objects": {}},
}


def _policies() -> Iterator[tuple[str, str]]:
    yield "starter", STARTER_POLICY
    for path in sorted([*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("benchmarks/*.yaml")]):
        yield str(path.relative_to(ROOT)), path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for index, block in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)):
            yield f"{path.name}-{index}", block
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "version: 1" in node.value:
                yield f"{path.name}-{node.lineno}", node.value


def _loading() -> Iterator[Any]:
    for name, text in _policies():
        try:
            Policy.parse(text)
        except PolicyError:
            continue
        yield pytest.param(text, id=name)


def test_the_published_file_is_the_schema() -> None:
    """Make it anew with: agentguard policy schema > docs/agentguard.schema.json."""
    assert json.loads((ROOT / "docs" / "agentguard.schema.json").read_text()) == SCHEMA


def test_the_schema_is_valid_draft_2020_12() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_key_carries_a_description() -> None:
    silent = [
        f"{where}.{key}"
        for where, row in [("", SCHEMA), *SCHEMA["$defs"].items()]
        for key, field in row.get("properties", {}).items()
        if len(field.get("description", "")) < 8
    ]

    assert silent == []


@pytest.mark.parametrize("text", list(_loading()))
def test_every_policy_that_loads_validates(text: str) -> None:
    assert list(VALIDATOR.iter_errors(read(text).value)) == []


def test_the_policy_with_every_key_loads_and_validates() -> None:
    PolicyFile.model_validate(WHOLE)

    assert list(VALIDATOR.iter_errors(WHOLE)) == []


def _paths(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(node, dict):
        for key, item in node.items():
            yield from _paths(item, (*path, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _paths(item, (*path, index))


# JSON Schema calls 1.0 an integer; the loader, reading YAML, does not.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 20_000)
    | st.floats(-2, 2).filter(lambda number: not number.is_integer())
    | st.sampled_from(["", "read", "allow", "deny", "ask", "off", "shadow", "secret", "5/minute", "user", "x" * 129])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["sink", "limit", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(path=st.sampled_from([each for each in _paths(WHOLE) if each]), value=VALUES, how=st.sampled_from("srn"))
def test_loader_and_schema_take_and_refuse_the_same_shapes(path: tuple[str | int, ...], value: Any, how: str) -> None:
    """One part of a policy is set, removed, or joined by a key nobody knows."""
    document = copy.deepcopy(WHOLE)
    parent: Any = document
    for step in path[:-1]:
        parent = parent[step]
    if how == "s":
        parent[path[-1]] = value
    elif how == "r":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent["unheard_of"] = value

    try:
        PolicyFile.model_validate(document)
    except ValidationError:
        taken = False
    else:
        taken = True

    assert VALIDATOR.is_valid(document) is taken


@pytest.mark.skipif(shutil.which("yaml-language-server") is None, reason="yaml-language-server is not on PATH")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(STARTER_POLICY, None, id="starter"),
        pytest.param((ROOT / "examples/agentguard_demo/agentguard.yaml").read_text(), None, id="demo"),
        pytest.param("version: 1\ntools:\n  x: {side_effect: raed}\n", "Value is not accepted", id="word"),
        pytest.param("version: 1\ntols: {}\n", "Property tols is not allowed", id="key"),
        pytest.param("version: 1\ntools:\n  x: {}\n", 'Missing property "side_effect"', id="missing"),
        pytest.param("version: 1\nrates: {default: 5/minute, model: {limit: 1/day}}\n", None, id="rates"),
    ],
)
def test_the_editors_own_server_agrees(tmp_path: Path, text: str, message: str | None) -> None:
    """What VS Code, Neovim and others run: yaml-language-server, spoken to over the Language Server Protocol."""
    (tmp_path / "agentguard.schema.json").write_text(json.dumps(SCHEMA))
    source = f"# yaml-language-server: $schema={tmp_path / 'agentguard.schema.json'}\n{text}"

    found = _diagnostics(tmp_path, source)

    assert (found == []) if message is None else any(message in each for each in found), found


def _diagnostics(folder: Path, text: str) -> list[str]:
    """Open one document, wait for what the server says of it, and let it go."""
    uri = (folder / "agentguard.yaml").as_uri()
    document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
    server = subprocess.Popen(["yaml-language-server", "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        root: Any = {"processId": None, "rootUri": folder.as_uri(), "capabilities": {}}
        _send(server.stdin, {"id": 1, "method": "initialize", "params": root})
        while _receive(server.stdout).get("id") != 1:
            pass
        settings = {"settings": {"yaml": {"validate": True, "schemaStore": {"enable": False}}}}
        _send(server.stdin, {"method": "initialized", "params": {}})
        _send(server.stdin, {"method": "workspace/didChangeConfiguration", "params": settings})
        _send(server.stdin, {"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while (said := _receive(server.stdout)).get("method") != "textDocument/publishDiagnostics":
            # The server asks its client for settings and registrations: null is an answer to each.
            if "id" in said and "method" in said:
                _send(server.stdin, {"id": said["id"], "result": None})
        return [each["message"] for each in said["params"]["diagnostics"]]
    finally:
        server.kill()
        server.communicate()


def _send(pipe: Any, message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    pipe.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    pipe.flush()


def _receive(pipe: Any) -> dict[str, Any]:
    length = 0
    while (line := pipe.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    found: dict[str, Any] = json.loads(pipe.read(length)) if length else {}
    assert length, "the server went away"
    return found
