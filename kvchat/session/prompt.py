"""Prompt: messages to the token ids of a request, changing no id that was computed before.

Runs on the prompts thread, since templates run in another process and long texts take time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from kvchat.session.message import MessageNode
from kvchat.store.rows import system_key
from kvchat.text.chat_template import ChatTemplate
from kvchat.text.continuation import extend, text_of_reply
from kvchat.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """All token ids of a request, and what the new user message adds to its parent's.

    `num_rewritten_tokens` counts ids of the history that are no longer written the same way and
    are computed again; `notice` says so to the user.
    """

    token_ids: list[int]
    stored_ids: list[int]
    num_rewritten_tokens: int = 0
    notice: str | None = None


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


def num_known(path: Sequence[MessageNode], system: str | None, model_name: str) -> int:
    """Return how many first messages of a path have ids that this model read with this system text.

    The last user message with ids decides: when it was written, all ids before it were made to fit.
    """
    places = [place for place, node in enumerate(path) if node.role == "user" and node.token_ids]
    if not places:
        return 0
    last = path[places[-1]]
    if last.model_name != model_name or last.system_key != system_key(system):
        return 0
    end = places[-1] + 1
    if end < len(path) and path[end].role == "assistant":
        reply = path[end]
        end += reply.model_name == model_name and (bool(reply.token_ids) or not reply.text)
    return end


class PromptWriter:
    """Renders conversations of one model; one thread at a time."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, model_name: str) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.model_name = model_name

    def write(self, path: Sequence[MessageNode], system: str | None, date: str) -> Prompt:
        """Return the prompt of a path that ends in a new user message without token ids."""
        assert path and path[-1].role == "user"
        text, notice = self._render(path, system, date)
        before = path_token_ids(path[:-1])
        known = path[: num_known(path[:-1], system, self.model_name)]
        if not known:
            token_ids = self.tokenizer.encode_rendered(text)
            num_kept = _num_common(before, token_ids)
            new_ids = token_ids[num_kept:]
        else:
            old_ids, old_text, old_notice = self._ids_and_text(known, system, date, text)
            if notice == old_notice:
                notice = None  # it was said then
            reply_ends = [(len(old_text), len(old_ids))]
            num_kept, new_ids = extend(self.tokenizer, old_ids, old_text, text, reply_ends)
            token_ids = old_ids[:num_kept] + new_ids
        if num_kept == len(before):
            return Prompt(token_ids, new_ids, notice=notice)
        num_rewritten = len(before) - num_kept
        why = self._why_rewritten(path[:-1], are_all_known=len(known) == len(path) - 1)
        return Prompt(
            token_ids,
            [-num_kept - 1, *new_ids],
            num_rewritten,
            " ".join(filter(None, (f"{why}: re-reading {num_rewritten} tokens.", notice))),
        )

    def write_reply(self, prompt_ids: Sequence[int], text: str) -> list[int]:
        """Return the ids of a reply that somebody wrote, as they follow a prompt's."""
        masked = self.tokenizer.mask(text, of_reply=True)
        return self.tokenizer.encode_continuation(masked, prompt_ids[-1])

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
        return _num_common(first, second)

    def _ids_and_text(
        self, path: Sequence[MessageNode], system: str | None, date: str, new_text: str
    ) -> tuple[list[int], str, str | None]:
        """Return the ids of a path whose ids are known, the text they stand for, a notice."""
        ids = path_token_ids(path)
        if path[-1].role == "user":
            return ids, *self._render(path, system, date)
        text, notice = self._render(path[:-1], system, date)
        reply = text_of_reply(self.tokenizer, text, path[-1].token_ids, new_text)
        return ids, text + reply, notice

    def _why_rewritten(self, path: Sequence[MessageNode], *, are_all_known: bool) -> str:
        if are_all_known:
            return "History rewritten by the template"
        if any(node.model_name not in (None, self.model_name) for node in path):
            return "Another model read this chat before"
        return "The system prompt changed"

    def _render(
        self, path: Sequence[MessageNode], system: str | None, date: str
    ) -> tuple[str, str | None]:
        messages = [{"role": node.role, "content": node.text} for node in path]
        return self.template.render_with_notice(
            _with_system(messages, system), add_generation_prompt=True, date=date
        )


def _num_common(first: Sequence[int], second: Sequence[int]) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in same)


def _with_system(messages: list[dict[str, str]], system: str | None) -> list[dict[str, str]]:
    return messages if system is None else [{"role": "system", "content": system}, *messages]
