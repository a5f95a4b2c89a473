import json
import random
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvchat.errors import ModelError
from kvchat.text import json_model
from kvchat.text.control_set import FIRST_PRIVATE
from kvchat.text.json_model import JsonModel
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer
from tests.text.hard_strings import HARD_STRINGS

tokenizers = pytest.importorskip("tokenizers", reason="needs the package tokenizers (extra hf)")

KINDS = ["bytes", "words", "low", "metaspace", "prepend", "unigram"]
BLANK = "\u2581"


@pytest.fixture(scope="session")
def libraries(json_documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The library's own tokenizer of each kind."""
    return {
        kind: tokenizers.Tokenizer.from_str(json.dumps(document))
        for kind, document in json_documents.items()
    }


def rendered_texts(document: dict[str, Any], count: int) -> list[str]:
    """Hard strings, and random joins of tokens and words, as templates write them."""
    draw = random.Random(4)
    tokens = [token["content"] for token in document["added_tokens"]]
    words = ["hello", " hi", " ", "  ", "\n", "x1", "grüße", f"{BLANK}y", "\t", "漢", "don't", " a"]
    joins = ["".join(draw.choices(tokens + words, k=draw.randint(1, 7))) for _ in range(count)]
    texts = HARD_STRINGS + joins
    if document["model"]["type"] == "Unigram":  # its normalizer makes <s> of these
        texts = [text for text in texts if not re.search("[＜ｓ]", text)]
    return [text for text in texts if max(text, default="") < chr(FIRST_PRIVATE)]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_text_are_those_of_the_library(
    kind: str,
    json_tokenizers: dict[str, Tokenizer],
    json_documents: dict[str, dict[str, Any]],
    libraries: dict[str, Any],
) -> None:
    tokenizer, library = json_tokenizers[kind], libraries[kind]
    for text in rendered_texts(json_documents[kind], 400):
        ids = tokenizer.encode_rendered(text)
        assert ids == library.encode(text, add_special_tokens=False).ids, ascii(text)
        assert tokenizer.decode(ids) == library.decode(ids), ascii(text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_texts_have_the_ids_of_the_library(
    kind: str,
    json_tokenizers: dict[str, Tokenizer],
    json_documents: dict[str, dict[str, Any]],
    libraries: dict[str, Any],
) -> None:
    for text in rendered_texts(json_documents[kind], 10_000):
        expected = libraries[kind].encode(text, add_special_tokens=False).ids
        assert json_tokenizers[kind].encode_rendered(text) == expected, ascii(text)


@pytest.mark.parametrize("kind", ["bytes", "words"])
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_ids_of_a_byte_level_model_are_decoded_as_by_the_library(
    kind: str, json_tokenizers: dict[str, Tokenizer], libraries: dict[str, Any], data: st.DataObject
) -> None:
    pieces = len(json_tokenizers[kind]._model.pieces)
    ids = data.draw(st.lists(st.integers(0, pieces - 1), max_size=20))
    assert json_tokenizers[kind].decode(ids) == libraries[kind].decode(ids)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_streamed_pieces_joined_are_the_text_decoded_at_once(
    kind: str, json_tokenizers: dict[str, Tokenizer], data: st.DataObject
) -> None:
    tokenizer = json_tokenizers[kind]
    ids = data.draw(st.lists(st.integers(-1, tokenizer.vocab_size), max_size=30))
    stream = tokenizer.detokenizer()
    assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_user_text_never_becomes_a_control_token(
    kind: str, json_tokenizers: dict[str, Tokenizer], data: st.DataObject
) -> None:
    tokenizer = json_tokenizers[kind]
    tokens = tokenizer.control_tokens
    wide = [token.translate({ord("<"): "＜", ord(">"): "＞"}) for token in tokens]
    bits = st.sampled_from([*tokens, *wide, *(t[:-1] for t in tokens), *HARD_STRINGS])
    text = data.draw(st.lists(bits | st.text(max_size=8), max_size=6).map("".join))
    ids = tokenizer.encode(text)
    assert not set(ids) & tokenizer.control_ids
    tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ["bytes", "words", "low", "metaspace"])
@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=30) | st.sampled_from(HARD_STRINGS))
def test_decoding_what_was_encoded_gives_the_text_back(
    kind: str, json_tokenizers: dict[str, Tokenizer], text: str
) -> None:
    tokenizer = json_tokenizers[kind]
    lost = f"{BLANK}\U00105000-\U0010ffff\ud800-\udfff"
    if kind == "bytes":  # it normalizes to NFC, and these eat the white space beside them
        lost += "\u0300-\u036f\u0340-\u0387\u0958-\u1fff\u2000-\u2fff\uf900-\ufaff\ufb1d-\ufb4f"
        text = re.sub("<left>|<right>", "", text)
    text = re.sub(f"[{lost}]", "", text)
    if kind == "metaspace":  # a blank of the user and the one of the model are the same there
        text = text.lstrip(" ")
    if kind == "bytes":
        text = unicodedata.normalize("NFC", text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_piece_that_anybody_could_spell_is_spelled_in_another_way(
    json_tokenizers: dict[str, Tokenizer], libraries: dict[str, Any]
) -> None:
    tokenizer, library = json_tokenizers["unigram"], libraries["unigram"]
    wide = "＜/s＞ or ＜s＞"  # the model's normalizer makes </s> and <s> of it
    assert set(library.encode(wide).ids) & tokenizer.control_ids
    assert not set(tokenizer.encode(wide)) & tokenizer.control_ids
    assert not set(tokenizer.encode_rendered(wide)) & tokenizer.control_ids


def test_a_whole_word_that_merges_into_a_control_token_is_spelled_letter_by_letter(
    make_json_folder: Callable[..., Path],
) -> None:
    vocab = {"<": 0, "e": 1, ">": 2, "<e": 3, "<e>": 4}
    document = {
        "added_tokens": [{"id": 4, "content": "<e>", "special": True}],
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["< e", "<e >"]},
    }
    tokenizer = Tokenizer.load(make_json_folder("merged", document))
    assert tokenizer.encode_rendered("<e>") == [4]
    assert tokenizer.encode("<e>") == [0, 1, 2]


