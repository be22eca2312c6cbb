"""What of a streamed answer may be read before the whole was checked.

Text passes through ``Guard.stream_filter`` as it arrives, or waits until the whole answer was checked where there is no
filter; so does the text of content blocks, block by block, as long as nothing that must wait stood before it. The
arguments of tool calls, other blocks and everything beside the text always wait. The chunks add up to the checked
message, in any chunking.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk

from agentguard import AdapterError, ModelOutput, StreamFilter

from .events import ModelResult, model_output_applied

__all__ = ["Held", "blocked_chunk"]

# A streamed text: the whole content when that is a string, else the content block with this index.
Place = int | str | None
_WHOLE: Place = None
_TEXT_BLOCK = frozenset({"type", "text", "index"})


@dataclass(slots=True)
class Held:
    """The part of one streamed answer that has not been passed on. ``filters`` makes a filter, or None to hold all."""

    filters: Callable[[], StreamFilter | None]
    shadow: bool
    chunks: list[ChatGenerationChunk] = field(default_factory=list)
    sent: dict[Place, str] = field(default_factory=dict)
    original: ModelResult | None = None
    _place: Place = None
    _filter: StreamFilter | None = None
    _waits: bool = False

    def take(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        """Keep the chunk; give what of its text may be read now."""
        self.chunks.append(chunk)
        content = chunk.message.content
        if self.shadow:
            self.sent[_WHOLE] = self.sent.get(_WHOLE, "") + chunk.text
            yield chunk
        elif isinstance(content, str):
            if content:
                yield from self._released(_WHOLE, content, chunk.message.id)
        else:
            for block in content:
                place = _place(block)
                # Whatever follows must not overtake what waits.
                self._waits = self._waits or place is _WHOLE
                if not self._waits:
                    yield from self._released(place, cast(Any, block)["text"], chunk.message.id)

    def _released(self, place: Place, text: str, message_id: str | None) -> Iterator[ChatGenerationChunk]:
        for where, ready in self._filtered(place, text):
            if ready:
                self.sent[where] += ready
                content: Any = ready if where is _WHOLE else [{"type": "text", "text": ready, "index": where}]
                yield ChatGenerationChunk(message=AIMessageChunk(content=content, id=message_id))

    def _filtered(self, place: Place, text: str) -> Iterator[tuple[Place, str]]:
        """What may be read now, with its place. A block ends where the next begins."""
        if self._waits:
            return
        if self._filter is not None and place != self._place:
            yield self._place, self._filter.flush()
            if self._filter.stopped:
                # Nothing may overtake what it did not let go.
                self._waits = True
                return
            self._filter = None
        if self._filter is None:
            self._filter = None if place in self.sent or _WHOLE in self.sent else self.filters()
            if self._filter is None:
                self._waits = True
                return
            self._place = place
            self.sent[place] = ""
        yield place, self._filter.feed(text)

    def whole(self) -> ModelResult:
        """The answer as the provider gave it."""
        merged = self.chunks[0]
        for chunk in self.chunks[1:]:
            merged = merged + chunk
        message = message_chunk_to_message(cast(AIMessageChunk, merged.message))
        self.original = ModelResult(message, merged.generation_info)
        return self.original

    def partial(self) -> ModelResult:
        """What a reader has seen of an answer that broke off."""
        return ModelResult(AIMessage(content="".join(self.sent.values())))

    def applied(self, result: ModelResult, before: ModelOutput, after: ModelOutput) -> ModelResult:
        """The checked answer, if it goes on where the reader stopped."""
        applied = model_output_applied(result, before, after)
        if not self.shadow and not self._goes_on(applied.message.content):
            raise AdapterError("the stream filter and the stages disagree about a text that was already passed on")
        return applied

    def _goes_on(self, content: Any) -> bool:
        if isinstance(content, str):
            return set(self.sent) <= {_WHOLE} and content.startswith(self.sent.get(_WHOLE, ""))
        first = content[: len(self.sent)]
        return list(self.sent) == [_index_of(block) for block in first] and all(
            block["text"].startswith(text) for block, text in zip(first, self.sent.values(), strict=True)
        )

    def close(self, result: ModelResult) -> Iterator[ChatGenerationChunk]:
        """What is still to be passed on, now that the whole was checked."""
        if self.shadow:
            return
        untouched = self.original is not None and result.message is self.original.message
        if untouched and result.info is self.original.info and not any(self.sent.values()):  # type: ignore[union-attr]
            yield from self.chunks
        else:
            yield self._final_chunk(result)

    def _final_chunk(self, result: ModelResult) -> ChatGenerationChunk:
        """Everything of a checked answer that was not sent as text: one chunk that ends the stream."""
        message = result.message
        if not isinstance(message, AIMessage):
            raise AdapterError(f"a stream of {type(message).__name__} cannot be guarded")
        calls = [
            {"name": call["name"], "args": _arguments(call["args"]), "id": call["id"], "index": index}
            for index, call in enumerate([*message.tool_calls, *message.invalid_tool_calls])
        ]
        chunk = AIMessageChunk(
            content=self._rest(message.content),
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            tool_call_chunks=cast(Any, calls),
            usage_metadata=message.usage_metadata,
            id=message.id,
            name=message.name,
            chunk_position="last",
        )
        return ChatGenerationChunk(message=chunk, generation_info=result.info)

    def _rest(self, content: Any) -> Any:
        if isinstance(content, str):
            return content[len(self.sent.get(_WHOLE, "")) :]
        rest = []
        for block in content:
            seen = self.sent.get(_index_of(block), "")
            left = {**block, "text": block["text"][len(seen) :]} if seen else block
            if not seen or left["text"] or set(left) - _TEXT_BLOCK:
                rest.append(left)
        return rest


def blocked_chunk(message: AIMessage) -> ChatGenerationChunk:
    """The answer that stands in for a refused one, as the end of a stream."""
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=message.content, response_metadata=message.response_metadata, chunk_position="last"
        )
    )


def _place(block: Any) -> Place:
    """Where a piece of a text block belongs; None for what is no plain piece of text."""
    return _index_of(block) if isinstance(block, dict) and set(block) <= _TEXT_BLOCK else None


def _index_of(block: Any) -> Place:
    if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
        return None
    index = block.get("index")
    return index if isinstance(index, int | str) and not isinstance(index, bool) else None


def _arguments(args: object) -> str | None:
    return args if args is None or isinstance(args, str) else json.dumps(args)
