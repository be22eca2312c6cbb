"""Whether a word of the request stands where a target is named: "in general", "#general", "Send Mark the list".

"Post a general update" holds the word and names no channel of it. Asked of single words without a mark of their own;
an address or a number is a target wherever it stands. Linear in the request.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.flow.forms import bare_word, canonical
from agentguard.flow.vocabulary import folded, is_verb, names_thing

__all__ = ["names_target"]

# How far back a list ("to anna, ben and carl") is followed.
MAX_LIST = 12
_TO = frozenset(
    word
    for words in (
        "to in into on onto for with at from via as channel group room named called cc bcc",
        "an als in ins im auf mit von vom zu zum zur bei beim aus dem den der kanal gruppe raum namens",
        "a au aux comme dans sur en avec pour de chez canal groupe salon nomme",
        "al como con para desde llamado grupo sala",
    )
    for word in words.split()
)
# What may stand between: "to the", "in our", "mit meinem".
_BETWEEN = frozenset(
    word
    for words in (
        "the my our your his her their all",
        "die das meinem meinen meiner unserem unseren unserer allen",
        "le la les l mon ma mes notre nos",
        "el los las mi mis nuestro nuestra",
    )
    for word in words.split()
)
_AND = frozenset({"and", "or", "und", "oder", "et", "ou", "y", "e", "o", "&"})
# What comes right behind the name of a group of people.
_KINDS = frozenset(
    word
    for words in ("channel group room chat list team account", "kanal gruppe konto canal groupe compte grupo cuenta")
    for word in words.split()
)
# What may follow a name that a verb takes without a preposition: "mail anna the list".
_AFTER = frozenset(
    word
    for words in (
        "the a an that this my our about and or i we it to in on with for if when please now today tomorrow",
        "die das den der ein eine einen dass meine unsere und oder bitte heute morgen mit zu wegen",
        "le la les un une que mon notre et ou pour avec",
        "el los las una mi nuestro y o con para",
    )
    for word in words.split()
)
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"
_ENDS = ".!?;:,"


def names_target(texts: Sequence[str], value: str) -> bool:
    """Whether ``value``, one plain word, is named as a target in one of ``texts``."""
    wanted = canonical(value)
    for text in texts:
        words = text.split()
        if any(canonical(bare_word(word)) == wanted and _named(words, place) for place, word in enumerate(words)):
            return True
    return False


def _named(words: Sequence[str], place: int) -> bool:
    word, bare = words[place], bare_word(words[place])
    if word[0] in "#@" or word[0] in _QUOTES:
        return True
    behind = folded(bare_word(words[place + 1])) if place + 1 < len(words) and word[-1] not in _ENDS else ""
    if bare[:1].isupper() and not names_thing(folded(bare)):
        # At the start of a sentence every word has a capital.
        starts = place == 0 or words[place - 1][-1] in ".!?:"
        return not starts or not (is_verb(folded(bare)) or names_thing(behind))
    return _led(words, place, behind)


def _led(words: Sequence[str], place: int, behind: str) -> bool:
    """Whether a preposition or a verb leads to the word, over the articles and list items between."""
    joined = False
    for before in range(place - 1, max(-1, place - 1 - MAX_LIST), -1):
        word = folded(bare_word(words[before]))
        if words[before].lower() == "a":
            # Spanish "to", and an article in English: that leads to a thing.
            return not behind or behind in _AFTER
        if word in _TO:
            return behind in _KINDS or not names_thing(behind)
        if word in _BETWEEN and behind in _KINDS:
            return True
        # "To anna, ben and carl": what is joined to an item of the list is one.
        listed, joined = joined or words[before][-1] == ",", word in _AND
        if not (listed or joined or word in _BETWEEN):
            return is_verb(word) and (not behind or behind in _AFTER)
    return False
