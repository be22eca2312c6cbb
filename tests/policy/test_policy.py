"""Loading a policy: what is accepted, and what every mistake says."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.errors import PolicyError
from agentguard.event import Label
from agentguard.flow.vocabulary import VERB_FAMILIES
from agentguard.policy import STARTER_POLICY, Policy
from agentguard.policy.schema import VerbFamily

EXAMPLE = """\
version: 1
mode: enforce
roles:
  reader: {permissions: [read_data, execute_agent], tools: [web_search, "contacts.*"]}
  writer: {inherits: [reader], tools: [send_email], deny: ["delete_*"]}
agents:
  researcher: {roles: [reader], may_message: [editor]}
  editor: {roles: [writer]}
tools:
  web_search: {side_effect: read, output: untrusted}
  contacts.lookup: {side_effect: read, output: trusted}
  send_email:
    side_effect: send
    args:
      to:   {sink: recipient, sources: [user, contacts.lookup], allow: ["*@example.com"]}
      body: {max_length: 20000, redact: [secret]}
    approval: when-untrusted
    rate: 5/minute
input:  {max_length: 10000, tool_result_max: 1000000, injection: {user: block, tool: strip}, unicode: strip}
output: {redact: [secret, pii], markup: block}
audit:  {payloads: digest}
"""


def tool(rows: str) -> str:
    """A policy with one tool ``t``, whose rows are given."""
    return "version: 1\ntools:\n  t:\n    side_effect: send\n" + textwrap.indent(textwrap.dedent(rows), "    ")


def arg(row: str) -> str:
    """A policy with one argument ``x``."""
    return tool(f"args:\n  x: {row}\n")


def test_example_of_the_documentation_loads() -> None:
    """The published example compiles to look-ups."""
    policy = Policy.parse(EXAMPLE)

    send = policy.tools["send_email"]
    assert policy.roles["writer"].inherits == ("reader",)
    assert set(policy.agents["researcher"].may_message) == {"editor"}
    assert send.args["to"].sources == ("user", "contacts.lookup")
    assert send.rate is not None
    assert (send.rate.count, send.rate.seconds, send.rate.burst, send.rate.scope) == (5, 60.0, 5, "store")
    assert send.line == 12
    assert policy.tools["web_search"].output is Label.UNTRUSTED
    assert policy.input.injection.tool == "strip"


def test_starter_policy_loads_and_permits_nothing() -> None:
    """What ``agentguard init`` writes is valid and denies by default."""
    policy = Policy.parse(STARTER_POLICY)

    assert not policy.tools
    assert not policy.roles
    assert not policy.agents
    assert policy.audit.fail == "closed"


def test_starter_policy_with_its_examples_uncommented_loads() -> None:
    """The commented rows are true examples, not decoration."""
    text = re.sub(r"^#(?=  \S|    )", "", STARTER_POLICY, flags=re.MULTILINE).replace(": {}\n", ":\n")

    policy = Policy.parse(text)

    assert set(policy.tools) == {"web_search", "contacts.lookup", "send_email"}
    assert set(policy.roles) == {"reader", "writer"}
    assert set(policy.agents) == {"researcher", "editor"}


def test_default_policy_is_secure() -> None:
    """Nothing said: no tool, every content check on, the log fails closed."""
    policy = Policy.default()

    assert (policy.mode, len(policy.tools)) == ("enforce", 0)
    assert (policy.input.injection.user, policy.input.unicode, policy.output.markup) == ("block", "strip", "block")
    assert (policy.audit.payloads, policy.audit.fail) == ("digest", "closed")


READER = "version: 1\n\ntools:\n  t: {side_effect: read,\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        pytest.param("version: 2", 1, 10, "accepted: 1", id="version-of-the-future"),
        pytest.param("version: true", 1, 10, "accepted: 1", id="true-is-not-one"),
        pytest.param("mode: enforce", 1, 1, "'version' is missing", id="no-version"),
        pytest.param("- a", 1, 1, "mapping", id="list"),
        pytest.param("version: 1\ntols: {}", 2, 1, "did you mean 'tools'", id="misspelt-section"),
        pytest.param(arg("{alow: [a]}"), 6, 11, "did you mean 'allow'", id="misspelt-constraint"),
        pytest.param(tool("side_efect: read"), 5, 5, "did you mean 'side_effect'", id="misspelt-tool-key"),
        pytest.param("version: 1\ntools: {a: {}}", 2, 12, "'side_effect' is missing", id="no-side-effect"),
        pytest.param("version: 1\ntools:\n  a: {side_effect: reed}", 3, 20, "did you mean 'read'", id="unknown-word"),
        pytest.param("version: 1\nmode: observe", 2, 7, "accepted: enforce, shadow", id="unknown-mode"),
        pytest.param("version: 1\nroles: {a: {tools: [x]}}", 2, 21, "unknown tool 'x'", id="role-names-no-tool"),
        pytest.param(
            tool("") + "roles: {a: {deny: [tt]}}", 5, 20, "did you mean 't'", id="peers_11_deny_of_unknown_tool"
        ),
        pytest.param(tool("") + 'roles: {a: {tools: ["x*"]}}', 5, 21, "matches no tool", id="glob-matches-nothing"),
        pytest.param(tool("") + 'roles: {a: {tools: ["[t]"]}}', 5, 21, "only \\* and \\?", id="bracket-glob"),
        pytest.param("version: 1\nroles: {a: {inherits: [b]}}", 2, 24, "unknown role 'b'", id="unknown-parent"),
        pytest.param("version: 1\nroles: {a: {inherits: [a]}}", 2, 23, "circle: a -> a", id="inherits-itself"),
        pytest.param(
            "version: 1\nroles:\n  a: {inherits: [b]}\n  b: {inherits: [c]}\n  c: {inherits: [a]}",
            5, 17, "circle", id="inherits-in-a-circle",
        ),
        pytest.param("version: 1\nagents: {a: {roles: [r]}}", 2, 22, "unknown role", id="agent-with-unknown-role"),
        pytest.param("version: 1\nagents: {a: {may_message: [b]}}", 2, 28, "unknown agent", id="unknown-receiver"),
        pytest.param("version: 1\nagents: {a: {may_message: ['*']}}", 2, 28, "globs are accepted in", id="to-glob"),
        pytest.param("version: 1\nagents: {a: {may_message: {b: {}}}}", 2, 31, "unknown agent", id="receiver-key"),
        pytest.param(
            "version: 1\nagents: {a: {may_message: {a: {topic: [x]}}}}", 2, 32, "accepted: topics", id="topic-key"
        ),
        pytest.param(
            "version: 1\nagents: {a: {may_message: {a: {topics: ['[x]']}}}}", 2, 41, "a glob knows", id="topic-glob"
        ),
        pytest.param('version: 1\ntools: {"a*": {side_effect: read}}', 2, 9, "globs are accepted in", id="tool-glob"),
        pytest.param(arg('{sources: ["*"]}'), 6, 21, "globs are accepted in", id="source-glob"),
        pytest.param(arg("{sources: [usr]}"), 6, 21, "did you mean 'user'", id="unknown-source"),
        pytest.param(arg("{sources: [t]}"), 6, 21, "untrusted text", id="untrusted-source"),
        pytest.param(arg("{sources: []}"), 6, 20, "empty list", id="nobody-may-set-it"),
        pytest.param(arg("{allow: []}"), 6, 18, "empty list", id="allow-nothing"),
        pytest.param(arg("{one_of: []}"), 6, 19, "empty list", id="one-of-nothing"),
        pytest.param(arg('{allow: ["**"]}'), 6, 19, "write one", id="double-star"),
        pytest.param(arg('{allow: [""]}'), 6, 19, "non-empty", id="empty-glob"),
        pytest.param(arg("{min: 3, max: 2}"), 6, 24, "min 3 is above max 2", id="no-number-fits"),
        pytest.param(arg("{type: string, min: 3}"), 6, 17, "need numbers", id="bounds-on-text"),
        pytest.param(arg("{type: integer, one_of: [a]}"), 6, 35, "not of type integer", id="one-of-another-type"),
        pytest.param(arg("{pattern: '(?=a)'}"), 6, 20, "RE2", id="look-ahead"),
        pytest.param(arg("{pattern: '(a)\\1'}"), 6, 20, "RE2", id="back-reference"),
        pytest.param(arg("{max_length: 0}"), 6, 23, "greater than or equal to 1", id="no-length"),
        pytest.param(arg("{under: ../x}"), 6, 18, "climb", id="folder-that-climbs"),
        pytest.param(arg("{under: 'a/*'}"), 6, 18, "globs are accepted in", id="folder-glob"),
        pytest.param(arg("{sink: mail}"), 6, 17, "accepted: recipient", id="unknown-sink"),
        pytest.param(arg("{sink: url, allow: ['https://u@h/']}"), 6, 30, "on a url sink write a host", id="userinfo"),
        pytest.param(arg("{sink: recipient, content: true}"), 6, 37, "not both", id="sink-and-content"),
        pytest.param(tool("rate: fast"), 5, 11, "5/minute", id="rate-word"),
        pytest.param(tool("rate: 0/minute"), 5, 11, "5/minute", id="rate-of-zero"),
        pytest.param(tool("rate: {limit: 5/minute, burst: 6}"), 5, 36, "above the count", id="burst-above-count"),
        pytest.param(tool("free_text: [note]"), 5, 16, "output: mixed", id="free-text-of-no-record"),
        pytest.param(tool("inbound: true"), 5, 14, "output: mixed", id="inbound-of-no-record"),
        pytest.param(READER + "    object: [mail]}", 5, 13, "more than read", id="object-of-a-read"),
        pytest.param(READER + "    verbs: [look]}", 5, 12, "more than read", id="verbs-of-a-read"),
        pytest.param(READER + "    repeat: ask}", 5, 13, "more than read", id="repeat-of-a-read"),
        pytest.param(tool("intent: maybe"), 5, 13, "accepted: required, off", id="intent-word"),
        pytest.param(READER + "    clears: {pii: [a]}}", 5, 13, "only reads", id="clears-where-nothing-leaves"),
        pytest.param(tool("clears: {pi: [a]}"), 5, 14, "accepted: secret, pii", id="clears-an-unknown-class"),
        pytest.param("version: 1\nflow: {memory: 5}", 2, 16, "10000", id="no-memory"),
        pytest.param("version: 1\nflow: {languages: [xx]}", 2, 20, "accepted: en", id="language"),
        pytest.param("version: 1\nflow: {languages: []}", 2, 19, "at least 1", id="no-language"),
        pytest.param("version: 1\nflow: {objects: {mail: ['*']}}", 2, 25, "plain words", id="object-without-letters"),
        pytest.param("version: 1\nflow: {verbs: {sent: [x]}}", 2, 16, "did you mean 'send'", id="verb-family"),
        pytest.param("version: 1\nflow: {verbs: {send: ['a*']}}", 2, 23, "globs are accepted in", id="verb-glob"),
        pytest.param("version: 1\ninput: {injection: {threshold: high}}", 2, 32, "accepted: strict", id="threshold"),
        pytest.param('version: 1\noutput: {allow_hosts: ["*.a.com"]}', 2, 24, "exact", id="host-glob"),
        pytest.param("version: 1\naudit: {fail: open}", 2, 15, "unsafe-open", id="open-without-saying-unsafe"),
        pytest.param("version: 1\ninput: {max_length: '5'}", 2, 21, "whole number", id="number-as-text"),
    ],
)  # fmt: skip
def test_mistake_is_an_error_at_its_place(text: str, line: int, column: int, words: str) -> None:
    """Every mistake names file, line and column, and what is accepted."""
    with pytest.raises(PolicyError, match=words) as caught:
        Policy.parse(text, path="agentguard.yaml")

    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"agentguard.yaml:{line}:{column}: ")


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The remedy stands in the message."""
    with pytest.raises(PolicyError, match="agentguard init"):
        Policy.from_file(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "data",
    [pytest.param(b"version: 1 # \xff", id="latin-1"), pytest.param(b"\xff\xfev\x00", id="utf-16")],
)
def test_file_that_is_not_utf8_is_refused(tmp_path: Path, data: bytes) -> None:
    """No guessing of encodings."""
    path = tmp_path / "p.yaml"
    path.write_bytes(data)

    with pytest.raises(PolicyError, match="UTF-8"):
        Policy.from_file(path)


