import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvchat.errors import ModelError
from kvchat.text.tokenizer import Tokenizer
from kvchat.text.tokenizer_json import Blank, TokenizerJson

pytest.importorskip("tokenizers", reason="needs the package tokenizers (extra hf)")
FOLDER = Path("folder")
GOOD: dict[str, Any] = {
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
}
LLAMA = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]


def parse(**changes: Any) -> TokenizerJson:
    return TokenizerJson.parse(json.dumps(GOOD | changes).encode(), FOLDER)


def bpe(**changes: Any) -> dict[str, Any]:
    return {"model": GOOD["model"] | changes}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": {"type": "WordPiece", "vocab": {}}}, "the model 'WordPiece'"),
        ({"model": {"type": "WordLevel", "vocab": {}}}, "the model 'WordLevel'"),
        ({"model": {"vocab": {}}}, "the model None"),
        (bpe(end_of_word_suffix="</w>"), "BPE with end_of_word_suffix"),
        (bpe(continuing_subword_prefix="##"), "BPE with continuing_subword_prefix"),
        ({"decoder": None}, "a missing decoder"),
        ({"decoder": {"type": "WordPiece"}}, "the decoder 'WordPiece'"),
        ({"decoder": {"type": "BPEDecoder", "suffix": "</w>"}}, "the decoder 'BPEDecoder'"),
        ({"decoder": {"type": "CTC"}}, "the decoder 'CTC'"),
        ({"decoder": {"type": "Fuse"}}, "the decoder Fuse"),
        ({"decoder": {"type": "Sequence", "decoders": []}}, "the decoder without steps"),
        (
            {"decoder": {"type": "Sequence", "decoders": [LLAMA[0], LLAMA[3]]}},
            "the decoder 'Strip'",
        ),
        (
            {"decoder": {"type": "Replace", "pattern": {"Regex": "x"}, "content": " "}},
            "the decoder 'Replace'",
        ),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ModelError) as raised:
        parse(**changes)
    assert raised.value.sentence == (
        f"Cannot load folder: tokenizer.json: {what} is not supported."
    )


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("[]", "it is not a JSON object"),
        ("{", "line 1: "),
        ("{}", "it has no model"),
        ({"model": {"type": "BPE", "vocab": []}}, "its vocabulary is not a JSON object"),
        (bpe(vocab={"a": -1}), "the piece 'a' has id -1, which is not an id"),
        (bpe(vocab={"a": 1.5}), "the piece 'a' has no id"),
        (bpe(vocab={"a": 10**9}), "the piece 'a' has id 1000000000, which is not an id"),
        (bpe(vocab={"a": 0, "b": 0}), "two pieces have the same id"),
        (bpe(vocab={}), "it has no pieces"),
        (bpe(merges=None), "its merges are not a list"),
        (bpe(merges=["a"]), "the tokenizers library refuses it"),
        (bpe(merges=[["a", 1]]), "the tokenizers library refuses it"),
        (bpe(merges=["a z"]), "the tokenizers library refuses it"),
        ({"model": {"type": "Unigram", "vocab": {}}}, "its vocabulary is not a list"),
        ({"model": {"type": "Unigram", "vocab": [["a"]]}}, "piece 0 is not a text and a score"),
        (
            {"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 0]]}},
            "the piece 'a' appears twice",
        ),
        (
            {"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 9}},
            "unk_id is 9, which names no piece",
        ),
        ({"added_tokens": [{"content": "x"}]}, "token 'x' has id missing, not an id"),
        ({"added_tokens": [{"id": -1, "content": "x"}]}, "token 'x' has id -1, not an id"),
        (
            {"added_tokens": [{"id": 5, "content": "x"}, {"id": 5, "content": "y"}]},
            "two added tokens the same id",
        ),
        ({"added_tokens": [{"id": 5, "content": "x" * 2000}]}, "a token has 2000 characters"),
    ],
)
def test_a_damaged_file_is_one_sentence(
    document: str | dict[str, Any], why: str, tmp_path: Path
) -> None:
    text = document if isinstance(document, str) else json.dumps(GOOD | document)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=re.escape(why)) as raised:
        Tokenizer.load(tmp_path)
    assert raised.value.sentence.startswith(f"Cannot load {tmp_path}: tokenizer.json")


def test_merges_may_be_written_as_lists_or_as_text() -> None:
    assert parse(**bpe(merges=["a b"])).ids == parse(**bpe(merges=[["a", "b"]])).ids


def test_the_steps_of_a_llama_decoder_are_understood() -> None:
    document = parse(decoder={"type": "Sequence", "decoders": LLAMA})
    assert (document.is_byte_level, document.has_byte_pieces) == (False, True)
    assert document.reads_blanks and document.strips_first_blank
    assert document.is_byte("<0x0A>") and not document.is_byte("<0xZZ>")


def test_blanks_before_runs_are_left_out_where_they_do_not_belong() -> None:
    first = parse(
        pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}
    )
    assert first.has_variant(Blank.NOT_INSIDE) and first.has_variant(Blank.NEVER)
    always = parse(
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": True}],
        },
    )
    assert not always.has_variant(Blank.NOT_INSIDE) and always.has_variant(Blank.NEVER)
    settings = json.loads(always.settings(Blank.NEVER))
    assert settings["normalizer"]["normalizers"] == []
    assert settings["pre_tokenizer"]["pretokenizers"][0]["add_prefix_space"] is False
    assert not parse().has_variant(Blank.NEVER)


def test_a_protected_piece_is_renamed_unless_other_pieces_merge_into_it() -> None:
    model = bpe(vocab={"a": 0, "b": 1, "ab": 2, "<s>": 3})
    document = parse(**model)
    kept = json.loads(document.without_added_tokens({2, 3}))["model"]["vocab"]
    assert {"a", "b", "ab"} < kept.keys() and "<s>" not in kept
    assert sorted(kept.values()) == [0, 1, 2, 3]


def test_a_token_that_the_model_has_no_row_for_is_left_out_or_an_error(
    make_json_folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    added = [{"id": 3, "content": "<end>", "special": True}, {"id": 4, "content": "<image>"}]
    folder = make_json_folder("rows", GOOD | {"added_tokens": added})
    tokenizer = Tokenizer.load(folder, num_rows=4)
    assert "<image>" not in tokenizer.control_tokens and tokenizer.vocab_size == 4
    assert "1 added tokens without a row" in caplog.text
    for config in ({"eos_token": "<image>"}, {"chat_template": "{{ 'x<image>' }}"}):
        folder = make_json_folder("rows", GOOD | {"added_tokens": added}, config)
        with pytest.raises(ModelError, match="'<image>' has id 4, but the model has 4 rows"):
            Tokenizer.load(folder, num_rows=4)
    with pytest.raises(ModelError, match="'ab' has id 2, but the model has 2 rows"):
        Tokenizer.load(make_json_folder("rows", GOOD), num_rows=2)
