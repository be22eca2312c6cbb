"""The ``Arguments`` stage against every way round a constraint we know."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.conversation import Conversation
from agentguard.decision import Effect, Stage, Verdict
from agentguard.event import AgentMessage, Event, Json, Message, ModelInput, ToolCall, ToolResult
from agentguard.policy import Arguments, Policy


def stage(rows: str) -> Arguments:
    """The stage for a policy whose tool ``t`` has the given rows."""
    text = "version: 1\ntools:\n  t:\n    side_effect: send\n" + textwrap.indent(textwrap.dedent(rows), "    ")
    return Arguments(Policy.parse(text, path="p.yaml"))


def one(row: str) -> Arguments:
    """The stage for a tool with one constrained argument ``x``."""
    return stage(f"args:\n  x: {row}\n")


def ask(checks: Arguments, value: Json, tool: str = "t") -> Verdict:
    """The verdict on ``tool(x=value)``."""
    return checks.inspect(ToolCall(tool, {"x": value}), Conversation())


def denied(checks: Arguments, value: Json) -> bool:
    """Whether ``t(x=value)`` is refused, for the one documented reason."""
    verdict = ask(checks, value)
    assert verdict.effect in (Effect.ALLOW, Effect.DENY)
    assert verdict.effect is Effect.ALLOW or verdict.reason == "argument-not-permitted"
    return verdict.effect is Effect.DENY


RECIPIENT = one('{sink: recipient, allow: ["*@example.com", "boss@other.org"]}')


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("bob@example.com", id="plain"),
        pytest.param("Bob.Smith+tag@Example.COM", id="case-and-tag"),
        pytest.param(["a@example.com", "b@example.com"], id="list"),
        pytest.param([], id="empty-list"),
        pytest.param(None, id="left-out"),
        pytest.param("boss@other.org", id="exact-entry"),
        pytest.param("jürgen@example.com", id="non-ascii-local-part"),
    ],
)
def test_permitted_recipients_pass(value: Json) -> None:
    """Honest values are not in the way."""
    assert not denied(RECIPIENT, value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("attacker@evil.com", id="other-domain"),
        pytest.param("a@evil.com,b@example.com", id="address-list-comma"),
        pytest.param("a@evil.com, b@example.com", id="address-list-comma-space"),
        pytest.param("a@evil.com;b@example.com", id="address-list-semicolon"),
        pytest.param("a@evil.com b@example.com", id="address-list-space"),
        pytest.param("a@evil.com\nb@example.com", id="address-list-newline"),
        pytest.param("a@example.com\nBcc: x@evil.com", id="header-injection"),
        pytest.param("x\nBcc: c@example.com", id="header-injection-that-ends-well"),
        pytest.param("a@example.com\r\n", id="trailing-line-end"),
        pytest.param("a@evil.com\u2028b@example.com", id="line-separator"),
        pytest.param('"x"@evil.com,a@example.com', id="quoted-local-part-list"),
        pytest.param('"a@evil.com,"@example.com', id="quoted-comma"),
        pytest.param("<a@evil.com>@example.com", id="angle-brackets"),
        pytest.param("a@evil.com(x@example.com", id="comment"),
        pytest.param("attacker@evil.com?x=@example.com", id="query-suffix"),
        pytest.param("attacker@evil.com#@example.com", id="fragment-suffix"),
        pytest.param("attacker@evil.com/@example.com", id="slash-suffix"),
        pytest.param("attacker%evil.com@example.com", id="percent-hack"),
        pytest.param("evil.com!attacker@example.com", id="bang-path"),
        pytest.param("mailto:a@example.com", id="mailto"),
        pytest.param("@example.com@evil.com", id="source-route"),
        pytest.param("a@example.com ", id="trailing-space"),
        pytest.param(" a@example.com", id="leading-space"),
        pytest.param("a@example.com\u00a0", id="trailing-no-break-space"),
        pytest.param("a@example.com.evil.com", id="longer-domain"),
        pytest.param("a@notexample.com", id="longer-label"),
        pytest.param("a@exam\u200bple.com", id="zero-width-space"),
        pytest.param("a@example.com\u202e", id="bidi-override"),
        pytest.param("a@example\u00ad.com", id="soft-hyphen"),
        pytest.param("a@example.com\ufe0f", id="variation-selector"),
        pytest.param("a@example.com\U000e0041", id="tag-character"),
        pytest.param("a\u3164@example.com", id="hangul-filler"),
        pytest.param("a@\u0435xample.com", id="cyrillic-e"),
        pytest.param("a@evil.com\uff0cb@example.com", id="full-width-comma"),
        pytest.param("a@evil.com\uff20example.com", id="full-width-at"),
        pytest.param("a\ud800@example.com", id="lone-surrogate"),
        pytest.param("a@example.com\x00", id="nul"),
        pytest.param(["a@example.com", "x@evil.com"], id="second-of-a-list"),
        pytest.param({"to": "x@evil.com"}, id="nested-value"),
        pytest.param({"x@evil.com": "a@example.com"}, id="dictionary-key"),
        pytest.param([[["x@evil.com"]]], id="deep-list"),
        pytest.param([None], id="null-in-a-list"),
        pytest.param(True, id="boolean"),
        pytest.param(1.5, id="number"),
        pytest.param("", id="empty-text"),
    ],
)
def test_recipient_allow_list_cannot_be_walked_round(value: Json) -> None:
    """Neither lists, headers, look-alikes nor nesting get another recipient through."""
    assert denied(RECIPIENT, value)


def test_casefold_does_not_join_two_domains() -> None:
    """IDNA 2008 keeps straße.de and strasse.de apart, so the allow list does."""
    assert denied(one('{sink: recipient, allow: ["*@strasse.de"]}'), "a@straße.de")


URL = one('{sink: url, allow: ["api.example.com", "*.good.org", "https://cdn.net:8443/pub/*", "http://plain.net"]}')


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("https://api.example.com/v1?q=1#f", id="host"),
        pytest.param("HTTPS://API.Example.com./", id="case-and-final-dot"),
        pytest.param("https://api.example.com:443/", id="default-port"),
        pytest.param("https://a.b.good.org", id="sub-domain"),
        pytest.param("https://cdn.net:8443/pub/a.png", id="port-and-path"),
        pytest.param("http://plain.net/x", id="plain-http-when-named"),
    ],
)
def test_permitted_urls_pass(value: str) -> None:
    """Scheme, host, port and path as listed."""
    assert not denied(URL, value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("https://evil.com/api.example.com", id="host-in-path"),
        pytest.param("https://evil.com?api.example.com", id="host-in-query"),
        pytest.param("https://evil.com#.good.org", id="host-in-fragment"),
        pytest.param("https://api.example.com@evil.com/", id="host-as-user"),
        pytest.param("https://evil.com@api.example.com/", id="user-before-host"),
        pytest.param("https://api.example.com:x@evil.com/", id="host-as-user-and-password"),
        pytest.param("https://evil.com\\@api.example.com/", id="backslash"),
        pytest.param("https://evil.com\\.good.org/", id="backslash-before-dot"),
        pytest.param("https://evil.com%2f.good.org/", id="encoded-slash-in-host"),
        pytest.param("https://evil.c℀.good.org/", id="nfkc-slash-CVE-2019-9636"),
        pytest.param("https://evil.com／.good.org/", id="full-width-slash"),
        pytest.param("https://api。example。com.evil.com/", id="ideographic-full-stop"),
        pytest.param("https://good.org/", id="apex-of-a-sub-domain-glob"),
        pytest.param("https://notgood.org/", id="longer-label"),
        pytest.param("https://api.example.com.evil.com/", id="longer-host"),
        pytest.param("http://api.example.com/", id="downgrade"),
        pytest.param("ftp://api.example.com/", id="other-scheme"),
        pytest.param("javascript://api.example.com/%0aalert(1)", id="javascript"),
        pytest.param("https://api.example.com:8080/", id="other-port"),
        pytest.param("https://cdn.net:8443/pub/../secret", id="path-climbs"),
        pytest.param("https://cdn.net:8443/pub/%2e%2e/secret", id="path-climbs-encoded"),
        pytest.param("https://cdn.net:8443/pub/%252e%252e/secret", id="path-climbs-encoded-twice"),
        pytest.param("https://cdn.net:8443/secret", id="other-path"),
        pytest.param("//api.example.com/", id="no-scheme"),
        pytest.param("api.example.com", id="bare-host"),
        pytest.param("https:/api.example.com/", id="one-slash"),
        pytest.param("https:///evil.com/", id="three-slashes"),
        pytest.param("https://api.exa\tmple.com/", id="tab-that-clients-drop"),
        pytest.param("https://api.example.com/ https://evil.com", id="two-urls"),
        pytest.param("https://api.example.com\n.evil.com", id="line-end"),
        pytest.param(["https://api.example.com/", "https://evil.com/"], id="second-of-a-list"),
        pytest.param(5, id="number"),
    ],
)
def test_url_allow_list_compares_parsed_parts(value: Json) -> None:
    """No text around the host makes another host pass."""
    assert denied(URL, value)


METADATA = one('{sink: url, deny: ["169.254.169.254", "localhost", "*.internal", "127.*", "0.0.0.0"]}')


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("http://169.254.169.254/latest", id="dotted"),
        pytest.param("http://2852039166/", id="decimal"),
        pytest.param("http://0xa9fea9fe/", id="hexadecimal"),
        pytest.param("http://0251.0376.0251.0376/", id="octal"),
        pytest.param("http://169.254.43518/", id="three-parts"),
        pytest.param("http://[::ffff:169.254.169.254]/", id="mapped-ipv6"),
        pytest.param("http://127.1/", id="short-loopback"),
        pytest.param("http://0/", id="zero"),
        pytest.param("http://LOCALHOST:8080/", id="case-and-port"),
        pytest.param("http://localhost./", id="final-dot"),
        pytest.param("http://db.internal/", id="suffix"),
        pytest.param("http://x@localhost/", id="userinfo-does-not-parse"),
        pytest.param("localhost", id="no-url-at-all"),
    ],
)
def test_url_deny_list_knows_the_forms_of_an_address(value: str) -> None:
    """CWE-918: legacy spellings of an address are that address."""
    assert denied(METADATA, value)


def test_url_deny_list_lets_others_pass() -> None:
    """A deny list alone permits the rest."""
    assert not denied(METADATA, "http://example.com:8080/a%20b?localhost")


FOLDER = one("{sink: path, under: reports}")


@pytest.mark.parametrize(
    ("under", "value", "refused"),
    [
        pytest.param("reports", "reports/2024/a.txt", False, id="inside"),
        pytest.param("reports", "reports", False, id="the-folder-itself"),
        pytest.param("reports", "./reports/./a b.txt", False, id="dots-that-stay"),
        pytest.param("/srv/data", "/srv/data/x", False, id="absolute-inside"),
        pytest.param(".", "a/b", False, id="working-directory"),
        pytest.param("reports", "reports/../secret", True, id="climbs"),
        pytest.param("reports", "reports/x/..", True, id="climbs-and-stays"),
        pytest.param("reports", "reports/..\\..\\secret", True, id="climbs-with-backslash"),
        pytest.param("reports", "reports/%2e%2e/secret", True, id="climbs-encoded"),
        pytest.param("reports", "reports/%252e%252e%252fsecret", True, id="climbs-encoded-twice"),
        pytest.param("reports", "reports/\u2024\u2024/secret", True, id="climbs-with-one-dot-leaders"),
        pytest.param("reports", "reports/.. /secret", True, id="climbs-with-a-space"),
        pytest.param("reports", "reportsx/a", True, id="longer-name"),
        pytest.param("reports", "/etc/passwd", True, id="absolute"),
        pytest.param("reports", "\\\\host\\share", True, id="unc"),
        pytest.param("reports", "C:\\reports\\a", True, id="drive"),
        pytest.param("reports", "file:reports/a", True, id="scheme"),
        pytest.param("reports", "~/reports", True, id="home"),
        pytest.param("reports", "reports/a\x00.txt", True, id="nul"),
        pytest.param("reports", "reports/a%00.txt", True, id="nul-encoded"),
        pytest.param("reports", "reports/a\nb", True, id="line-end"),
        pytest.param("reports", "", True, id="empty"),
        pytest.param("reports", ["reports/a", "b"], True, id="second-of-a-list"),
        pytest.param("reports", 3, True, id="file-descriptor"),
        pytest.param("/srv/data", "x", True, id="relative-under-absolute"),
        pytest.param("/srv/data", "/srv/data/../x", True, id="absolute-climbs"),
        pytest.param("/srv/data", "//srv/data/x", True, id="double-slash"),
        pytest.param(".", "../x", True, id="above-the-working-directory"),
    ],
)  # fmt: skip
def test_path_stays_under_its_folder(under: str, value: Json, refused: bool) -> None:
    """CWE-22 and its encodings."""
    assert denied(one(f"{{sink: path, under: {under}}}"), value) is refused


@pytest.mark.parametrize(
    ("row", "value", "refused"),
    [
        pytest.param('{deny: ["*drop*"]}', "DROP table", True, id="peers_11_case"),
        pytest.param('{deny: ["drop"]}', "drop ", True, id="peers_11_trailing_space"),
        pytest.param('{deny: ["*drop*"]}', "a\ndr\u200bop\nb", True, id="invisible-and-many-lines"),
        pytest.param('{deny: ["*drop*"]}', "ＤＲＯＰ", True, id="full-width"),
        pytest.param('{deny: ["*drop*"]}', {"k": ["drop"]}, True, id="nested"),
        pytest.param('{deny: ["*drop*"]}', {"drop": 1}, True, id="key"),
        pytest.param('{deny: ["5"]}', 5, True, id="number"),
        pytest.param('{deny: ["true"]}', True, True, id="boolean"),
        pytest.param('{deny: ["*drop*"]}', "read only", False, id="other-text"),
        pytest.param('{allow: ["*"], deny: ["secret*"]}', "secret-1", True, id="deny-beats-allow"),
        pytest.param("{one_of: [eur, usd]}", "eur", False, id="listed"),
        pytest.param("{one_of: [eur, usd]}", "EUR", True, id="listed-in-another-case"),
        pytest.param("{one_of: [1]}", True, True, id="true-is-not-1"),
        pytest.param("{one_of: [1]}", 1.0, True, id="float-is-not-1"),
        pytest.param('{one_of: ["1"]}', 1, True, id="number-is-not-text"),
        pytest.param("{one_of: [a]}", ["a", "b"], True, id="one-of-in-a-list"),
        pytest.param("{type: integer}", 3, False, id="integer"),
        pytest.param("{type: integer}", True, True, id="boolean-is-no-integer"),
        pytest.param("{type: integer}", 3.0, True, id="float-is-no-integer"),
        pytest.param("{type: integer}", "3", True, id="text-is-no-integer"),
        pytest.param("{type: number}", 3.5, False, id="number"),
        pytest.param("{type: number}", False, True, id="boolean-is-no-number"),
        pytest.param("{type: string}", ["a"], True, id="list-is-no-string"),
        pytest.param("{type: array}", ["a"], False, id="array"),
        pytest.param("{type: object}", [], True, id="list-is-no-object"),
        pytest.param("{type: boolean}", 1, True, id="one-is-no-boolean"),
        pytest.param("{max_length: 3}", "abc", False, id="length-fits"),
        pytest.param("{max_length: 3}", "abcd", True, id="too-long"),
        pytest.param("{max_length: 3}", ["ab", "cd"], True, id="too-long-in-parts"),
        pytest.param("{max_length: 3}", {"abcd": 1}, True, id="too-long-key"),
        pytest.param("{min: 1, max: 5}", 5, False, id="upper-bound"),
        pytest.param("{min: 1, max: 5}", 5.0001, True, id="above"),
        pytest.param("{min: 1, max: 5}", -1, True, id="peers_11_negative_number"),
        pytest.param("{min: 1, max: 5}", [2, 9], True, id="above-in-a-list"),
        pytest.param("{max: 5}", "9", True, id="number-as-text"),
        pytest.param("{max: 5}", True, True, id="boolean-as-number"),
        pytest.param("{max: 5}", 10**400, True, id="huge-integer"),
        pytest.param("{pattern: '[A-Z]{2}[0-9]+'}", "DE12", False, id="pattern"),
        pytest.param("{pattern: '[A-Z]{2}[0-9]+'}", "DE12; rm", True, id="peers_11_trailing_junk"),
        pytest.param("{pattern: '[A-Z]{2}[0-9]+'}", "x DE12", True, id="leading-junk"),
        pytest.param("{pattern: '^[A-Z]{2}$'}", "DE\n", True, id="dollar-and-line-end"),
        pytest.param("{pattern: 'a|b'}", "ac", True, id="alternation-is-grouped"),
        pytest.param("{pattern: '.*'}", "\ud800", True, id="lone-surrogate"),
        pytest.param("{pattern: '[0-9]+'}", 12, True, id="pattern-on-a-number"),
        pytest.param("{sink: id}", "a\u202eb", True, id="bidi-in-a-sink"),
        pytest.param("{sink: command}", "ls\npwd", False, id="command-of-two-lines"),
        pytest.param("{content: true}", "two\nlines", False, id="content-of-two-lines"),
        pytest.param('{sink: account, allow: ["DE*"]}', "DE1, FR2", True, id="account-list"),
        pytest.param('{sink: account, allow: ["12345"]}', 12345, False, id="account-as-number"),
        pytest.param('{sink: person, allow: ["Bob *"]}', "Bob Smith", False, id="name-with-a-space"),
    ],
)
def test_constraint(row: str, value: Json, refused: bool) -> None:
    """Each constraint, on the whole value at any depth."""
    assert denied(one(row), value) is refused


def test_unknown_tool_is_denied() -> None:
    """Peers 12: a name nobody declared runs nothing, whatever its arguments."""
    verdict = ask(one("{}"), "a", tool="u\x1b[2J" + "x" * 500)

    assert (verdict.effect, verdict.reason) == (Effect.DENY, "tool-not-in-policy")
    assert "\x1b" not in verdict.message
    assert len(verdict.message) < 120


def test_default_policy_denies_every_tool() -> None:
    """The secure default."""
    assert ask(Arguments(Policy.default()), "a").effect is Effect.DENY


@pytest.mark.parametrize("args", [{}, {"x": None}], ids=["absent", "null"])
def test_required_argument_left_out_is_denied(args: dict[str, Json]) -> None:
    """Absent and null are the same omission."""
    verdict = one("{required: true}").inspect(ToolCall("t", args), Conversation())

    assert verdict.rules == ("tools.t.args.x.required",)


@pytest.mark.parametrize(
    ("rows", "effect"),
    [
        pytest.param("extra_args: deny", Effect.DENY, id="deny"),
        pytest.param("extra_args: allow", Effect.ALLOW, id="allow"),
        pytest.param("egress: false", Effect.ALLOW, id="default-leaves-it-to-flow"),
    ],
)
def test_argument_without_a_row(rows: str, effect: Effect) -> None:
    """``extra_args`` decides; where the value may come from is the Flow stage's question."""
    assert ask(stage(rows), "a").effect is effect


