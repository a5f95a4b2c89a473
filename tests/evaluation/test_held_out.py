"""Bits per byte of held-out text and chat."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kvchat.errors import InvalidArgument
from kvchat.evaluation.held_out import encoded, held_out_bits
from kvchat.kv.contiguous import NoCache
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer
from kvchat.text.chat_template import ChatTemplate
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer
from kvchat.training.corpus import Message, Record

CHAT = Record(
    "x",
    "",
    (
        Message("user", "what does a cow say?"),
        Message("assistant", "A cow says moo."),
        Message("user", "and a cat?"),
        Message("assistant", "Meow!"),
    ),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return Tokenizer.load(tiny_model)


@pytest.fixture(scope="module")
def template(tiny_model: Path, tokenizer: Tokenizer) -> Iterator[ChatTemplate]:
    sandbox = Sandbox()
    yield ChatTemplate.load(tiny_model, tokenizer, sandbox)
    sandbox.close()


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Transformer:
    folder = ModelFolder.open(tiny_model)
    return load_transformer(folder, dtype=torch.float32, device="cpu", weights="float")


def test_only_what_the_assistant_says_is_predicted_of_answers(
    tokenizer: Tokenizer, template: ChatTemplate
) -> None:
    ids, is_wanted = encoded(CHAT, tokenizer, template, answers_only=True)
    wanted = [token for token, is_in in zip(ids, is_wanted, strict=True) if is_in]
    assert tokenizer.decode_raw(wanted) == "A cow says moo.<|end|>Meow!<|end|>"
    _, all_wanted = encoded(CHAT, tokenizer, template, answers_only=False)
    assert all(all_wanted)


def test_bits_are_those_of_one_dense_pass_over_the_bytes_of_the_answers(
    tmp_path: Path, model: Transformer, tokenizer: Tokenizer, template: ChatTemplate
) -> None:
    messages = [{"role": each.role, "content": each.content} for each in CHAT.messages]
    line = json.dumps({"source": "x", "messages": messages})
    (tmp_path / "sft_chat.val.jsonl").write_text(line + "\n", encoding="utf-8")
    found = held_out_bits(tmp_path, model, tokenizer, template)
    ids, is_wanted = encoded(CHAT, tokenizer, template, answers_only=True)
    cache = NoCache(model.config.kv_spec())
    with torch.inference_mode():
        cache.reserve([(cache.open(), len(ids))])
        logits = model(torch.tensor(ids), torch.arange(len(ids)), cache)
    places = torch.tensor([place for place in range(1, len(ids)) if is_wanted[place]])
    losses = -logits.log_softmax(-1)[places - 1, torch.tensor(ids)[places]]
    num_bytes = len("A cow says moo.Meow!")
    assert found == {"sft_chat": pytest.approx(float(losses.sum()) / math.log(2) / num_bytes, 1e-4)}


def test_texts_longer_than_the_context_are_cut_and_sixty_records_are_enough(
    tmp_path: Path, model: Transformer, tokenizer: Tokenizer, template: ChatTemplate
) -> None:
    short = json.dumps({"source": "x", "text": "A fox."}) + "\n"
    path = tmp_path / "pretrain_text.val.jsonl"
    path.write_text(json.dumps({"source": "x", "text": "fox " * 3000}) + "\n", encoding="utf-8")
    assert held_out_bits(tmp_path, model, tokenizer, template)["pretrain_text"] > 0
    path.write_text(short, encoding="utf-8")
    one = held_out_bits(tmp_path, model, tokenizer, template)
    path.write_text(short * 130, encoding="utf-8")
    assert held_out_bits(tmp_path, model, tokenizer, template) == pytest.approx(one)
    other = json.dumps({"source": "x", "text": "The owl slept."}) + "\n"
    path.write_text(short + other, encoding="utf-8")
    assert held_out_bits(tmp_path, model, tokenizer, template) != pytest.approx(one)


def test_a_damaged_file_is_named(
    tmp_path: Path, model: Transformer, tokenizer: Tokenizer, template: ChatTemplate
) -> None:
    (tmp_path / "sft_chat.val.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidArgument, match="sft_chat"):
        held_out_bits(tmp_path, model, tokenizer, template)
