"""Prompt: messages to the token ids of a request, changing no id that was computed before.

Runs on the prompts thread, since templates run in another process and long texts take time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from kvchat.session.message import MessageNode
from kvchat.text.chat_template import ChatTemplate
from kvchat.text.continuation import extend
from kvchat.text.tokenizer import Tokenizer


def path_lengths(path: Sequence[MessageNode]) -> list[int]:
    """Return for each message how many token ids the path has up to its end."""
    lengths: list[int] = []
    length = 0
    for node in path:
        new = node.token_ids
        is_rewriting = bool(new) and new[0] < 0
        length = -new[0] - 1 + len(new) - 1 if is_rewriting else length + len(new)
        lengths.append(length)
    return lengths


@dataclass(frozen=True, slots=True)
class Prompt:
    """All token ids of a request, and what the new user message adds to its parent's.

    `num_rewritten_tokens` counts ids of the history that the template no longer writes the same
    way; they are computed again.
    """

    token_ids: list[int]
    stored_ids: list[int]
    num_rewritten_tokens: int


def path_token_ids(path: Sequence[MessageNode]) -> list[int]:
    """Return the token ids of a path from the root: the concatenation along it.

    A first id of -n - 1 says that only the first n ids before this message still stand, since the
    template rewrote history there or another model read it.
    """
    token_ids: list[int] = []
    for node in path:
        new = node.token_ids
        if new and new[0] < 0:
            del token_ids[-new[0] - 1 :]
            new = new[1:]
        token_ids += new
    return token_ids


class PromptWriter:
    """Renders conversations of one model; one thread at a time."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, model_name: str) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.model_name = model_name

    def write(self, path: Sequence[MessageNode], system: str | None, date: str) -> Prompt:
        """Return the prompt of a path that ends in a new user message without token ids."""
        assert path and path[-1].role == "user"
        old_ids, old_text = self._known(path[:-1], system, date)
        text = self._render(path, system, date)
        reply_ends = [(len(old_text), len(old_ids))] if old_ids else []
        num_kept, new_ids = extend(self.tokenizer, old_ids, old_text, text, reply_ends)
        num_before = len(path_token_ids(path[:-1]))
        if num_kept == num_before:
            return Prompt(old_ids + new_ids, new_ids, 0)
        return Prompt(
            old_ids[:num_kept] + new_ids, [-num_kept - 1, *new_ids], num_before - num_kept
        )

    def num_fixed_tokens(self, system: str | None, date: str) -> int:
        """Return how many ids every prompt of a session begins with: its system prompt."""
        first, second = (
            self.template.encode(
                self.template.render(
                    _with_system([{"role": "user", "content": text}], system),
                    add_generation_prompt=True,
                    date=date,
                )
            )
            for text in ("a", "7")
        )
        same = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
        return sum(1 for _ in same)

    def _known(
        self, path: Sequence[MessageNode], system: str | None, date: str
    ) -> tuple[list[int], str]:
        """Return the ids of a path and their exact text; none where another model made them."""
        if not path or any(
            node.model_name not in (None, self.model_name) or not _has_ids(node) for node in path
        ):
            return [], ""
        text = self._render(path[:-1], system, date) if path[-1].role == "assistant" else ""
        if path[-1].role == "user":
            return path_token_ids(path), self._render(path, system, date)
        return path_token_ids(path), text + self.tokenizer.decode_raw(path[-1].token_ids)

    def _render(self, path: Sequence[MessageNode], system: str | None, date: str) -> str:
        messages = [{"role": node.role, "content": node.text} for node in path]
        return self.template.render(
            _with_system(messages, system), add_generation_prompt=True, date=date
        )


def _has_ids(node: MessageNode) -> bool:
    """Say whether the ids of a message are known; a reply that was stopped at once has none."""
    return bool(node.token_ids) or (node.role == "assistant" and not node.text)


def _with_system(messages: list[dict[str, str]], system: str | None) -> list[dict[str, str]]:
    return messages if system is None else [{"role": "system", "content": system}, *messages]