def test_file_with_byte_order_mark_loads(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\n")

    assert Policy.from_file(path).version == 1


def test_folder_and_nul_in_place_of_a_file_are_policy_errors(tmp_path: Path) -> None:
    """Foreign errors do not get out."""
    with pytest.raises(PolicyError):
        Policy.from_file(tmp_path)
    with pytest.raises(PolicyError):
        Policy.from_file("a\0b")


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user of a child process")
def test_unreadable_file_is_a_policy_error(tmp_path: Path) -> None:
    """Run as an unprivileged user: root reads everything."""
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\n")
    path.chmod(0)
    code = (
        "import os, sys\n"
        "from agentguard.errors import PolicyError\nfrom agentguard.policy import Policy\n"
        "os.chdir(sys.argv[2])\nos.setuid(65534)\n"
        "try:\n    Policy.from_file(sys.argv[1])\nexcept PolicyError as e:\n    print('refused')\n"
    )
    folder = tmp_path
    while folder != folder.parent and folder.stat().st_uid == 0 and "pytest" in str(folder):
        folder.chmod(0o755)
        folder = folder.parent

    done = subprocess.run(
        [sys.executable, "-c", code, path.name, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "refused", done.stderr


def test_digest_changes_with_rules_and_not_with_layout() -> None:
    """Comments, key order and defaults written out leave the hash alone; a rule does not."""
    plain = Policy.parse("version: 1\ntools:\n  t: {side_effect: read}\n")
    laid_out = Policy.parse(
        "# note\ntools:\n  t:\n    output: untrusted\n    side_effect: read\nmode: enforce\nversion: 1\n"
    )
    changed = Policy.parse("version: 1\ntools:\n  t: {side_effect: read, approval: always}\n")

    assert plain.digest == laid_out.digest
    assert plain.digest != changed.digest
    assert len(plain.digest) == 64


def test_compiled_policy_cannot_be_changed() -> None:
    """What was loaded and hashed is what is enforced."""
    policy = Policy.parse(EXAMPLE)

    with pytest.raises(TypeError):
        policy.tools["x"] = policy.tools["web_search"]  # type: ignore[index]
    with pytest.raises(TypeError):
        del policy.tools["send_email"].args["to"]  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        policy.mode = "shadow"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("row", "sink", "sources"),
    [
        pytest.param("{side_effect: read}", None, (), id="reading-tool-passes"),
        pytest.param("{side_effect: send}", "value", ("user",), id="sending-tool-only-by-the-user"),
        pytest.param("{side_effect: read, egress: true}", "value", ("user",), id="reading-tool-that-leaves"),
    ],
)
def test_argument_without_a_row(row: str, sink: str | None, sources: tuple[str, ...]) -> None:
    """Side effects make an unlisted argument a sink that only the user may set."""
    rule = Policy.parse(f"version: 1\ntools: {{t: {row}}}").tools["t"].arg("unlisted")

    assert (rule.sink, rule.sources) == (sink, sources)


def test_sink_without_sources_is_for_the_user_alone() -> None:
    """The strict reading of silence."""
    assert Policy.parse(arg("{sink: recipient}")).tools["t"].args["x"].sources == ("user",)


def test_rows_of_information_flow_load() -> None:
    """A tool says its own, or takes the file's."""
    policy = Policy.parse(
        "version: 1\ntools:\n  inbox: {side_effect: read, output: mixed, inbound: true}\n"
        "  mail: {side_effect: send, object: [mail], verbs: [shoot over], repeat: allow,\n"
        '    clears: {pii: ["*@example.com"], secret: []}}\n'
        "  post: {side_effect: send, intent: required}\n"
        'flow: {memory: 50000, languages: [en, en], intent: "off", verbs: {send: [bung over]}, objects: {mail: [note]}}'
    )

    mail, post = policy.tools["mail"], policy.tools["post"]
    assert policy.tools["inbox"].inbound
    assert (mail.object, mail.verbs, mail.intent, mail.repeat) == (("mail",), ("shoot over",), "off", "allow")
    assert (post.intent, post.repeat) == ("required", "ask")
    assert mail.clears == {"pii": ("*@example.com",), "secret": ()}
    assert (policy.flow.memory, policy.flow.languages) == (50_000, ("en",))
    assert (policy.flow.verbs, policy.flow.objects) == ({"send": ("bung over",)}, {"mail": ("note",)})


def test_verb_families_are_those_that_requests_are_read_by() -> None:
    """Two lists, since policy and flow do not know each other."""
    assert get_args(VerbFamily) == VERB_FAMILIES


def test_thousand_tools_load() -> None:
    """Size is no problem: a large policy loads and every rule is found."""
    rows = "\n".join(
        f'  t{i}: {{side_effect: send, args: {{to: {{sink: recipient, allow: ["*@h{i}.com"]}}}}}}' for i in range(1000)
    )
    roles = "\n".join(f"  r{i}: {{tools: [t{i}], inherits: [{f'r{i - 1}' if i else ''}]}}" for i in range(1000))

    policy = Policy.parse(f"version: 1\ntools:\n{rows}\nroles:\n{roles}\n")

    assert len(policy.tools) == len(policy.roles) == 1000


def test_json_schema_names_every_section() -> None:
    """Editors complete from it."""
    schema = Policy.json_schema()

    assert set(schema["properties"]) >= {
        "version",
        "roles",
        "agents",
        "tools",
        "input",
        "output",
        "rates",
        "audit",
        "flow",
    }
    assert schema["additionalProperties"] is False


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
KEYS = st.sampled_from(
    ["version", "mode", "roles", "agents", "tools", "args", "x", "t", "side_effect", "allow", "deny", "inherits",
     "sources", "rate", "pattern", "under", "sink", "input", "injection", "rates", "model", "one_of", "min", "max"]
) | st.text(max_size=6)  # fmt: skip
TREES = st.recursive(
    SCALARS | st.sampled_from([1, "read", "user", "5/minute", "url", "*", "t"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200) | st.text(alphabet="ab:{}[]&*!|>-'\"\n ,#%@`?~0159", max_size=80))
def test_any_text_loads_or_is_a_policy_error(text: str) -> None:
    """No other exception gets out of the reader."""
    try:
        Policy.parse("version: 1\n" + text)
        Policy.parse(text)
    except PolicyError:
        pass


@settings(max_examples=300, deadline=None)
@given(tree=st.dictionaries(KEYS, TREES, max_size=5), arg_row=TREES, tool_row=TREES)
def test_any_yaml_tree_loads_or_is_a_policy_error(tree: object, arg_row: object, tool_row: object) -> None:
    """No other exception gets out of validation and compilation."""
    document: dict[object, object] = {"version": 1, "tools": {"t": {"side_effect": "send", "args": {"x": arg_row}}}}
    for value in (tree, document, {"version": 1, "tools": {"t": tool_row}, "roles": tree}):
        with contextlib.suppress(PolicyError):
            Policy.parse(yaml.safe_dump(value, allow_unicode=True))


def test_permissions_of_your_own_are_declared_then_granted_and_denied() -> None:
    policy = Policy.parse(
        "version: 1\npermissions: [reports.export]\n"
        "roles:\n  r: {permissions: [reports.export], deny_permissions: [admin], resources: ['reports/*']}\n"
    )

    rule = policy.roles["r"]
    assert policy.permissions == ("reports.export",)
    assert (rule.permissions, rule.deny_permissions) == (frozenset({"reports.export"}), frozenset({"admin"}))
    assert rule.resources == ("reports/*",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("permissions: [reed_data]", "did you mean 'read_data'", id="misspelt"),
        pytest.param("deny_permissions: [reports.exprot]", "did you mean 'reports.export'", id="misspelt-own"),
        pytest.param("permissions: [Read]", "permissions", id="no-permission-name"),
        pytest.param("resources: ['reports/**']", "one \\*", id="double-star"),
        pytest.param("resources: ['[ab]']", "brackets", id="brackets"),
    ],
)
def test_permissions_and_resources_are_not_guessed(row: str, message: str) -> None:
    """At its line and column."""
    with pytest.raises(PolicyError, match=message) as caught:
        Policy.parse(f"version: 1\npermissions: [reports.export]\nroles:\n  r: {{{row}}}\n")

    assert caught.value.line == 4