def test_refusal_names_argument_rule_and_line_but_not_the_value() -> None:
    """The message is safe for a model; the finding says where the rule stands."""
    verdict = ask(RECIPIENT, "attacker@evil.com")

    assert verdict.rules == ("tools.t.args.x.allow",)
    assert verdict.findings[0].rule == "tools.t.args.x.allow"
    assert verdict.findings[0].message.startswith("p.yaml:6: ")
    assert "argument x of t" in verdict.message
    assert "evil" not in verdict.message + verdict.findings[0].message


def test_approval_always_asks_after_the_constraints_hold() -> None:
    """Peers 12: approval depends on the tool's own name; a call that breaks a row is refused, not asked about."""
    checks = stage("approval: always\nargs:\n  x: {max_length: 2}\n")

    assert (ask(checks, "ab").effect, ask(checks, "ab").reason) == (Effect.REQUIRE_APPROVAL, "approval-required")
    assert ask(checks, "abc").effect is Effect.DENY


def test_tool_in_shadow_mode_is_recorded_only() -> None:
    """The verdict is marked, so that combining drops its effect."""
    verdict = ask(stage("mode: shadow\nargs:\n  x: {max_length: 2}\n"), "abc")

    assert verdict.shadow
    assert verdict.effect is Effect.DENY


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(ModelInput((Message("user", "hi"),)), id="model-input"),
        pytest.param(ToolResult("unknown", {}, "x"), id="tool-result"),
        pytest.param(AgentMessage("a", "b", "t", "x"), id="agent-message"),
    ],
)
def test_other_events_are_not_its_business(event: Event) -> None:
    """Only calls have arguments to judge."""
    assert RECIPIENT.inspect(event, Conversation()).effect is Effect.ALLOW


