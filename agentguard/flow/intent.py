"""What the request itself asks for.

Guarantee: an action that the user did not ask for in words of their own is not "asked for", whatever was read since.
Only the trusted request is looked at. What it says about where something is to be found ("in an email I received"),
what it quotes, what it forbids ("do not send") and what it only asks about ("how do I cancel?") asks for nothing.
Where the request leaves open what an action is to be done to, the answer is generous for harmless tools and strict
for money, access and destruction.

Time is linear in the request's length; beyond ``MAX_WORDS`` words a request asks for nothing more.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from agentguard.flow.action import Action
from agentguard.flow.labels import ToolLabels
from agentguard.flow.sentence import Sentence, sentences
from agentguard.flow.vocabulary import Vocabulary, folded, phrase_of, split_name

__all__ = ["Intent"]

# Families of the request by which a tool's own action may be meant: outright, and only with a fitting object named.
_MEANT: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    family: (frozenset(outright.split()), frozenset(named.split()))
    for family, outright, named in (
        ("read", "read", ""),
        ("draft", "draft create", "send update"),
        ("create", "create draft update schedule", "post send pay run share invite grant"),
        ("update", "update create schedule control", "cancel delete pay share invite run grant revoke post send"),
        ("send", "send share invite", "post"),
        ("share", "share grant invite", "send"),
        ("invite", "invite grant share", "send create update schedule"),
        ("pay", "pay", "send schedule"),
        ("delete", "delete", "cancel revoke"),
        ("cancel", "cancel delete", "revoke"),
        ("schedule", "schedule invite", "create update send pay run"),
        ("run", "run control", "create update schedule"),
        ("grant", "grant share invite", "create send"),
        ("revoke", "revoke delete cancel", ""),
        ("post", "post share", "send create update"),
        ("control", "control update run", "create delete"),
    )
}
_BY_EFFECT = {
    "write": ("create", "update", "schedule", "post"),
    "send": ("send",),
    "destructive": ("delete", "cancel", "revoke"),
    "money": ("pay",),
    "access": ("grant", "revoke", "share"),
}
_BY_SINK = {
    "recipient": ("mail", "message"), "channel": ("channel", "message"), "amount": ("money",), "account": ("money",),
    "date": ("event",), "url": ("web",), "path": ("file",), "attachment": ("file",), "command": ("code",),
    "person": ("contact", "account"), "secret": ("account",),
}  # fmt: skip
# Ways of reaching somebody. Naming one excludes the others; what is sent by it may be anything.
_MEDIA: dict[str, frozenset[str]] = {
    "mail": frozenset({"mail", "message"}),
    "message": frozenset({"message", "channel"}),
    "channel": frozenset({"channel", "message"}),
}
_PUBLIC = frozenset({"social", "web"})
_SENDING = frozenset({"send", "post", "share", "invite"})
# Effects by which somebody gets something.
_GIVING = frozenset({"send", "money", "access"})
_TAKING = frozenset({"revoke", "delete", "cancel"})
_STRICT = frozenset({"money", "access", "destructive"})
_WHERE = frozenset({"channel", "contact", "account"})
_RIGHTS = frozenset({"account"})
_GENERIC = frozenset({"tool", "api", "id", "by", "to", "for", "in", "from", "with", "of", "the", "a", "new", "my"})


class Intent:
    """The actions that one run's request asks for.

    Args:
        texts: the user's own words, without passages that are marked as quoted.
        vocabulary: verb and object families.
    """

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._profiles: dict[str, _Profile] = {}
        self._sentences: list[Sentence] = sentences(texts, vocabulary)
        self._actions: list[Action] = _standing([action for each in self._sentences for action in each.actions])
        self._reported = [action for each in self._sentences for action in each.reported]
        self._affirmed = any(each.affirms and not each.doubts for each in self._sentences)
        if self._affirmed:
            # "The customer asked to cancel her order. Please do so."
            self._actions = [*self._actions, *self._reported]
        # "My boss wants me to send the report to Ann", and nothing else: that is what the user is here for.
        self._alone = self._reported if len(self._sentences) == 1 and not self._affirmed else []
        self._plain = all(each.said.plain for each in self._sentences)
        self._used: dict[tuple[bool, bool], tuple[str, ...]] = {}
        self._words = {word for sentence in self._sentences for word in sentence.words}
        self.delegated: frozenset[str] = frozenset().union(*(each.delegated for each in self._sentences))
        self.asks_first = any(each.asks_first for each in self._sentences)

    def used(self, tool: str, labels: ToolLabels) -> tuple[str, ...] | None:
        """The user's words without what a tool must not use as a target; None when there is nothing of that kind.

        Left out is what the request forbids, what others are said to wish for, texts to work on, and for tools that
        send or let in also whom something is stopped for or taken from ("block eve@x").
        """
        if self._plain:
            return None
        wishes = self._affirmed or bool(self._alone and labels.side_effect not in _STRICT)
        against = labels.side_effect not in _GIVING or not _TAKING.isdisjoint(self._profile(tool, labels).verbs)
        if (wishes, against) not in self._used:
            texts = (each.said.used(wishes=wishes, against=against) for each in self._sentences)
            self._used[wishes, against] = tuple(filter(None, texts))
        return self._used[wishes, against]

    @functools.cached_property
    def forbidden(self) -> tuple[str, ...]:
        """What the user says must not be used."""
        return tuple(filter(None, (each.said.barred() for each in self._sentences)))

    def asks_for(self, tool: str, labels: ToolLabels) -> bool:
        """Whether the request asks for what ``tool`` does: its kind of action on its kind of object.

        Always true for a tool that only reads.
        """
        if labels.side_effect == "read":
            return True
        return self._by_phrase(labels) or bool(self._asking(tool, labels))

    @property
    def unclear(self) -> bool:
        """Whether the request asks for nothing that is understood, though it may in words that nobody listed."""
        acting = any(not action.families.keys() <= {"read"} for action in self._actions)
        return not acting and any(each.strange for each in self._sentences)

    def mentions(self, tool: str, labels: ToolLabels) -> bool:
        """Whether the request says that somebody else wishes for what ``tool`` does."""
        profile = self._profile(tool, labels)
        return any(profile.fits(action, self._words) for action in self._reported)

    def count(self, tool: str, labels: ToolLabels) -> int | None:
        """How many calls of ``tool`` the request asks for; None means as many as needed, 0 that it asks for none."""
        if labels.side_effect == "read":
            return None
        profile = self._profile(tool, labels)
        total = int(self._by_phrase(labels))
        for action in self._asking(tool, labels):
            number = action.count(profile.objects)
            if number is None:
                return None
            total = total + number
        return total

    def delegates(self, tool: str, labels: ToolLabels) -> bool:
        """Whether the user told the agent to do what a result of ``tool`` says.

        ``delegated`` holds the object families named; ``any`` stands for a delegation that names none.
        """
        if not self.delegated:
            return False
        objects = self._profile(tool, labels).objects
        return "any" in self.delegated or not objects or not objects.isdisjoint(_related(self.delegated))

    def _by_phrase(self, labels: ToolLabels) -> bool:
        phrases = [phrase_of(text, "own") for text in labels.verbs]
        return any(sentence.says(phrase) for phrase in phrases for sentence in self._sentences)

    def _profile(self, tool: str, labels: ToolLabels) -> _Profile:
        known = self._profiles.get(tool)
        if known is None or known.labels is not labels:
            known = self._profiles[tool] = _Profile(tool, labels, self._vocabulary)
        return known

    def _asking(self, tool: str, labels: ToolLabels) -> list[Action]:
        profile = self._profile(tool, labels)
        if profile.asking is None:
            actions = self._actions if profile.strict else [*self._actions, *self._alone]
            profile.asking = [action for action in actions if profile.fits(action, self._words)]
        return profile.asking


class _Profile:
    """What a tool does and to what: from its labels, else from its name, else from its arguments."""

    def __init__(self, tool: str, labels: ToolLabels, vocabulary: Vocabulary) -> None:
        self.labels = labels
        # The actions of the request that mean this tool, once they were looked for.
        self.asking: list[Action] | None = None
        words = split_name(tool)
        place, families = vocabulary.name_verbs(words)
        families = families - {"read"}
        self.verbs = families
        effect = set(_BY_EFFECT.get(labels.side_effect, ()))
        self.strict = labels.side_effect in _STRICT
        # What a critical tool does is said by its label; a name that says otherwise counts with a fitting object only.
        self.families = (families & effect) or (effect if self.strict or not families else families)
        if labels.side_effect == "send":
            self.families = effect | (families & _SENDING)
        rest = [word for index, word in enumerate(words) if index != place and word not in _GENERIC]
        self.objects, self.own_words = _objects(labels, rest, vocabulary)
        # A bill is what is paid, and no money that could be sent.
        self.near = frozenset({"money", "bill"}) if self.objects & {"money", "bill"} else frozenset()
        self.thing_words = frozenset(word for word in self.own_words if _families_of(word, vocabulary))
        self.outright = _meant(self.families, 0)
        if "run" in families and any(row.sink == "command" for row in labels.args.values()):
            # "Run make lint": the command itself is guarded as an argument.
            self.outright |= {"run"}
        self.named = _meant(self.families, 1) | _meant(families, 0)
        self.sends = bool(self.families & {"send"}) and not self.strict

    def fits(self, action: Action, said: set[str]) -> bool:
        """Whether ``action`` of the request means this tool."""
        outright = [family for family in action.families if family in self.outright]
        named = [family for family in action.families if family in self.named]
        if not outright and not named:
            return False
        if self.strict and not outright and action.to_me:
            # "Send me the payments": the user is to be shown them.
            return False
        objects = self._done_to(action, outright) | action.implied_by(outright or named)
        if action.pronoun and objects <= _RIGHTS:
            # "Give them access": to what was spoken of.
            objects |= action.before
        words = action.direct_words if self.labels.side_effect == "destructive" else action.words
        if self.strict and not outright:
            # "Send the hotel confirmation" says hotel and means none.
            words -= self.thing_words
        if objects & self.objects or (outright and objects & self.near) or self.own_words & words:
            return True
        if outright and action.person and "account" in self.objects:
            # "Delete the mails from Eve" is nothing that happens to Eve.
            return "delete" not in action.families or action.direct <= _WHERE
        if self.sends and outright:
            return self._medium_fits(objects)
        if not outright:
            return False
        if not objects:
            return not (self.strict and action.unknown and "delete" in action.families)
        # A thing of a kind nobody listed: the words of the tool's name are all there is.
        return not self.objects and not self.strict and (not self.own_words or bool(self.own_words & said))

    def _done_to(self, action: Action, outright: list[str]) -> frozenset[str]:
        """The objects that count: for critical tools the thing itself, not what it is a list of or taken out of."""
        if self.strict and not outright:
            return action.head
        return action.direct if self.labels.side_effect == "destructive" else action.objects

    def _medium_fits(self, objects: frozenset[str]) -> bool:
        named = objects & _MEDIA.keys()
        media = self.objects & _MEDIA.keys()
        if not named or not media:
            # What is sent as a mail is not published.
            return not named or not self.objects & _PUBLIC
        if "channel" in named and "mail" not in named:
            media = media - {"mail"}
        return any(named & _MEDIA[medium] for medium in media)


def _objects(labels: ToolLabels, words: list[str], vocabulary: Vocabulary) -> tuple[frozenset[str], frozenset[str]]:
    if labels.object:
        given = {folded(word) for word in labels.object}
        families = given & vocabulary.families()
        # "payment" stands for the family it is a word of, "share" for none: it is a word of two.
        of_one = {word: row for word in given - families if len(row := _families_of(word, vocabulary)) == 1}
        return frozenset(families).union(*of_one.values()), frozenset(given - families)
    found = frozenset(noun.family for index in range(len(words)) for noun in vocabulary.nouns_at(words, index))
    if found:
        return found, frozenset(words)
    sinks = {family for row in labels.args.values() for family in _BY_SINK.get(row.sink or "", ())}
    return frozenset(sinks), frozenset(words)


def _families_of(word: str, vocabulary: Vocabulary) -> frozenset[str]:
    words = word.split()
    return frozenset(noun.family for noun in vocabulary.nouns_at(words, 0) if len(noun.words) == len(words))


def _meant(families: set[str], place: int) -> frozenset[str]:
    return frozenset().union(*(_MEANT[family][place] for family in families))


def _related(families: frozenset[str]) -> frozenset[str]:
    return families | {near for family in families for near in _MEDIA.get(family, ())}


def _standing(actions: list[Action]) -> list[Action]:
    """Actions that nothing later takes back: "draft a reply but do not send it" sends nothing."""
    standing: list[Action] = []
    taken_back: set[str] = set()
    for action in reversed(actions):
        if not action.negated:
            if taken_back.isdisjoint(action.families):
                standing.append(action)
        elif action.vague and "contact" not in action.objects:
            # "Don't send it to Eve" leaves it to be sent to others.
            taken_back.update(action.families)
    return standing[::-1]
