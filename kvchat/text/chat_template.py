"""ChatTemplate: messages -> rendered text with user text masked -> token ids.

A template is a stranger's program, so it runs in the Sandbox. A bad one never stops a model from
loading or a chat from going on: the plain `User:` / `Assistant:` format takes its place, and
`notice` says so in one sentence. Knows nothing of sessions, nor of ids already computed; see
`continuation.py` for those.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from kvchat.errors import InvalidArgument
from kvchat.text.sandbox import Refused, Sandbox, SandboxFailed
from kvchat.text.tokenizer import Tokenizer
from kvchat.text.tokenizer_files import (
    MAX_CONFIG_BYTES,
    folder_name,
    read_eos_ids,
    read_object,
    read_template,
)

PLAIN_STOP_STRINGS = ("\nUser:",)
"""Where a reply in the plain format ends, since no token ends it."""
_PROBE_DATE = "2000-01-01"
_PROBE = "kvchatprobe"
_MAX_RECENT = 16
_MAX_RECENT_CHARACTERS = 1 << 18
_log = logging.getLogger(__name__)

Message = Mapping[str, str]


class ChatTemplate:
    """The chat format of one model; for any thread, one rendering at a time."""

    def __init__(
        self, name: str, source: str | None, tokenizer: Tokenizer, sandbox: Sandbox
    ) -> None:
        self._name = name
        self._source = source
        self._tokenizer = tokenizer
        self._sandbox = sandbox
        self._takes_system = True
        self._recent: dict[str, str] = {}
        self.notice: str | None = None
        """What the user should know about this template, as one sentence."""

    @classmethod
    def load(cls, folder: Path, tokenizer: Tokenizer, sandbox: Sandbox) -> "ChatTemplate":
        """Read and try the template of a model folder; a bad one becomes the plain format.

        Waits for the sandbox to start. Raises ModelError only when tokenizer_config.json is
        damaged, as loading the tokenizer does.
        """
        name = folder_name(folder.resolve())
        config = read_object(folder, "tokenizer_config.json", MAX_CONFIG_BYTES)
        source, problem = read_template(folder, config)
        template = cls(name, source, tokenizer, sandbox)
        if problem is not None:
            template.notice = template._failed(problem)
        elif source is None:
            template.notice = f"{name} has no chat template; using the plain format."
        else:
            template._try()
        return template

    @property
    def is_plain(self) -> bool:
        """Whether the plain format is used for every message."""
        return self._source is None

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Texts that end a reply besides the stop ids."""
        return PLAIN_STOP_STRINGS if self.is_plain else ()

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool, date: str) -> str:
        """Return the prompt text of some messages, with what users wrote masked.

        A message has a `role` (system, user or assistant) and a `content`. `date` is the session's
        stored start in ISO format, so that a conversation reads the same on every day. When the
        template fails, the plain format is used.
        """
        return self.render_with_notice(
            messages, add_generation_prompt=add_generation_prompt, date=date
        )[0]

    def render_with_notice(
        self, messages: Sequence[Message], *, add_generation_prompt: bool, date: str
    ) -> tuple[str, str | None]:
        """Return the same, and how these messages are not written as the template has it.

        That is one sentence for the user: the template failed, or there is none; it takes no system
        text, or refuses two messages of one role in a row.
        """
        try:
            datetime.fromisoformat(date)
        except ValueError as error:
            raise InvalidArgument(f"date is {date!r}, but it must be in ISO format.") from error
        masked = [self._mask(message) for message in messages]
        if self._source is None:
            return self._plain(masked, add_generation_prompt), self.notice
        try:
            return self._render(self._source, masked, add_generation_prompt, date)
        except SandboxFailed as error:
            return self._plain(masked, add_generation_prompt), self._failed(str(error))

    def encode(self, rendered: str) -> list[int]:
        """Return the token ids of a whole rendered prompt."""
        return self._tokenizer.encode_rendered(rendered)

    def end_id(self) -> int | None:
        """Return the control token that the template writes behind a reply, if any."""
        if self._source is None:
            return None
        messages = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": _PROBE},
        ]
        try:
            text, _ = self._render(self._source, messages, False, _PROBE_DATE)
        except SandboxFailed:
            return None
        end = text.rfind(_PROBE) + len(_PROBE)
        if end < len(_PROBE):
            return None
        for start, _, token_id in self._tokenizer.control_spans(text):
            if start >= end:
                return None if text[end:start].strip() else token_id
        return None

    def _try(self) -> None:
        """Render two short chats to learn whether the template works and takes a system role."""
        assert self._source is not None
        user = {"role": "user", "content": "a"}
        try:
            self._ask(self._source, [user], True, _PROBE_DATE)
        except SandboxFailed as error:
            self._source = None
            self.notice = self._failed(str(error))
            return
        system = {"role": "system", "content": _PROBE}
        try:
            self._takes_system = _PROBE in self._ask(
                self._source, [system, user], True, _PROBE_DATE
            )
        except SandboxFailed:
            self._takes_system = False

    def _render(
        self, source: str, messages: list[dict[str, str]], add_generation_prompt: bool, date: str
    ) -> tuple[str, str | None]:
        """Render with the template, with folded messages where it refuses them as they are."""
        folded = _fold_system(messages)
        notice = None
        if not self._takes_system and folded != messages:
            messages = folded
            notice = (
                f"The template of {self._name} takes no system prompt; "
                "it stands at the start of the first message."
            )
        try:
            return self._ask(source, messages, add_generation_prompt, date), notice
        except Refused:
            alternating = _alternate(folded)
            if alternating == messages:
                raise
        text = self._ask(source, alternating, add_generation_prompt, date)
        notice = (
            f"The template of {self._name} refuses these messages as they are; "
            "messages of the same role were joined."
        )
        return text, notice

    def _ask(
        self, source: str, messages: list[dict[str, str]], add_generation_prompt: bool, date: str
    ) -> str:
        variables: dict[str, object] = {
            **self._tokenizer.named_tokens,
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        # The prompt before this one is asked for again when ids are compared with its text.
        key = json.dumps([date, add_generation_prompt, messages])
        text = self._recent.pop(key, None)
        if text is None:
            text = self._sandbox.render(source, variables, date)
            if not text:
                raise SandboxFailed("it writes nothing")
        if len(text) <= _MAX_RECENT_CHARACTERS:
            self._recent[key] = text
            if len(self._recent) > _MAX_RECENT:
                del self._recent[next(iter(self._recent))]
        return text

    def _mask(self, message: Message) -> dict[str, str]:
        of_reply = message.get("role") == "assistant"
        return {
            key: value if key == "role" else self._tokenizer.mask(value, of_reply=of_reply)
            for key, value in message.items()
            if value is not None
        }

    def _plain(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        has_bos = self._tokenizer.adds_bos and self._tokenizer.bos_id is not None
        parts = [self._tokenizer.named_tokens["bos_token"]] if has_bos else []
        for message in messages:
            content = message["content"].strip()
            if message["role"] == "system":
                parts.append(f"{content}\n\n")
            else:
                parts.append(f"{message['role'].capitalize()}: {content}\n")
        if add_generation_prompt:
            parts.append("Assistant:")
        return "".join(parts)

    def _failed(self, reason: str) -> str:
        return f"Template of {self._name} failed: {reason}; using the plain format."


def find_stop_ids(folder: Path, tokenizer: Tokenizer, template: ChatTemplate) -> frozenset[int]:
    """Return the ids that end a reply.

    Together: eos_token_id of generation_config.json and of config.json, the tokenizer's eos, and
    the token the template writes behind a reply; each alone is wrong for some published model.
    """
    found = set(read_eos_ids(folder))
    if tokenizer.eos_id is not None:
        found.add(tokenizer.eos_id)
    end_id = template.end_id()
    if end_id is not None and end_id not in (tokenizer.bos_id, tokenizer.pad_id):
        found.add(end_id)
    known = frozenset(token_id for token_id in found if 0 <= token_id < tokenizer.vocab_size)
    if known != found:
        _log.warning("Stop ids outside the vocabulary were dropped: %s", sorted(found - known))
    if not known:
        _log.warning("No token ends a reply of %s", folder.name)
    return known


def _fold_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return messages whose system texts stand at the start of the first user message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not system:
        return others
    for index, message in enumerate(others):
        if message["role"] == "user":
            text = "\n\n".join((*system, message["content"]))
            return [*others[:index], {**message, "content": text}, *others[index + 1 :]]
    return [{"role": "user", "content": "\n\n".join(system)}, *others]


def _alternate(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return messages that begin with the user and in which no role follows itself."""
    result: list[dict[str, str]] = []
    for message in messages:
        if result and result[-1]["role"] == message["role"]:
            text = f"{result[-1]['content']}\n\n{message['content']}"
            result[-1] = {**result[-1], "content": text}
        else:
            result.append(message)
    if result and result[0]["role"] == "assistant":
        result.insert(0, {"role": "user", "content": ""})
    return result
