"""PromptList: the fixed chats that a model is judged by, read from `prompts.toml`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kvchat.errors import InvalidArgument
from kvchat.evaluation.answer import Answer
from kvchat.evaluation.check import Check, soundness_failures
from kvchat.evaluation.check_fields import read_check

PROMPTS_PATH = Path(__file__).with_name("prompts.toml")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One chat: what the user says, one message after the other, and the checks of the answers."""

    name: str
    group: str
    says: tuple[str, ...]
    check: Check
    first: Check | None = None

    def failures(self, answers: Sequence[Answer]) -> list[str]:
        """Return why these answers, one per message, are not acceptable; [] if they are."""
        assert len(answers) == len(self.says)
        reasons = []
        for place, answer in enumerate(answers):
            found = soundness_failures(answer, self.says[place])
            if place == 0 and self.first is not None:
                found += self.first.failures(answer, (), self.says[:1])
            if place == len(answers) - 1:
                found += self.check.failures(answer, answers[:place], self.says)
            number = f"answer {place + 1} " if len(answers) > 1 else ""
            reasons += [number + reason for reason in found]
        return reasons


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts of one theme."""

    name: str
    title: str
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class PromptList:
    """All groups, in the order of the file."""

    groups: tuple[Group, ...]

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts of all groups, in order."""
        return tuple(prompt for group in self.groups for prompt in group.prompts)

    @classmethod
    def load(cls, path: Path = PROMPTS_PATH) -> "PromptList":
        """Read a file of prompts; raises InvalidArgument, naming the prompt, for a bad one."""
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidArgument(f"Cannot read {path}: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{path.name} is no TOML file: {error}.") from error
        lists = {name: tuple(texts) for name, texts in _table(document, "lists").items()}
        groups = [_read_group(fields, lists) for fields in _tables(document, "group", path.name)]
        names = [prompt.name for group in groups for prompt in group.prompts]
        names += [group.name for group in groups]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidArgument(f"{path.name} has the name '{twice}' twice.")
        return cls(tuple(groups))


def _read_group(fields: Mapping[str, object], lists: Mapping[str, Sequence[str]]) -> Group:
    name = _text(fields, "name", "a group")
    prompts = [_read_prompt(each, name, lists) for each in _tables(fields, "prompt", name)]
    return Group(name, _text(fields, "title", name), tuple(prompts))


def _read_prompt(
    fields: Mapping[str, object], group: str, lists: Mapping[str, Sequence[str]]
) -> Prompt:
    name = _text(fields, "name", f"a prompt of {group}")
    unknown = sorted(set(fields) - {"name", "says", "check", "first"})
    if unknown:
        raise InvalidArgument(f"{name} has '{unknown[0]}', which no prompt has.")
    says = fields.get("says")
    if not isinstance(says, list) or not says or not all(isinstance(x, str) and x for x in says):
        raise InvalidArgument(f"says of {name} is no list of messages.")
    first = None if "first" not in fields else read_check(fields["first"], lists, name)
    return Prompt(name, group, tuple(says), read_check(fields.get("check"), lists, name), first)


def _table(fields: Mapping[str, object], name: str) -> Mapping[str, list[str]]:
    table = fields.get(name, {})
    if not isinstance(table, dict) or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        for texts in table.values()
    ):
        raise InvalidArgument(f"'{name}' is no table of lists.")
    return table


def _tables(fields: Mapping[str, object], name: str, where: str) -> list[Mapping[str, object]]:
    tables = fields.get(name)
    if not isinstance(tables, list) or not tables or not all(isinstance(x, dict) for x in tables):
        raise InvalidArgument(f"{where} has no [[{name}]].")
    return tables


def _text(fields: Mapping[str, object], name: str, where: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not text:
        raise InvalidArgument(f"{where} has no {name}.")
    return text
