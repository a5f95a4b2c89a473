"""Known prompts: what a corpus has word for word."""

import json
from pathlib import Path

import pytest

from kvchat.errors import InvalidArgument
from kvchat.evaluation.known_prompts import find_known_prompts, same_words
from kvchat.evaluation.prompt_list import PromptList


def write_chats(path: Path, *chats: list[str]) -> None:
    records = [
        {
            "source": "x",
            "messages": [
                {"role": "user" if place % 2 == 0 else "assistant", "content": text}
                for place, text in enumerate(chat)
            ],
        }
        for chat in chats
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    if path.suffix == ".zst":
        import zstandard

        lines = zstandard.compress(lines)
    path.write_bytes(lines)


def test_case_and_punctuation_make_no_other_words() -> None:
    assert same_words("What's  9 + 9?") == same_words("whats 9 + 9")
    assert same_words("9+9") == same_words("9 + 9") != same_words("9-9")


def test_a_prompt_is_known_by_its_messages_and_as_a_chat(
    tmp_path: Path, prompts: PromptList
) -> None:
    write_chats(tmp_path / "a.jsonl", ["What does a cow say?", "Moo"], ["I am Ada.", "Hello"])
    write_chats(tmp_path / "b.jsonl.zst", ["hello", "hi", "who am I", "Ada"])
    known = find_known_prompts(prompts.prompts, [tmp_path])
    assert (known.num_chats, known.num_messages, known.num_known_messages) == (3, 4, 3)
    assert known.known == ("cow", "name") and known.known_as_chats == ("cow",)
    write_chats(tmp_path / "c.jsonl", ["Who am I?", "?", "I am Ada", "?"])
    assert find_known_prompts(prompts.prompts, [tmp_path]).known_as_chats == ("cow",)
    write_chats(tmp_path / "c.jsonl", ["hello", "hi", "I am Ada", "Hello", "Who am I?", "Ada"])
    assert find_known_prompts(prompts.prompts, [tmp_path]).known_as_chats == ("cow", "name")


def test_several_folders_are_one_corpus(tmp_path: Path, prompts: PromptList) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, text in zip(folders, ("I am Ada", "Who am I?"), strict=True):
        folder.mkdir()
        write_chats(folder / "x.jsonl", [text, "?"])
    assert find_known_prompts(prompts.prompts, folders).known == ("name",)
    assert find_known_prompts(prompts.prompts, folders[:1]).known == ()


def test_what_an_assistant_said_and_parts_of_messages_do_not_count(
    tmp_path: Path, prompts: PromptList
) -> None:
    write_chats(
        tmp_path / "a.jsonl",
        ["hello", "what does a cow say"],
        ["tell me: what does a cat say"],
        ["what does a cow say " * 60],
    )
    assert find_known_prompts(prompts.prompts, [tmp_path]).num_known_messages == 0


def test_a_folder_without_a_corpus_and_a_damaged_file_are_refused(
    tmp_path: Path, prompts: PromptList
) -> None:
    with pytest.raises(InvalidArgument, match="give another DIR"):
        find_known_prompts(prompts.prompts, [tmp_path])
    (tmp_path / "a.jsonl").write_text('{"source": 1', encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"a\.jsonl"):
        find_known_prompts(prompts.prompts, [tmp_path])
    (tmp_path / "a.jsonl").write_text("[]", encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"a\.jsonl"):
        find_known_prompts(prompts.prompts, [tmp_path])