def test_a_token_that_acts_is_decoded_verbatim_also_where_it_is_a_piece(
    json_tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = json_tokenizers["low"]
    assert set(tokenizer.encode_rendered("<|endoftext|>")) <= tokenizer.control_ids
    text = "<|im_start|>x<repo name><|endoftext|>"
    ids = tokenizer.encode_rendered(text)
    assert len(ids) == 4
    assert tokenizer.decode_raw(ids) == text
    assert tokenizer.decode(ids) == "x<repo name>"


def test_an_added_token_is_no_spelling_of_bytes(make_json_folder: Callable[..., Path]) -> None:
    document = {
        "added_tokens": [{"id": 1, "content": "<é>"}],
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {"é": 0, "<é>": 1}, "merges": []},
    }
    tokenizer = Tokenizer.load(make_json_folder("verbatim", document))
    assert tokenizer.decode([1]) == tokenizer.decode_raw([1]) == "<é>"
    assert tokenizer.decode([0]) == "\ufffd"  # the piece is the byte E9


def test_the_first_blank_is_put_before_the_text_only(
    json_tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = json_tokenizers["metaspace"]
    assert tokenizer.decode_raw(tokenizer.encode("hello")) == " hello"
    assert tokenizer.decode_raw(tokenizer.encode_rendered("<|end|>hello")) == "<|end|>hello"
    old = json_tokenizers["prepend"]
    assert old.decode_raw(old.encode_rendered("<|end|>hello")) == "<|end|> hello"


@pytest.mark.parametrize("kind", ["metaspace", "prepend", "unigram"])
def test_text_that_goes_on_gets_no_blank(kind: str, json_tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = json_tokenizers[kind]
    ids = tokenizer.encode("hello")
    assert tokenizer.decode_raw(tokenizer.encode_continuation("there", ids[-1])) == "there"


def test_plain_text_begins_with_bos_where_the_file_says_so(
    json_tokenizers: dict[str, Tokenizer],
) -> None:
    assert json_tokenizers["words"].adds_bos
    assert not json_tokenizers["bytes"].adds_bos


def test_the_configuration_may_name_flags_and_further_tokens(
    make_json_folder: Callable[..., Path], json_documents: dict[str, dict[str, Any]]
) -> None:
    document = json_documents["bytes"]
    size = max(token["id"] for token in document["added_tokens"]) + 1
    end = next(t for t in document["added_tokens"] if t["content"] == "<|im_end|>")
    decoder = {
        "7": {"content": "<|im_end|>", "rstrip": True, "special": True},
        str(size): {"content": "<|more|>"},
    }
    folder = make_json_folder("flags", document, {"added_tokens_decoder": decoder})
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.encode_rendered("<|im_end|> \n<|more|>") == [end["id"], size]
    assert "<|more|>" in tokenizer.control_tokens


def test_without_the_library_the_sentence_says_what_to_install(
    make_json_folder: Callable[..., Path],
    json_documents: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_json_folder("alone", json_documents["bytes"])
    monkeypatch.setattr(json_model, "_LIBRARY", "no_such_library")
    with pytest.raises(ModelError) as raised:
        Tokenizer.load(folder)
    assert raised.value.sentence == (
        f"Cannot load {folder}: its tokenizer is tokenizer.json only; to read it, install "
        "kvchat with its extra hf, or: pip install 'tokenizers>=0.21'."
    )
    with pytest.raises(ModelError, match="pip install"):
        JsonModel.check_library(folder)


def test_a_tokenizer_model_wins_over_a_tokenizer_json(
    folders: dict[str, Path], tmp_path: Path, json_documents: dict[str, dict[str, Any]]
) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(json_documents["bytes"]))
    raw = (folders["legacy"] / "tokenizer.model").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(raw)
    legacy = Tokenizer.load(folders["legacy"])
    assert Tokenizer.load(tmp_path).encode("hello there") == legacy.encode("hello there")


def test_a_file_of_another_kind_with_that_name_is_passed_over(
    tmp_path: Path,
    json_documents: dict[str, dict[str, Any]],
    json_tokenizers: dict[str, Tokenizer],
) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\nIw== 2\n")
    with pytest.raises(ModelError, match=r"tokenizer\.model is damaged"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(json_documents["bytes"]))
    expected = json_tokenizers["bytes"].encode("hello there")
    assert Tokenizer.load(tmp_path).encode("hello there") == expected


def test_the_first_load_happens_in_the_sandbox_which_is_fresh_afterwards(
    make_json_folder: Callable[..., Path], json_documents: dict[str, dict[str, Any]]
) -> None:
    folder = make_json_folder("sandboxed", json_documents["bytes"])
    with Sandbox(first_seconds=20.0, next_seconds=20.0) as own:
        own.start()
        first = own._process
        assert Tokenizer.load(folder, own).vocab_size > 0
        assert first is not None and own._process is not first  # that one had more memory
        assert own.render("{{ 1 + 1 }}", {}, "2025-03-09") == "2"


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"normalizer": {"type": "NoSuchThing"}},
        {"pre_tokenizer": 7},
    ],
)
def test_what_the_library_refuses_or_panics_at_is_one_sentence(
    change: dict[str, Any],
    make_json_folder: Callable[..., Path],
    json_documents: dict[str, dict[str, Any]],
    sandbox: Sandbox,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = make_json_folder("refused", json_documents["bytes"] | change)
    with pytest.raises(ModelError, match=r"tokenizer\.json is damaged: "):
        Tokenizer.load(folder, sandbox)
    assert capfd.readouterr() == ("", "")


def test_a_pattern_that_tries_everything_is_stopped_in_the_sandbox(
    make_json_folder: Callable[..., Path],
    json_documents: dict[str, dict[str, Any]],
) -> None:
    split = {"pattern": {"Regex": r"(a+)+[^\x00-\x7f]"}, "behavior": "Isolated", "invert": False}
    change = {"pre_tokenizer": {"type": "Split", **split}}
    folder = make_json_folder("endless", json_documents["bytes"] | change)
    with Sandbox() as own, pytest.raises(ModelError, match="damaged: its library stopped"):
        Tokenizer.load(folder, own)


def mutations(document: dict[str, Any], count: int, seed: int) -> list[bytes]:
    """The document with bytes changed or its end cut off, most of them still JSON."""
    raw = json.dumps(document).encode()
    draw = random.Random(seed)
    result = []
    for _ in range(count):
        mutated = bytearray(raw[: draw.choice((len(raw), len(raw), draw.randrange(len(raw))))])
        for _ in range(draw.randint(0, 3)):
            mutated[draw.randrange(len(mutated))] = draw.choice(b'0123456789abcxyz-"[]{}, \xff')
        result.append(bytes(mutated))
    return result


def load_and_use(raw: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(raw)
    try:
        tokenizer = Tokenizer.load(folder)
        for text in HARD_STRINGS[:12]:
            ids = tokenizer.encode(text)
            assert not set(ids) & tokenizer.control_ids
            tokenizer.decode(ids)
    except ModelError as error:
        assert error.sentence.startswith("Cannot ")


@pytest.mark.parametrize("kind", ["bytes", "metaspace", "unigram"])
def test_a_mutated_file_is_refused_or_usable(
    kind: str, json_documents: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for raw in mutations(json_documents[kind], 60, seed=5):
        load_and_use(raw, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files_are_refused_or_usable(
    kind: str, json_documents: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for raw in mutations(json_documents[kind], 500, seed=6):
        load_and_use(raw, tmp_path)


@pytest.mark.slow
def test_a_vocabulary_of_a_quarter_of_a_million_pieces_loads_in_the_sandbox_and_here(
    json_documents: dict[str, dict[str, Any]], make_json_folder: Callable[..., Path]
) -> None:
    document = json.loads(json.dumps(json_documents["bytes"]))
    model = document["model"]
    vocab, merges = model["vocab"], model["merges"]
    draw, pieces = random.Random(8), list(vocab)
    parts = [piece for piece in pieces if len(piece) < 5]
    while len(pieces) < 250_000:
        pair = draw.choices(parts, k=2)
        piece = "".join(pair)
        if piece not in vocab:
            vocab[piece] = len(pieces)
            pieces.append(piece)
            merges.append(pair)
            if len(parts) < 5_000 and len(piece) < 8:
                parts.append(piece)
    for number, token in enumerate(document["added_tokens"]):
        token["id"] = len(pieces) + number
    folder = make_json_folder("large", document)
    with Sandbox() as own:
        tokenizer = Tokenizer.load(folder, own)
    library = tokenizers.Tokenizer.from_str(json.dumps(document))
    for text in rendered_texts(document, 100):
        assert tokenizer.encode_rendered(text) == library.encode(text).ids, ascii(text)
