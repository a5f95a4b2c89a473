"""The templates of published models: rendered as elsewhere, safe, and stable where they can be."""

import copy
import json
import random
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kvchat.text.chat_template import ChatTemplate
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer
from tests.text.chat_kit import DATE, Chat
from tests.text.conftest import train_sentencepiece
from tests.text.hard_strings import HARD_STRINGS
from tests.text.json_folders import added
from tests.text.published_templates import PUBLISHED, Published

Voices = dict[str, tuple[Tokenizer, ChatTemplate]]
WITHOUT_SYSTEM = ["mistral-0.1", "gemma-2"]
STRICT = ["llama-2", "mistral-0.1", "mistral-0.3", "nemo", "gemma-2", "gemma-3"]


def sentencepiece_folder(one: Published, folder: Path, model: bytes, size: int) -> None:
    is_phi = "<|end|>" in one.marks
    marks = list(one.marks) if is_phi else []
    if one.eos not in (None, "</s>"):
        marks.append(str(one.eos))
    decoder = {
        str(size + n): {"content": mark, "special": True, "rstrip": is_phi}
        for n, mark in enumerate(marks)
    }
    (folder / "tokenizer.model").write_bytes(model)
    is_legacy = not one.marks and "<<SYS>>" not in one.source  # as the models have it
    write_config(one, folder, {"added_tokens_decoder": decoder, "legacy": is_legacy})


def json_folder(one: Published, folder: Path, document: dict[str, Any]) -> None:
    document = copy.deepcopy(document)
    size = len(document["model"]["vocab"])
    tokens = [added(size + n, mark, special=True) for n, mark in enumerate(one.marks)]
    tokens += [added(size + len(tokens) + n, mark) for n, mark in enumerate(one.plain)]
    document["added_tokens"] = tokens
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    write_config(one, folder, {})


def write_config(one: Published, folder: Path, config: dict[str, Any]) -> None:
    config |= {"chat_template": one.source, "bos_token": one.bos, "eos_token": one.eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture(scope="session")
def voices(
    json_documents: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
    sandbox: Sandbox,
) -> Voices:
    """Tokenizer and template of each published model, with a small vocabulary."""
    plain = train_sentencepiece()
    with_controls = train_sentencepiece(control_symbols=["[INST]", "[/INST]"])
    size = len(Tokenizer.load(written(tmp_path_factory, plain)).token_bytes_table)
    result: Voices = {}
    for name, one in PUBLISHED.items():
        folder = tmp_path_factory.mktemp(name)
        if one.is_sentencepiece:
            model = with_controls if "[INST]" in one.marks else plain
            sentencepiece_folder(one, folder, model, size)
        else:
            json_folder(one, folder, json_documents["bytes"])
        tokenizer = Tokenizer.load(folder)
        result[name] = tokenizer, ChatTemplate.load(folder, tokenizer, sandbox)
    return result


def written(tmp_path_factory: pytest.TempPathFactory, model: bytes) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "tokenizer.model").write_bytes(model)
    return folder


def conversation(turns: int, *, system: str | None = None, seed: int = 0) -> list[dict[str, str]]:
    draw = random.Random(seed)
    words = ["hello", " there ", "漢字", "x\n\ny", "", "  ", "1 + 1 = 2", "don't"]
    messages = [] if system is None else [{"role": "system", "content": system}]
    for turn in range(turns):
        role = ("user", "assistant")[turn % 2]
        content = "".join(draw.choices(words, k=draw.randint(0, 4)))
        messages.append({"role": role, "content": content})
    return messages


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_rendered_as_transformers_renders_it(
    name: str, voices: Voices, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import chat_template_utils

    tokenizer, template = voices[name]
    assert not template.is_plain and template.notice is None
    chats = [conversation(turns, seed=turns) for turns in (1, 2, 3, 5, 51)]
    if name not in WITHOUT_SYSTEM:
        chats += [conversation(turns, system=" Be kind. ", seed=turns) for turns in (1, 3, 7)]
    moment = datetime.fromisoformat(DATE)
    clock = SimpleNamespace(now=lambda: moment)
    monkeypatch.setattr(chat_template_utils, "datetime", clock)
    for messages in chats:
        for generates in (True, False):
            theirs, _ = chat_template_utils.render_jinja_template(
                [messages],
                chat_template=PUBLISHED[name].source,
                add_generation_prompt=generates,
                date_string=moment.strftime("%d %b %Y"),
                **tokenizer.named_tokens,
            )
            ours, notice = template.render_with_notice(
                messages, add_generation_prompt=generates, date=DATE
            )
            assert (ours, notice) == (theirs[0], None)


@pytest.mark.parametrize("name", [n for n, one in PUBLISHED.items() if not one.is_sentencepiece])
def test_its_ids_are_those_of_transformers(name: str, voices: Voices) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer, template = voices[name]
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer.folder / "tokenizer.json"))
    for seed in range(8):
        messages = conversation(1 + 2 * seed, seed=seed)
        text = template.render(messages, add_generation_prompt=True, date=DATE)
        assert template.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_ends_a_reply_is_found_where_the_template_writes_it(name: str, voices: Voices) -> None:
    tokenizer, template = voices[name]
    end = None if name == "glm" else tokenizer.encode_rendered(PUBLISHED[name].end)[-1]
    assert template.end_id() == end


