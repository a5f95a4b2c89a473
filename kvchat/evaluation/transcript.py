"""Transcripts: chats as Markdown that can be read, with what the checks say."""

import re
from collections.abc import Iterable, Iterator, Sequence

from kvchat.clean_text import clean
from kvchat.evaluation.interview import Chat
from kvchat.evaluation.prompt_list import PromptList


def chat_block(chat: Chat) -> Iterator[str]:
    """Yield the lines of one chat in a fenced block: `> ` before the user, indented answers."""
    lines = []
    for text, answer in zip(chat.prompt.says, chat.answers, strict=True):
        said = clean(answer.text).splitlines() or ["(nothing)"]
        if not answer.stopped:
            said[-1] += " …"
        lines += [f"> {text}", *(f"  {line}".rstrip() for line in said)]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from [fence, *lines, fence]


def transcript_lines(prompts: PromptList, chats: Sequence[Chat]) -> Iterator[str]:
    """Yield a page with every chat, group by group, and why it is not acceptable."""
    good = sum(chat.is_acceptable for chat in chats)
    yield from ["# Transcripts", "", f"Acceptable: {good} of {len(chats)} chats."]
    for group in prompts.groups:
        own = [chat for chat in chats if chat.prompt.group == group.name]
        good = sum(chat.is_acceptable for chat in own)
        yield from ["", f"## {group.title}: {good} of {len(own)}"]
        for prompt in group.prompts:
            for chat in own:
                if chat.prompt is prompt:
                    yield from ["", f"### {prompt.name}, seed {chat.seed}: {verdict(chat)}", ""]
                    yield from chat_block(chat)
                    yield from reason_lines(chat)


def verdict(chat: Chat) -> str:
    """Return what the checks say, in one word or two."""
    return "acceptable" if chat.is_acceptable else "not acceptable"


def reason_lines(chat: Chat) -> Iterable[str]:
    """Return a list of what is wrong, with a blank line before it; nothing when all is well."""
    return ["", *(f"- {clean(reason)}" for reason in chat.failures)] if chat.failures else []
