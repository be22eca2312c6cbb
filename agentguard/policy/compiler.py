"""From a checked file to the compiled policy: what spans several rows, and what can be built once.

A rule that could never do what it says (unknown name, impossible bounds, a glob nothing matches) is a load error here:
it must not turn into a rule that silently never fires.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from agentguard.event import Label
from agentguard.policy.compiled import (
    AgentRule,
    ApprovalRules,
    ArgRule,
    FlowRules,
    MessageRule,
    MonitorRules,
    OwnRecognizer,
    RateRule,
    RateRules,
    RecognizerRules,
    RedactionRule,
    RoleRule,
    ToolRule,
)
from agentguard.policy.constraint import (
    Allowed,
    Bounds,
    Check,
    Constraint,
    Folder,
    MaxLength,
    OneLine,
    OneOf,
    Pattern,
    Refused,
    TypeIs,
    UrlAllowed,
    UrlRefused,
    UrlRule,
)
from agentguard.policy.document import Document, Step
from agentguard.policy.glob import Globs, compiled, glob_problem, is_glob, lower, pattern_problem
from agentguard.policy.schema import PERMISSIONS, AgentRow, ArgRow, OwnRecognizerRow, PolicyFile, RateRow, ToolRow

__all__ = ["Compiler", "did_you_mean"]

_Steps = tuple[Step, ...]

# Values that are one token by nature: a wildcard must not reach from one into the next of a list.
_ATOMIC_SINKS = frozenset({"recipient", "account", "id", "channel", "secret"})
# A command, a key in PEM form and an attachment may honestly have several lines.
_MANY_LINES = frozenset({"command", "secret", "attachment"})

_RECOGNIZER_NAME = re.compile("[a-z0-9]+(?:-[a-z0-9]+)*")
# What would let a match depend on more than its line: streams are judged line by line.
_WHOLE_TEXT = re.compile(r"\\[AzC]|\(\?[a-zA-Z]*-")
# How far before a value one of its keywords may stand.
KEYWORD_REACH = 60
_RATE = re.compile(r"([1-9][0-9]{0,8})/(?:([1-9][0-9]{0,5}) ?)?(s|second|m|minute|h|hour|d|day)s?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_REDIS_URL = re.compile(r"(?:rediss?://[^\s/]+(?:/[0-9]{0,4})?|unix:///[^\s?]+)(?:\?\S*)?")
_URL_ENTRY = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<host>[A-Za-z0-9._*?-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)?"
)


class Compiler:
    """Builds the rules of one file; every problem is a PolicyError at its line and column."""

    def __init__(self, file: PolicyFile, document: Document) -> None:
        self._file = file
        self._document = document

    def roles(self) -> dict[str, RoleRule]:
        """Check the role graph and every tool name in it."""
        for name in self._file.roles:
            self._check_name(("roles", name))
            self._check_role(name)
        self._check_cycles()
        return {
            name: RoleRule(
                name=name,
                permissions=frozenset(row.permissions),
                inherits=tuple(row.inherits),
                tools=tuple(row.tools),
                deny=tuple(row.deny),
                mode=row.mode,
                line=self._document.line("roles", name),
                deny_permissions=frozenset(row.deny_permissions),
                resources=tuple(row.resources),
            )
            for name, row in self._file.roles.items()
        }

    def agents(self) -> dict[str, AgentRule]:
        """Check that roles and message receivers exist."""
        for name, row in self._file.agents.items():
            self._check_name(("agents", name))
            self._known(("agents", name, "roles"), row.roles, self._file.roles, "role")
            self._check_receivers(name, row)
        return {
            name: AgentRule(
                name,
                tuple(row.roles),
                MappingProxyType(
                    {to: MessageRule(tuple(each.topics), each.max_size) for to, each in row.may_message.items()}
                ),
                self._document.line("agents", name),
            )
            for name, row in self._file.agents.items()
        }

    def _check_receivers(self, name: str, row: AgentRow) -> None:
        steps: _Steps = ("agents", name, "may_message")
        written = list(row.may_message)
        by_name = (*steps, written[0]) in self._document.values if written else False
        # Written as a list, names stand at their index; as a mapping, under themselves.
        self._known(steps, {each: each for each in written} if by_name else written, self._file.agents, "agent")
        for receiver, each in row.may_message.items():
            if by_name:
                self._check_globs((*steps, receiver, "topics"), each.topics)

    def tools(self) -> dict[str, ToolRule]:
        """Build each tool's rule."""
        return {name: self._tool(name, row) for name, row in self._file.tools.items()}

    def rate(self, steps: _Steps, row: RateRow | None) -> RateRule | None:
        """Read ``5/minute`` or ``100/15 minutes``."""
        if row is None:
            return None
        found = _RATE.fullmatch(row.limit)
        if found is None:
            self._fail(
                (*steps, "limit"),
                f"got the rate {row.limit[:40]!r}; write count/period, as in 5/minute, 100/15 minutes or 1/second",
            )
        count = int(found[1])
        seconds = int(found[2] or 1) * _SECONDS[found[3][0]]
        burst = count if row.burst is None else row.burst
        if burst > count:
            self._fail((*steps, "burst"), f"burst {burst} is above the count {count}; raise the count or lower it")
        return RateRule(count, float(seconds), burst, row.scope, row.per)

    def rates(self) -> RateRules:
        """The limits that belong to no single tool, and where shared ones are counted."""
        row = self._file.rates
        if row.redis is not None:
            self._check_redis(("rates", "redis"), row.redis)
        return RateRules(
            model=self.rate(("rates", "model"), row.model),
            message=self.rate(("rates", "message"), row.message),
            default=self.rate(("rates", "default"), row.default),
            redis=row.redis,
            when_down=row.when_down,
        )

    def approval(self) -> ApprovalRules:
        """How a person is asked about a call."""
        row = self._file.approval
        if row.wait > row.expires:
            self._fail(
                ("approval", "wait"), f"a call would wait {row.wait} s for a question that ends in {row.expires} s"
            )
        role = self._approver(("approval", "role"), row.role)
        return ApprovalRules(row.approver, row.wait, row.expires, role, row.own)

    def _approver(self, steps: _Steps, role: str | None) -> str:
        if role is None:
            return ""
        known = {*self._file.roles, "viewer", "user", "admin"}
        if role not in known:
            self._fail(steps, f"unknown role {role[:60]!r}; {_listing(known)}{did_you_mean(role, known)}")
        return role

    def _check_redis(self, steps: _Steps, url: str) -> None:
        # The URL itself stands in no message: it may hold a password after all.
        if not _REDIS_URL.fullmatch(url):
            self._fail(steps, "write redis://host:6379/0, rediss://host or unix:///path")
        if "@" in url or "password" in url.lower():
            self._fail(steps, "no password in a policy: put the URL into the file redis.url of the project's folder")

    def _cost(self, steps: _Steps, row: ToolRow, own: RateRule | None) -> int:
        if row.cost == 1:
            return 1
        rate = own or self.rate(("rates", "default"), self._file.rates.default)
        if rate is None:
            self._fail((*steps, "cost"), "nothing limits this tool, so it has no cost; give it a rate or remove it")
        if row.cost > rate.burst:
            self._fail((*steps, "cost"), f"one call costs {row.cost} and at most {rate.burst} fit: it would never pass")
        return row.cost

    def hosts(self) -> tuple[str, ...]:
        """The hosts that markup may point to: exact names, no globs."""
        hosts = self._file.output.allow_hosts
        for index, host in enumerate(hosts):
            if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", host):
                self._fail(
                    ("output", "allow_hosts", index),
                    f"got {host[:60]!r}; write one exact lower-case host name, as in docs.example.com",
                )
        return tuple(hosts)

    def monitor(self) -> MonitorRules | None:
        """What is done about anomalies; None when nothing is watched."""
        row = self._file.monitor
        if row is None:
            return None
        seconds = float(int(row.duration[:-1]) * _SECONDS[row.duration[-1]])
        return MonitorRules(row.response, row.severity, seconds, tuple(dict.fromkeys(row.deliver)))

    def flow(self) -> FlowRules:
        """The words and bounds of information flow."""
        row = self._file.flow
        for key, families in (("verbs", row.verbs), ("objects", row.objects)):
            for name, phrases in families.items():
                self._check_name(("flow", key, name))
                self._check_phrases(("flow", key, name), phrases)
        return FlowRules(
            memory=row.memory,
            languages=tuple(dict.fromkeys(row.languages)),
            verbs=MappingProxyType({name: tuple(phrases) for name, phrases in row.verbs.items()}),
            objects=MappingProxyType({name: tuple(words) for name, words in row.objects.items()}),
        )

    def recognizers(self) -> RecognizerRules:
        """Formats of one's own: patterns RE2 takes, that find their examples and refuse their look-alikes."""
        row = self._file.recognizers
        for name, own in row.own.items():
            self._check_recognizer(("recognizers", "own", name), own)
        self._check_globs(("recognizers", "allow"), row.allow)
        allow = Globs.allow(row.allow, atomic=False) if row.allow else None
        return RecognizerRules(
            own=tuple(
                OwnRecognizer(
                    name, own.kind, own.pattern, tuple(own.keywords), tuple(own.examples), tuple(own.look_alikes)
                )
                for name, own in row.own.items()
            ),
            deny=tuple(row.deny),
            allowed=(lambda value: allow.match(lower(value))) if allow else None,
        )

    def _check_recognizer(self, steps: _Steps, row: OwnRecognizerRow) -> None:
        if not _RECOGNIZER_NAME.fullmatch(str(steps[-1])):
            self._fail(steps, "name a recognizer with lower-case words and hyphens, as in employee-id", key=True)
        self._pattern((*steps, "pattern"), row.pattern)
        if _WHOLE_TEXT.search(row.pattern):
            self._fail((*steps, "pattern"), r"\A, \z, \C and (?-...) are not accepted; ^ and $ mean the line's edges")
        pattern = compiled(f"(?m:{row.pattern})")
        if pattern.search("") is not None:
            self._fail((*steps, "pattern"), "this pattern matches the empty text, so it would be found everywhere")
        for index, example in enumerate(row.examples):
            if not _finds(pattern, row.keywords, example):
                self._fail((*steps, "examples", index), "the recognizer does not find this example of its own")
        for index, text in enumerate(row.look_alikes):
            if _finds(pattern, row.keywords, text):
                self._fail((*steps, "look_alikes", index), "the recognizer finds this look-alike; narrow its pattern")

    def _check_role(self, name: str) -> None:
        row = self._file.roles[name]
        self._known(("roles", name, "inherits"), row.inherits, self._file.roles, "role")
        for key, names in (("permissions", row.permissions), ("deny_permissions", row.deny_permissions)):
            self._known(("roles", name, key), names, (*PERMISSIONS, *self._file.permissions), "permission")
        for index, glob in enumerate(row.resources):
            if problem := glob_problem(glob):
                self._fail(("roles", name, "resources", index), f"{problem}; got {glob[:60]!r}")
        for key, globs in (("tools", row.tools), ("deny", row.deny)):
            for index, glob in enumerate(globs):
                self._check_tool_glob(("roles", name, key, index), glob, must_match=key == "tools")

    def _check_tool_glob(self, steps: _Steps, glob: str, *, must_match: bool) -> None:
        if problem := glob_problem(glob):
            self._fail(steps, f"{problem}; got {glob[:60]!r}")
        if not is_glob(glob):
            self._known(steps[:-1], {int(steps[-1]): glob}, self._file.tools, "tool")
        # A deny glob may wait for tools to come: an undeclared tool is refused anyway.
        elif must_match and not any(map(Globs.names([glob]).match, self._file.tools)):
            self._fail(steps, f"the glob {glob!r} matches no tool under tools: ({_listing(self._file.tools)})")

    def _check_cycles(self) -> None:
        done: set[str] = set()
        for start in self._file.roles:
            trail: list[str] = []
            pending: list[tuple[str, bool]] = [(start, False)]
            while pending:
                name, leaving = pending.pop()
                if leaving:
                    done.add(trail.pop())
                elif name in trail:
                    circle = " -> ".join([*trail[trail.index(name) :], name])
                    self._fail(("roles", trail[-1], "inherits"), f"roles inherit in a circle: {circle}")
                elif name not in done:
                    trail.append(name)
                    pending.append((name, True))
                    pending.extend((parent, False) for parent in self._file.roles[name].inherits)

    def _tool(self, name: str, row: ToolRow) -> ToolRule:
        steps: _Steps = ("tools", name)
        self._check_name(steps)
        if row.free_text and row.output != "mixed":
            self._fail((*steps, "free_text"), "free_text is for `output: mixed` only; say mixed or remove the list")
        if row.inbound and row.output != "mixed":
            self._fail((*steps, "inbound"), "inbound is for `output: mixed` only; say mixed or remove it")
        self._check_intent(steps, row)
        args = {arg: self._arg((*steps, "args", arg), row.args[arg], row) for arg in row.args}
        rate = self.rate((*steps, "rate"), row.rate)
        return ToolRule(
            name=name,
            side_effect=row.side_effect,
            output=Label(row.output),
            free_text=frozenset(row.free_text),
            egress=row.egress,
            args=MappingProxyType(args),
            required=tuple(arg for arg, rule in args.items() if rule.required),
            extra_args=row.extra_args,
            approval=row.approval,
            rate=rate,
            cost=self._cost(steps, row, rate),
            approver=self._approver((*steps, "approver"), row.approver),
            mode=row.mode,
            line=self._document.line(*steps),
            inbound=row.inbound,
            object=tuple(row.object),
            verbs=tuple(row.verbs),
            intent=row.intent or self._file.flow.intent,
            repeat=row.repeat or self._file.flow.repeat,
            clears=self._clears(steps, row),
            constraints=_constraints_digest(row),
            pin=row.pin or "",
        )

    def _check_intent(self, steps: _Steps, row: ToolRow) -> None:
        """Reading needs no words of the user, so a row that asks for some would never do what it says."""
        for key in ("object", "verbs", "intent", "repeat"):
            if row.side_effect == "read" and getattr(row, key):
                self._fail((*steps, key), f"{key} is for tools that do more than read; remove it")
        for key in ("object", "verbs"):
            self._check_phrases((*steps, key), getattr(row, key))

    def _check_phrases(self, steps: _Steps, phrases: list[str]) -> None:
        for index, phrase in enumerate(phrases):
            if not any(map(str.isalnum, phrase)) or phrase != phrase.strip() or not phrase.isprintable():
                self._fail((*steps, index), f"got {phrase[:60]!r}; write plain words without spaces at their ends")
            self._no_glob((*steps, index), phrase)

    def _clears(self, steps: _Steps, row: ToolRow) -> Mapping[str, tuple[str, ...]]:
        if row.clears and row.side_effect == "read" and not row.egress:
            self._fail((*steps, "clears"), "nothing leaves by a tool that only reads; say egress: true or remove it")
        for name, globs in row.clears.items():
            self._check_globs((*steps, "clears", name), globs)
        return MappingProxyType({name: tuple(globs) for name, globs in row.clears.items()})

    def _arg(self, steps: _Steps, row: ArgRow, tool: ToolRow) -> ArgRule:
        self._check_name(steps)
        self._check_sources(steps, row)
        self._check_restore(steps, row)
        sink = row.sink or ("value" if row.sources is not None else None)
        if sink and row.content:
            self._fail((*steps, "content"), "an argument is a sink or content, not both; content is for bodies of text")
        # A row that only constrains says nothing of who may set the value: a missing label is the strict one.
        acts = tool.side_effect != "read" or tool.egress
        if acts and not sink and not row.content and row.one_of is None:
            sink = "value"
        return ArgRule(
            name=str(steps[-1]),
            sink=sink,
            content=row.content,
            sources=tuple(row.sources) if row.sources is not None else ("user",) if sink else (),
            constraints=tuple(self._constraints(steps, row)),
            redact=frozenset(row.redact),
            restore=frozenset(row.restore),
            required=row.required,
            line=self._document.line(*steps),
        )

    def _check_restore(self, steps: _Steps, row: ArgRow) -> None:
        """What could never come back, or would be taken out again, is not what anybody meant."""
        for index, name in enumerate(row.restore):
            operator = getattr(self._file.redaction, name).operator
            if operator not in ("pseudonym", "encrypt"):
                self._fail(
                    (*steps, "restore", index),
                    f"{name} is redacted by {operator}, which cannot be undone; set redaction.{name} to pseudonym or "
                    "encrypt, or remove this",
                )
            if name in row.redact:
                self._fail((*steps, "restore", index), f"{name} is restored and redacted here; remove one of the two")

    def redaction(self) -> Mapping[str, RedactionRule]:
        """How each class is written where it is redacted."""
        row = self._file.redaction
        for name in ("secret", "pii"):
            each = getattr(row, name)
            if each.keep and each.operator in ("hash", "remove"):
                self._fail(("redaction", name, "keep"), f"{each.operator} keeps nothing of a value; remove keep")
        return MappingProxyType(
            {
                name: RedactionRule(each.operator, each.scope, each.keep)
                for name, each in (("secret", row.secret), ("pii", row.pii))
            }
        )

    def _check_sources(self, steps: _Steps, row: ArgRow) -> None:
        if row.sources == []:
            self._fail((*steps, "sources"), "an empty list lets nobody set this argument; name user or a tool")
        for index, source in enumerate(row.sources or ()):
            here = (*steps, "sources", index)
            if source == "user":
                continue
            self._known((*steps, "sources"), {index: source}, [*self._file.tools, "user"], "tool")
            if self._file.tools[source].output == "untrusted":
                self._fail(
                    here,
                    f"{source!r} returns untrusted text, which may not set an argument; "
                    "label its output trusted or mixed if strangers cannot write it, else remove it here",
                )

    def _constraints(self, steps: _Steps, row: ArgRow) -> Iterable[Constraint]:
        """The cheap and general first, so that the message names the plainest fault."""
        if row.type:
            yield self._constraint(steps, "type", TypeIs(row.type))
        if row.max_length:
            yield self._constraint(steps, "max_length", MaxLength(row.max_length))
        if row.sink and row.sink not in _MANY_LINES:
            yield self._constraint(steps, "sink", OneLine())
        if row.one_of is not None:
            yield self._constraint(steps, "one_of", self._one_of(steps, row))
        if row.min is not None or row.max is not None:
            yield self._constraint(steps, "min" if row.min is not None else "max", self._bounds(steps, row))
        if row.pattern is not None:
            yield self._constraint(steps, "pattern", self._pattern((*steps, "pattern"), row.pattern))
        if row.under is not None:
            yield self._constraint(steps, "under", self._folder((*steps, "under"), row.under))
        if row.deny:
            yield self._constraint(steps, "deny", self._deny((*steps, "deny"), row))
        if row.allow is not None:
            yield self._constraint(steps, "allow", self._allow((*steps, "allow"), row))

    def _constraint(self, steps: _Steps, key: str, check: Check) -> Constraint:
        return Constraint(".".join(map(str, (*steps, key))), self._document.line(*steps, key), check)

    def _one_of(self, steps: _Steps, row: ArgRow) -> OneOf:
        if not row.one_of:
            self._fail((*steps, "one_of"), "an empty list permits nothing; list the values or remove it")
        if row.type and row.type not in ("array", "object"):
            for index, value in enumerate(row.one_of):
                if TypeIs(row.type).refuses(value):
                    self._fail((*steps, "one_of", index), f"this value is not of type {row.type}, as the row demands")
        return OneOf(frozenset((type(value), value) for value in row.one_of))

    def _bounds(self, steps: _Steps, row: ArgRow) -> Bounds:
        if row.min is not None and row.max is not None and row.min > row.max:
            self._fail((*steps, "max"), f"min {row.min} is above max {row.max}, so no number is permitted")
        if row.type in ("string", "boolean"):
            self._fail((*steps, "type"), f"min and max need numbers; the row demands type {row.type}")
        return Bounds(row.min, row.max)

    def _pattern(self, steps: _Steps, pattern: str) -> Pattern:
        if problem := pattern_problem(pattern):
            self._fail(
                steps, f"RE2 does not take this pattern: {problem}; look-around and back-references do not exist"
            )
        return Pattern(compiled(pattern))

    def _folder(self, steps: _Steps, under: str) -> Folder:
        self._no_glob(steps, under)
        parts = tuple(part for part in under.split("/") if part not in ("", "."))
        if not under or under != under.strip() or not under.isprintable() or "\\" in under or "~" in under:
            self._fail(steps, "write a folder with forward slashes, as in reports or /srv/data")
        if ".." in parts or under.startswith("//"):
            self._fail(steps, "a folder must not climb with ..; write where it really is")
        return Folder(parts, under.startswith("/"))

    def _deny(self, steps: _Steps, row: ArgRow) -> Check:
        self._check_globs(steps, row.deny)
        if row.sink == "url":
            return UrlRefused(tuple(self._url_rule((*steps, i), glob) for i, glob in enumerate(row.deny)))
        return Refused(Globs.deny(row.deny))

    def _allow(self, steps: _Steps, row: ArgRow) -> Check:
        allow = row.allow or []
        if not allow:
            self._fail(steps, "an empty list permits nothing; list what is allowed or remove it")
        self._check_globs(steps, allow)
        if row.sink == "url":
            return UrlAllowed(tuple(self._url_rule((*steps, i), glob) for i, glob in enumerate(allow)))
        atomic = row.sink in _ATOMIC_SINKS or any("@" in glob for glob in allow)
        paths = row.sink == "path" or any("/" in glob for glob in allow)
        return Allowed(Globs.allow(allow, atomic=atomic), paths=paths)

    def _url_rule(self, steps: _Steps, glob: str) -> UrlRule:
        found = _URL_ENTRY.fullmatch(glob)
        if found is None:
            self._fail(
                steps,
                f"got {glob[:60]!r}; on a url sink write a host, optionally with scheme, port and path: "
                "*.example.com or https://api.example.com:8443/v1/*",
            )
        path = found["path"]
        return UrlRule(
            scheme=found["scheme"].lower() if found["scheme"] else None,
            host=Globs.allow([found["host"].removesuffix(".")], atomic=True),
            port=int(found["port"]) if found["port"] else None,
            path=Globs.names([path]) if path and steps[-2] == "allow" else Globs.deny([path]) if path else None,
        )

    def _check_globs(self, steps: _Steps, globs: list[str]) -> None:
        for index, glob in enumerate(globs):
            if problem := glob_problem(glob):
                self._fail((*steps, index), f"{problem}; got {glob[:60]!r}")

    def _check_name(self, steps: _Steps) -> None:
        name = str(steps[-1])
        if is_glob(name):
            self._fail(steps, "globs are accepted in roles.tools, roles.deny, args.allow and args.deny only", key=True)
        if name != name.strip() or not name.isprintable():
            self._fail(steps, "a name is printable text without spaces at its ends", key=True)

    def _no_glob(self, steps: _Steps, text: str) -> None:
        if is_glob(text):
            self._fail(steps, "globs are accepted in roles.tools, roles.deny, args.allow and args.deny only")

    def _known(
        self, steps: _Steps, names: list[str] | dict[int, str] | dict[str, str], known: Collection[str], kind: str
    ) -> None:
        for index, name in names.items() if isinstance(names, dict) else enumerate(names):
            self._no_glob((*steps, index), name)
            if name not in known:
                self._fail(
                    (*steps, index), f"unknown {kind} {name[:60]!r}; {_listing(known)}{did_you_mean(name, known)}"
                )

    def _fail(self, steps: _Steps, message: str, *, key: bool = False) -> NoReturn:
        self._document.fail(steps, message, key=key)


