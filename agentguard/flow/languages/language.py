"""What is known of one language: its verbs and objects by family, and the small words that turn their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Language", "entries"]


@dataclass(frozen=True, slots=True)
class Language:
    """One language. Words are written as in a dictionary; case and accents are folded when they are compiled.

    An entry of ``verbs`` is a phrase, with these marks:

    * ``…`` stands for up to a dozen words of the same sentence ("leite … weiter");
    * a leading ``~`` means the word is a noun as well ("~book"): it counts as a verb only where a verb may stand;
    * a leading ``!`` means that the person asking is no object of it ("!tell": not "tell me");
    * a leading ``^`` is a participle: it asks only after a word of ``causative`` ("I want it sent");
    * ``:mail,message`` at the end names the objects that the verb itself implies.

    Args:
        code: two letters, ISO 639-1.
        verbs: phrases by verb family.
        objects: words by object family, in the singular.
        plurals: the same in the plural.
        grammar: small words by role; the roles are listed in ``agentguard.flow.vocabulary``.
        suffixes: endings that a verb may carry and that mean a person or thing (Spanish "envíalo").
    """

    code: str
    verbs: Mapping[str, tuple[str, ...]]
    objects: Mapping[str, tuple[str, ...]]
    plurals: Mapping[str, tuple[str, ...]]
    grammar: Mapping[str, tuple[str, ...]]
    suffixes: tuple[str, ...] = field(default=())


def entries(*texts: str) -> tuple[str, ...]:
    """Entries parted by commas outside ``:a,b``, so a table reads like a word list: use ``;`` between entries."""
    return tuple(entry.strip() for text in texts for entry in text.split(";") if entry.strip())


def joined(*tables: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Several tables of entries as one."""
    families = dict.fromkeys(family for table in tables for family in table)
    return {family: tuple(entry for table in tables for entry in table.get(family, ())) for family in families}
