"""BlockText: which words of a chat a block holds, and where they stand in their message.

A block is a range of token positions; messages know their tokens. Reads the session, and keeps
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvchat.session.session import Session


@dataclass(frozen=True, slots=True)
class TextPart:
    """Characters `first` to `behind` - 1 of a message's text; none where both are equal."""

    message_id: str
    first: int
    behind: int


@dataclass(frozen=True, slots=True)
class BlockText:
    """The text of a range of tokens.

    text      what the tokens say; marks of the template say nothing
    parts     where that stands, in the order of the messages; never empty
    num_kept  tokens that stay when the session is rewound to the first of these messages: all of
              a reply, and of a prompt only what is before it
    target    the message the session then stands on, '' for the start
    """

    text: str
    parts: tuple[TextPart, ...]
    num_kept: int
    target: str

    @property
    def message_id(self) -> str:
        """The message its first token belongs to."""
        return self.parts[0].message_id


def read_block(session: "Session", first_token: int, num_tokens: int) -> BlockText | None:
    """Return the text of tokens of a session, None where no message has them."""
    texts: list[str] = []
    parts: list[TextPart] = []
    num_kept, target = 0, ""
    messages = {message.id: message for message in session.messages}
    for message_id, tokens in session.token_ranges().items():
        before = max(first_token, tokens.start) - tokens.start
        behind = min(first_token + num_tokens, tokens.stop) - tokens.start
        if before >= behind or message_id not in messages:
            continue
        message, pieces = messages[message_id], session.token_texts(message_id)
        texts.append("".join(pieces[before:behind]))
        if not parts:
            is_reply = message.role == "assistant"
            num_kept = tokens.stop if is_reply else tokens.start
            target = message.id if is_reply else message.parent_id or ""
        first, last = characters_of(message.text, pieces, before, behind)
        parts.append(TextPart(message_id, first, last))
    if not parts:
        return None
    return BlockText(" ".join(filter(None, texts)), tuple(parts), num_kept, target)


def token_range(session: "Session", message_id: str) -> range | None:
    """Return the token positions of a message, None where it has none."""
    return session.token_ranges().get(message_id) or None


def characters_of(text: str, pieces: Sequence[str], first: int, behind: int) -> tuple[int, int]:
    """Return which characters of a message's text its pieces `first` to `behind` - 1 hold.

    The pieces say the text, with marks of the template around it.
    """
    joined = "".join(pieces)
    start = max(joined.find(text), 0)
    left = len("".join(pieces[:first])) - start
    right = len("".join(pieces[:behind])) - start
    return min(max(left, 0), len(text)), min(max(right, 0), len(text))
