"""Known prompts: which of the prompts a training corpus has word for word.

A model that has seen a prompt has not understood it by answering well, so the report says how many
those are. Case and punctuation do not count; a text counts only as a whole message.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvchat.errors import InvalidArgument
from kvchat.evaluation.prompt_list import Prompt
from kvchat.training.corpus import Record, read_records

MAX_CHARACTERS = 200
"""No prompt is so long, so longer messages need no second look."""


@dataclass(frozen=True, slots=True)
class KnownPrompts:
    """How many prompts, and how many of all their messages, a corpus of so many chats has.

    A prompt is known when each of its messages is somewhere in the corpus, and known as a chat when
    one chat has them all, in order and without others between them.
    """

    num_chats: int
    num_messages: int
    num_known_messages: int
    known: tuple[str, ...]
    known_as_chats: tuple[str, ...]


def same_words(text: str) -> str:
    """Return what two texts have in common that say the same word for word."""
    return " ".join(re.findall(r"\w+|[+*/=-]", text.lower().replace("’", "'").replace("'", "")))


def find_known_prompts(prompts: Sequence[Prompt], corpus_dirs: Sequence[Path]) -> KnownPrompts:
    """Look for the prompts in all `.jsonl` and `.jsonl.zst` files of some folders.

    Raises InvalidArgument when a folder has none, or one is damaged.
    """
    paths: list[Path] = []
    for folder in corpus_dirs:
        found = [path for path in folder.glob("*.jsonl*") if path.suffix in (".jsonl", ".zst")]
        if not found:
            raise InvalidArgument(f"{folder} has no .jsonl or .jsonl.zst files; give another DIR.")
        paths += sorted(found)
    said = {prompt.name: tuple(map(same_words, prompt.says)) for prompt in prompts}
    wanted = {message for messages in said.values() for message in messages}
    known_messages: set[str] = set()
    known_chats: set[str] = set()
    num_chats = 0
    for path in paths:
        for record in read_records(path):
            if record.messages:
                num_chats += 1
                _look(record, said, wanted, known_messages, known_chats)
    return KnownPrompts(
        num_chats,
        sum(len(messages) for messages in said.values()),
        sum(message in known_messages for messages in said.values() for message in messages),
        tuple(name for name, messages in said.items() if known_messages.issuperset(messages)),
        tuple(name for name in said if name in known_chats),
    )


def _look(
    record: Record,
    said: dict[str, tuple[str, ...]],
    wanted: set[str],
    known_messages: set[str],
    known_chats: set[str],
) -> None:
    messages = [
        same_words(each.content) if len(each.content) < MAX_CHARACTERS else ""
        for each in record.messages
        if each.role == "user"
    ]
    hits = wanted.intersection(messages)
    if not hits:
        return
    known_messages |= hits
    for name, prompt in said.items():
        if name not in known_chats and hits.issuperset(prompt) and _has_run(messages, prompt):
            known_chats.add(name)


def _has_run(messages: Sequence[str], run: Iterable[str]) -> bool:
    wanted = tuple(run)
    return any(
        tuple(messages[start : start + len(wanted)]) == wanted
        for start in range(len(messages) - len(wanted) + 1)
    )