def test_it_is_a_stage() -> None:
    """It has the protocol's shape and never waits."""
    assert isinstance(RECIPIENT, Stage)
    assert RECIPIENT.blocking is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
EVERY_ROW = [
    one("{type: string}"), one("{max_length: 5}"), one("{one_of: [a]}"), one("{min: 0}"), one("{pattern: 'a*'}"),
    RECIPIENT, URL, METADATA, FOLDER, one('{deny: ["*a*"]}'), one("{sink: amount}"),
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(value=JSON, checks=st.sampled_from(EVERY_ROW))
def test_no_value_makes_a_check_raise(value: Json, checks: Arguments) -> None:
    """A check that raised would be a deny with a worse message."""
    assert ask(checks, value).effect in (Effect.ALLOW, Effect.DENY)


@settings(max_examples=200, deadline=None)
@given(prefix=st.text(max_size=15), suffix=st.text(max_size=15))
def test_text_around_a_foreign_address_never_makes_it_pass(prefix: str, suffix: str) -> None:
    """Whatever surrounds ``x@evil.com``, the recipient stays refused."""
    assert denied(RECIPIENT, f"{prefix}x@evil.com{suffix}")


@settings(max_examples=200, deadline=None)
@given(good=st.lists(st.sampled_from(["a@example.com", "boss@other.org"]), max_size=4), place=st.integers(0, 4))
def test_one_bad_element_anywhere_refuses_the_list(good: list[str], place: int) -> None:
    """Position does not matter."""
    values: list[Json] = [*good]
    values.insert(place, "x@evil.com")

    assert denied(RECIPIENT, values)
