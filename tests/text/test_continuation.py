from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvchat.text.chat_template import ChatTemplate
from kvchat.text.continuation import extend, text_of_reply
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer
from tests.text.chat_kit import Chat


@pytest.fixture
def chats(
    folders: dict[str, Path], tokenizers: dict[str, Tokenizer], sandbox: Sandbox
) -> dict[str, Chat]:
    """An empty chat with each template."""
    return {
        kind: Chat(tokenizers[kind], ChatTemplate.load(folders[kind], tokenizers[kind], sandbox))
        for kind in folders
    }


def spelled(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text that encoding it would never give: one per character."""
    return [token_id for character in text for token_id in tokenizer.encode(character)]


@pytest.mark.parametrize("kind", ["own", "gemma"])
def test_a_reply_keeps_the_ids_it_was_generated_with(kind: str, chats: dict[str, Chat]) -> None:
    chat = chats[kind]
    end = {"own": "<|end|>", "gemma": "<end_of_turn>"}[kind]
    reply = spelled(chat.tokenizer, "Hello there")
    assert reply != chat.tokenizer.encode("Hello there")
    chat.ask("Hello").answer(reply, end)
    before = list(chat.ids)
    chat.ask("More")
    assert chat.kept >= len(before) and chat.ids[: len(before)] == before


def test_a_reply_with_its_leading_blank_is_kept_by_a_template_of_ordinary_marks(
    chats: dict[str, Chat],
) -> None:
    chat = chats["modern"]
    chat.ask("Hello")
    reply = chat.tokenizer.encode("Hello there")  # its first piece holds the blank
    chat.answer(reply)
    before = list(chat.ids)
    chat.ask("More")
    assert chat.ids[: len(before)] == before


@pytest.mark.parametrize(("kind", "kept"), [("own", False), ("modern", True)])
def test_only_the_blank_that_the_model_puts_before_words_may_be_missing(
    kind: str, kept: bool, chats: dict[str, Chat]
) -> None:
    tokenizer = chats[kind].tokenizer
    reply = tokenizer.encode_continuation(" Hello there", tokenizer.encode("x")[-1])
    assert tokenizer.begins_with_prefix(reply) == kept
    expected = "Hello there" if kept else " Hello there"
    assert text_of_reply(tokenizer, "a", reply, "aHello there") == expected
    assert text_of_reply(tokenizer, "a", reply, "a Hello there") == " Hello there"
    assert text_of_reply(tokenizer, "a", reply, "bHello there") == " Hello there"
    assert not tokenizer.begins_with_prefix([])


def test_an_interrupted_reply_is_kept(chats: dict[str, Chat]) -> None:
    chat = chats["own"].ask("Hello")
    chat.answer(spelled(chat.tokenizer, "Hello th"))
    before = list(chat.ids)
    chat.ask("More")
    assert chat.ids[: len(before)] == before
    assert chat.tokenizer.decode_raw(chat.ids[len(before) :]).startswith("<|end|><|user|>More")


def test_a_template_that_trims_a_reply_costs_that_reply_and_what_follows(
    chats: dict[str, Chat],
) -> None:
    chat = chats["gemma"].ask("Hello")
    asked = len(chat.ids)
    chat.answer(chat.tokenizer.encode("\n\n Hello"), "<end_of_turn>").ask("More")
    assert asked <= chat.kept < asked + 3


def test_another_first_message_keeps_only_what_is_common(chats: dict[str, Chat]) -> None:
    chat = chats["own"].ask("Hello")
    chat.messages.clear()
    chat.ask("Bye")
    assert chat.kept == 2  # <s><|user|>
    assert chat.ids == chat.template.encode(chat.text)


def test_without_old_ids_everything_is_encoded(chats: dict[str, Chat]) -> None:
    chat = chats["modern"].ask("Hello <s>")
    assert (chat.kept, chat.ids) == (0, chat.template.encode(chat.text))


def test_the_same_text_needs_no_new_ids(tokenizers: dict[str, Tokenizer]) -> None:
    text = "<s><|user|>Hello<|end|>"
    ids = tokenizers["own"].encode_rendered(text)
    assert extend(tokenizers["own"], ids, text, text) == (len(ids), [])


def test_ids_that_do_not_fit_their_text_are_not_kept(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["own"]
    text = "<s><|user|>Hello<|end|>"
    ids = tokenizer.encode_rendered(text)
    wrong = [ids[0], 6, *ids[2:]]
    assert extend(tokenizer, wrong, text, text) == (1, ids[1:])


@pytest.mark.parametrize("kind", ["own", "gemma"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_kept_and_new_ids_together_stand_for_the_new_text(
    kind: str,
    folders: dict[str, Path],
    tokenizers: dict[str, Tokenizer],
    sandbox: Sandbox,
    data: st.DataObject,
) -> None:
    tokenizer = tokenizers[kind]
    chat = Chat(tokenizer, ChatTemplate.load(folders[kind], tokenizer, sandbox))
    words = st.sampled_from(["hello", " ", "\n", "<|end|>", "<end_of_turn>", "x<s>", "é", ""])
    for _ in range(data.draw(st.integers(1, 3))):
        chat.ask(data.draw(st.lists(words, max_size=4).map("".join)))
        old = list(chat.ids)
        chat.answer(data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=6)))
        assert chat.ids[: len(old)] == old
    chat.ask("end")
    unknown = tokenizer.unk_id in chat.ids
    assert unknown or tokenizer.decode_raw(chat.ids) == chat.text