def _constraints_digest(row: ToolRow) -> str:
    """A digest of what a call's arguments must be; who may set them, and whether on one line, stands beside it."""
    args = {
        # Without globs a sink demands nothing but one line.
        name: arg.model_dump(mode="json", exclude=_unconstraining(arg))
        for name, arg in row.args.items()
    }
    said = json.dumps([args, row.extra_args], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _unconstraining(row: ArgRow) -> set[str]:
    keys = {"sources", "redact", "content"}
    # A key that a policy does not use is no change of it.
    return keys | ({"sink"} if not _globs(row) else set()) | ({"restore"} if not row.restore else set())


def _finds(pattern: Any, keywords: Sequence[str], text: str) -> bool:
    group = pattern.groupindex.get("v", 0)
    for hit in pattern.finditer(text):
        before = text[max(0, hit.start(group) - KEYWORD_REACH) : hit.start(group)].rpartition("\n")[2].lower()
        if not keywords or any(word.lower() in before for word in keywords):
            return True
    return False


def _globs(row: ArgRow) -> bool:
    return row.allow is not None or bool(row.deny)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` - did you mean 'x'?`` for a near miss, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" - did you mean {near[0]!r}?" if near else ""


def _listing(known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return "none is declared"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return "declared: " + ", ".join(names[:8]) + more
