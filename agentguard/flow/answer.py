"""Links and images in what a model says: that is how data leaves without any tool.

A link that was read may be shown. What may not: an image that strangers chose, since it is fetched unasked; a link
put together from a stranger's host and words of the run; a link that carries confidential data.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from agentguard.decision import Effect, Letter, Origin
from agentguard.event import Leaf, ModelOutput
from agentguard.flow.origin import Tracer
from agentguard.flow.review import Doubt
from agentguard.flow.secrets import Secrets

__all__ = ["answer_doubts"]

# What a renderer loads by itself, up to the address.
_IMAGE = re.compile(
    r"!\[[^\]\n]{0,500}\]\(\s{0,8}<?\Z|<(?:img|source|video|audio|iframe|link|object|embed)\b[^<>]{0,500}\Z",
    re.IGNORECASE,
)
# The address of an image may stand elsewhere: "![chart][1]", and below "[1]: https://...".
_REFERRED = re.compile(r"!\[[^\]\n]{0,500}\](?!\()")
_REFERENCE = re.compile(r"\]:\s{0,8}<?\Z")
_BEFORE = 600


def answer_doubts(event: ModelOutput, tracer: Tracer, confidential: Secrets | None) -> tuple[list[Doubt], list[Origin]]:
    """Everything that speaks against showing the answer, and the origin of every target in it."""
    doubts: list[Doubt] = []
    table: list[Origin] = []
    for leaf in event.leaves():
        if leaf.kind != "text" or leaf.path[:2] == ("message", "calls"):
            continue
        for row in tracer.targets("answer", leaf.path, leaf.text):
            judged = dataclasses.replace(row, effect=Effect.ALLOW, reason="")
            for doubt in _doubts(leaf, row, tracer, confidential):
                judged = dataclasses.replace(row, effect=doubt.effect, reason=doubt.reason)
                doubts.append(doubt)
            table.append(judged)
    return doubts, table


def _doubts(leaf: Leaf, row: Origin, tracer: Tracer, confidential: Secrets | None) -> Iterator[Doubt]:
    if row.kind != "url" or row.letter in (Letter.P, Letter.T, Letter.M):
        return
    where = f" ({row.source})" if row.source else ""
    if row.letter is Letter.U and (_is_image(leaf.text, row.value) or not tracer.quoted(row.value)):
        yield Doubt(
            Effect.DENY,
            "embedded-untrusted",
            f"The answer holds an image or a made-up link whose address comes from untrusted text{where}.",
            leaf.path,
            "flow.answer",
        )
    elif row.letter is Letter.N and tracer.suspicious and _is_image(leaf.text, row.value):
        yield Doubt(
            Effect.DENY,
            "embedded-unknown",
            "The answer holds an image whose address was found nowhere, and untrusted text was read.",
            leaf.path,
            "flow.answer",
        )
    elif confidential is not None and (carried := confidential.carried(row.value)):
        yield Doubt(
            Effect.DENY,
            "confidential",
            f"A link in the answer carries confidential data ({carried[0].kind}).",
            leaf.path,
            "flow.answer",
        )


def _is_image(text: str, address: str) -> bool:
    """Whether a renderer loads ``address``. One that stands there in disguise may be anything, so it counts as one."""
    place = text.find(address)
    if place < 0:
        return "![" in text or "<" in text
    referred = _REFERRED.search(text) is not None
    while place >= 0:
        before = text[max(0, place - _BEFORE) : place]
        if _IMAGE.search(before) or (referred and _REFERENCE.search(before)):
            return True
        place = text.find(address, place + 1)
    return False