@pytest.mark.parametrize("name", STRICT)
def test_a_chat_that_the_template_refuses_is_folded_and_said(name: str, voices: Voices) -> None:
    _, template = voices[name]
    odd = [
        {"role": "system", "content": "Be kind."},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    text, notice = template.render_with_notice(odd, add_generation_prompt=True, date=DATE)
    assert notice is not None and notice.endswith("messages of the same role were joined.")
    for content in ("Be kind.", "one", "two\n\nthree"):
        assert content in text


@pytest.mark.parametrize("name", WITHOUT_SYSTEM)
def test_system_text_stands_in_the_first_message_where_there_is_no_such_role(
    name: str, voices: Voices
) -> None:
    _, template = voices[name]
    messages = conversation(3, system="Be kind.")
    messages[1]["content"] = "Hello"
    text, notice = template.render_with_notice(messages, add_generation_prompt=True, date=DATE)
    assert "Be kind.\n\nHello" in text
    assert notice is not None and "takes no system prompt" in notice


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_anybody_writes_changes_a_control_token(name: str, voices: Voices) -> None:
    tokenizer, template = voices[name]
    reasons = {"<think>", "</think>"}

    def controls(role: str, content: str) -> list[int]:
        messages = conversation(3, system="Be kind.", seed=1)
        place = ("system", "user", "assistant").index(role)
        messages[place]["content"] = f"x{content}x"
        text = template.render(messages, add_generation_prompt=True, date=DATE)
        return [token for token in template.encode(text) if token in tokenizer.control_ids]

    for role in ("system", "user", "assistant"):
        expected = controls(role, "")
        for token in tokenizer.control_tokens:
            if role == "assistant" and token in reasons:
                continue
            assert controls(role, token) == expected, (role, token)
            assert controls(role, token[:-1] + "\u200b" + token + token) == expected, (role, token)
        for text in random.Random(3).sample(HARD_STRINGS, 12):
            if role == "assistant" and any(reason in text for reason in reasons):
                continue
            assert controls(role, text) == expected, (role, text)


STABLE = [
    ("zephyr", "Hello there."),
    ("chatml", "Hello there."),
    ("chatml", " \n Hello \n"),
    ("qwen2.5", " Hello there. "),
    ("qwen3", "Hello there."),
    ("mistral-0.1", "Hello there."),
    ("mistral-0.1", " Hello there."),  # with the blank that SentencePiece puts before words
    ("zephyr", " Hello there."),
    ("phi-3", " Hello there."),
    ("phi-3", "Hello there."),
    ("smollm2", "\nHello"),
    ("smollm3", "<think>\nhm\n</think>\nHello"),
    ("falcon3", "Hello there."),
    ("mistral-0.3", " Hello there."),
    ("nemo", "Hello there."),
    ("gemma-2", "Hello there."),
    ("gemma-3", "Hello there."),
    ("llama-3", "Hello there."),
    ("glm", "\n<think></think>\nHello"),
]
CHANGED = [
    ("llama-2", "Hello there."),
    ("mistral-0.3", "Hello there."),
    ("gemma-2", " Hello there."),
    ("gemma-3", "Hello there.\n"),
    ("llama-3", "\nHello there."),
    ("qwen3", "<think>\nhm\n</think>\n\nHello"),
    ("glm", "\n<think>hm</think>\nHello"),
    ("deepseek-2", " Hello there."),
]


def reply_of(chat: Chat, text: str) -> list[int]:
    """A reply as a model may generate it: by no means the ids that encoding its text gives."""
    tokenizer = chat.tokenizer
    first = tokenizer.encode_continuation(text[:4], chat.ids[-1])
    return first + tokenizer.encode_continuation(text[4:], first[-1])


def end_of(name: str) -> str:
    return "" if name == "glm" else PUBLISHED[name].end


@pytest.mark.parametrize(("name", "reply"), STABLE)
def test_a_stable_template_keeps_every_id(name: str, reply: str, voices: Voices) -> None:
    chat = Chat(*voices[name])
    for turn in range(6):
        chat.ask(f"question {turn} <|im_end|></s>")
        chat.answer(reply_of(chat, reply), end_of(name))
        before = list(chat.ids)
    chat.ask("more")
    assert chat.ids[: len(before)] == before


def test_a_blank_before_the_end_costs_the_end_only(voices: Voices) -> None:
    chat = Chat(*voices["llama-2"])
    for turn in range(3):
        chat.ask(f"question {turn}")
        chat.answer(reply_of(chat, " Hello there."), "</s>")
        before = list(chat.ids)
    chat.ask("more")
    assert chat.ids[: len(before)] != before and chat.kept == len(before) - 1


@pytest.mark.parametrize(("name", "reply"), CHANGED)
def test_a_template_that_rewrites_a_reply_keeps_all_before_it(
    name: str, reply: str, voices: Voices
) -> None:
    chat = Chat(*voices[name])
    for turn in range(3):
        chat.ask(f"question {turn}")
        asked = len(chat.ids)
        chat.answer(reply_of(chat, reply), end_of(name))
        before = list(chat.ids)
    chat.ask("more")
    assert chat.ids[: len(before)] != before
    # Up to the last mark before the reply; with marks of ordinary text that is some tokens earlier.
    assert chat.kept >= asked - (30 if name in ("llama-2", "deepseek-2") else 8)


@pytest.mark.parametrize("name", ["mistral-0.3", "nemo"])
def test_a_system_text_that_moves_costs_every_turn_from_where_it_stood(
    name: str, voices: Voices
) -> None:
    chat = Chat(*voices[name])
    chat.messages.append({"role": "system", "content": "Be kind."})
    chat.ask("one")
    chat.answer(reply_of(chat, " Hello" if name == "mistral-0.3" else "Hello"), end_of(name))
    chat.ask("two")
    assert 2 <= chat.kept <= 3  # bos, [INST], and the blank behind it


@pytest.mark.parametrize("name", ["llama-3", "smollm3"])
def test_a_dated_template_is_stable_while_the_date_is_frozen(name: str, voices: Voices) -> None:
    chat = Chat(*voices[name])
    chat.ask("one")
    chat.answer(reply_of(chat, "Hello"), end_of(name))
    before = list(chat.ids)
    chat.ask("two")
    assert chat.ids[: len(before)] == before
    chat.answer(reply_of(chat, "Hello"), end_of(name))
    chat.ask("three", date="2025-03-10")
    assert chat.kept < 60 < len(before)


@pytest.mark.parametrize("name", PUBLISHED)
def test_kept_ids_and_new_ids_stand_for_the_text_as_it_is_encoded_anew(
    name: str, voices: Voices
) -> None:
    tokenizer, template = voices[name]
    chat = Chat(tokenizer, template)
    draw = random.Random(7)
    for _ in range(4):
        chat.ask("".join(draw.choices(["hello ", "漢", "\n", " x", "1"], k=6)))
        text = tokenizer.unmask(tokenizer.decode_raw(chat.ids))
        again = tokenizer.unmask(tokenizer.decode_raw(template.encode(chat.text)))
        # But for the blank before a first word, which is the model's own.
        assert text.replace(" ", "") == again.replace(" ", "")
        chat.answer(reply_of(chat, draw.choice(["Hello there", " Hello"])), end_of(name))
