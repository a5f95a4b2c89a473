import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from kvchat.errors import ModelError
from kvchat.text.control_set import FIRST_PRIVATE
from kvchat.text.sandbox import Sandbox
from kvchat.text.sentencepiece_proto import SentencePieceProto
from kvchat.text.tokenizer import Tokenizer
from tests.text.hard_strings import HARD_STRINGS, PRIVATE

KINDS = ["own", "legacy", "modern", "gemma", "phi", "strict"]
LOSSLESS = ["own", "legacy", "modern", "gemma", "phi"]
BLANK = "\u2581"


def texts() -> st.SearchStrategy[str]:
    """Text that is likely to contain whole, broken and joined look-alikes."""
    bits = st.sampled_from(
        [*HARD_STRINGS, "<", "|", "|>", "end", "<|", "of_turn>", " ", "\n", "hello there", "s>"]
    )
    return st.lists(bits | st.text(max_size=8), max_size=8).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_user_text_never_becomes_a_control_token(
    kind: str, tokenizers: dict[str, Tokenizer], data: st.DataObject
) -> None:
    tokenizer = tokenizers[kind]
    own = st.sampled_from([*tokenizer.control_tokens, *(t[:-1] for t in tokenizer.control_tokens)])
    text = data.draw(st.lists(own | texts(), max_size=6).map("".join))
    assert not set(tokenizer.encode(text)) & tokenizer.control_ids


@pytest.mark.parametrize("kind", LOSSLESS)
@settings(deadline=None, max_examples=60)
@given(text=texts())
def test_decoding_what_was_encoded_gives_the_text_back(
    kind: str, tokenizers: dict[str, Tokenizer], text: str
) -> None:
    tokenizer = tokenizers[kind]
    # Its private characters and SentencePiece's own blank are the two things text cannot hold.
    text = re.sub(f"[{BLANK}\U00105000-\U0010ffff\ud800-\udfff]", "", text)
    if kind in ("legacy", "phi"):  # here each added token is followed by a new prefix, or eats
        text = re.sub(r"<b>|<word>|<left>", "", text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [*HARD_STRINGS, "\ud800 lone \udfff"])
def test_every_hard_string_can_be_encoded_and_decoded(
    kind: str, text: str, tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers[kind]
    for ids in (tokenizer.encode(text), tokenizer.encode_rendered(text)):
        assert all(0 <= token_id < tokenizer.vocab_size for token_id in ids)
        tokenizer.decode(ids).encode("utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [t for t in HARD_STRINGS if "<" not in t])
def test_text_without_lookalikes_is_encoded_as_in_one_piece(
    kind: str, text: str, tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers[kind]
    text = re.sub("[\U00105000-\U0010ffff]", "", text)
    assert tokenizer.encode(text) == tokenizer.encode_rendered(text)


@pytest.mark.parametrize("kind", ["own", "gemma"])
def test_a_model_without_prefix_encodes_like_the_library(
    kind: str, tokenizers: dict[str, Tokenizer], folders: dict[str, Path]
) -> None:
    library = sentencepiece.SentencePieceProcessor(
        model_proto=(folders[kind] / "tokenizer.model").read_bytes()
    )
    for text in HARD_STRINGS:
        if "<" in text or ord((text or " ")[0]) >= FIRST_PRIVATE:
            continue
        plain = text.replace(BLANK, " ") if kind == "own" else text
        assert tokenizers[kind].encode(text) == library.encode(plain)


@pytest.fixture(scope="module")
def oracle_class() -> Any:
    """The slow SentencePiece tokenizer of transformers."""
    from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

    return SentencePieceBackend


def make_oracle(oracle_class: Any, folder: Path, tokenizer: Tokenizer, **added: Any) -> Any:
    return oracle_class(
        vocab_file=str(folder / "tokenizer.model"),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        **added,
    )


def trusted_strings(seed: int, tokens: list[str]) -> list[str]:
    """Random joins of tokens and words, as templates write them."""
    draw = random.Random(seed)
    bits = [
        *tokens,
        "hello",
        " hi",
        " ",
        "  ",
        "\n",
        "x1",
        "grüße",
        f"{BLANK}y",
        "\t",
        "漢",
        "\x01",
    ]
    joined = ["".join(draw.choices(bits, k=draw.randint(1, 7))) for _ in range(400)]
    return [text for text in HARD_STRINGS if text and text != PRIVATE] + joined


def test_the_legacy_rules_are_those_of_transformers(
    oracle_class: Any, folders: dict[str, Path], tokenizers: dict[str, Tokenizer]
) -> None:
    oracle = make_oracle(oracle_class, folders["legacy"], tokenizers["legacy"])
    for text in trusted_strings(1, ["<s>", "</s>"]):
        expected = oracle.convert_tokens_to_ids(oracle.tokenize(text))
        assert tokenizers["legacy"].encode_rendered(text) == expected, ascii(text)


@pytest.mark.parametrize("kind", ["modern", "phi", "strict", "nfkc"])
def test_the_rules_of_a_single_prefix_are_those_of_transformers(
    kind: str, oracle_class: Any, folders: dict[str, Path], tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers[kind]
    oracle = make_oracle(oracle_class, folders[kind], tokenizer)
    # The oracle builds its model without prefix by a package that need not be installed.
    raw = (folders[kind] / "tokenizer.model").read_bytes() + b"\x1a\x02\x18\x00"
    oracle.legacy = False
    oracle.sp_model.LoadFromSerializedProto(raw)
    tokens = ["<s>", "</s>"]
    if kind == "phi":
        from tokenizers import AddedToken

        for token in tokenizer._added:
            if token.content not in ("<s>", "</s>", "<unk>", "<word>"):  # it glues those to words
                flags = {"rstrip": token.rstrip, "lstrip": token.lstrip, "normalized": False}
                oracle.add_tokens(AddedToken(token.content, special=token.special, **flags))
                tokens.append(token.content)
    from_oracle = {
        oracle.convert_tokens_to_ids(t.content): t.id
        for t in tokenizer._added
        if t.content in tokens
    }
    for text in trusted_strings(2, tokens):
        if "<word>" in text:
            continue
        pieces = oracle.tokenize(BLANK + text.replace(BLANK, " "))
        if len(pieces) > 1 and pieces[0] == BLANK and pieces[1] in tokens:
            pieces = pieces[1:]
        ids = [from_oracle.get(i, i) for i in oracle.convert_tokens_to_ids(pieces)]
        assert tokenizer.encode_rendered(text) == ids, ascii(text)


@pytest.mark.parametrize("kind", ["own", "legacy", "gemma"])
def test_decoding_agrees_with_the_library_for_any_ids(
    kind: str, folders: dict[str, Path], tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers[kind]
    library = sentencepiece.SentencePieceProcessor(
        model_proto=(folders[kind] / "tokenizer.model").read_bytes()
    )
    draw = random.Random(3)
    ordinary = [i for i in range(library.vocab_size()) if not library.IsUnknown(i)]
    for _ in range(300):
        ids = draw.choices(ordinary, k=draw.randint(0, 9))
        first = next((i for i in ids if not library.IsControl(i)), None)
        if first is not None and library.IsByte(first) and kind == "legacy":
            continue  # the library strips a blank behind leading bytes as well
        assert tokenizer.decode(ids) == library.decode(ids)


def test_the_unknown_token_shows_as_the_library_shows_it(
    folders: dict[str, Path], tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers["strict"]
    library = sentencepiece.SentencePieceProcessor(
        model_proto=(folders["strict"] / "tokenizer.model").read_bytes()
    )
    ids = tokenizer.encode("hello 漢")
    assert tokenizer.unk_id in ids
    assert tokenizer.decode(ids) == library.decode(ids)


def test_private_characters_in_the_input_are_no_masks(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["own"]
    assert tokenizer.mask(PRIVATE) == "\ufffdx\ufffd"
    assert tokenizer.decode(tokenizer.encode(PRIVATE)) == "\ufffdx\ufffd"


@pytest.mark.parametrize("kind", ["legacy", "modern"])
def test_text_that_goes_on_gets_no_prefix(kind: str, tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode("hello")
    assert tokenizer.decode_raw(ids) == " hello"
    assert tokenizer.decode_raw(tokenizer.encode_continuation("there", ids[-1])) == "there"


def test_text_that_goes_on_behind_a_chat_token_loses_the_white_space_it_eats(
    tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = tokenizers["phi"]
    (turn,) = tokenizer.encode_rendered("<|user|>")
    expected = tokenizer.encode_rendered("<|user|>\n hi")[1:]
    assert tokenizer.encode_continuation("\n hi", turn) == expected


def test_a_special_token_is_dropped_from_the_content_and_kept_in_the_raw_text(
    tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = tokenizers["own"]
    ids = tokenizer.encode_rendered("<|assistant|>Hello there<|end|>")
    assert tokenizer.decode(ids) == "Hello there"
    assert tokenizer.decode_raw(ids) == "<|assistant|>Hello there<|end|>"


def test_a_control_token_that_was_only_spelled_is_masked_in_the_raw_text(
    tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = tokenizers["own"]
    end = tokenizer.encode_rendered("<|end|>")
    ids = [*tokenizer.encode("say <|end|> to stop"), *end]
    raw = tokenizer.decode_raw(ids)
    assert [span[2] for span in tokenizer.control_spans(raw)] == end
    assert tokenizer.unmask(raw) == "say <|end|> to stop<|end|>"


def test_the_bytes_of_all_tokens_joined_are_the_raw_text(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["own"]
    text = "<|user|>grüße 漢字 👍\n<|end|>"
    ids = tokenizer.encode_rendered(text)
    joined = b"".join(tokenizer.token_bytes_table[token_id] for token_id in ids)
    assert joined.decode("utf-8") == text


def test_a_prefix_is_put_once_before_the_text_and_not_after_added_tokens(
    tokenizers: dict[str, Tokenizer],
) -> None:
    modern, legacy = tokenizers["modern"], tokenizers["legacy"]
    word = modern.encode("hello")
    assert modern.encode_rendered("</s>hello")[1:] != word
    assert legacy.encode_rendered("</s>hello")[1:] == word
    assert modern.encode_rendered("hello</s>")[:-1] == word


def test_a_chat_token_eats_the_newline_after_it(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["phi"]
    assert tokenizer.encode_rendered("<|user|>\nhi") == tokenizer.encode_rendered("<|user|>hi")


def test_html_may_be_written_by_users_unless_the_template_writes_it(
    tokenizers: dict[str, Tokenizer], make_folder: Callable[..., Path], folders: dict[str, Path]
) -> None:
    gemma = tokenizers["gemma"]
    bold = gemma.encode("<b>")
    assert len(bold) == 1 and not set(bold) & gemma.control_ids
    assert "<s2>" in gemma.control_tokens

    folder = make_folder(
        "html",
        (folders["gemma"] / "tokenizer.model").read_bytes(),
        tokenizer_config={"legacy": False, "chat_template": "{{ '<b>' + messages[0].content }}"},
    )
    assert "<b>" in Tokenizer.load(folder).control_tokens


def test_reasoning_tags_stay_in_replies_only(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["phi"]
    text = "<think>hm</think><|end|>"
    in_reply = tokenizer.mask(text, of_reply=True)
    assert in_reply.startswith("<think>hm</think>") and "<|end|>" not in in_reply
    assert "<" not in tokenizer.mask(text)


def test_a_named_token_without_an_id_gets_the_next_one(
    make_folder: Callable[..., Path], folders: dict[str, Path]
) -> None:
    model = (folders["legacy"] / "tokenizer.model").read_bytes()
    size = len(SentencePieceProto.parse(model).pieces)
    folder = make_folder("named", model, tokenizer_config={"pad_token": {"content": "[PAD]"}})
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.pad_id == size and tokenizer.vocab_size == size + 1
    assert tokenizer.encode_rendered("[PAD]") == [size]


def test_the_third_source_of_added_tokens_is_read_with_its_flags(
    make_folder: Callable[..., Path], folders: dict[str, Path]
) -> None:
    model = (folders["legacy"] / "tokenizer.model").read_bytes()
    size = len(SentencePieceProto.parse(model).pieces)
    folder = make_folder(
        "third",
        model,
        added_tokens={"<x>": size},
        special_tokens_map={"additional_special_tokens": [{"content": "<x>", "rstrip": True}]},
    )
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.encode_rendered("<x>   ") == [size]
    assert tokenizer.decode([size]) == ""


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"tokenizer_config.json": "{"}, "tokenizer_config.json is damaged at line 1"),
        ({"tokenizer_config.json": "[]"}, "it is not a JSON object"),
        ({"tokenizer_config.json": '{"legacy": 1}'}, "legacy is '1', expected true or false"),
        ({"tokenizer_config.json": '{"bos_token": 7}'}, "a token is '7', expected text"),
        (
            {"tokenizer_config.json": '{"added_tokens_decoder": {"-1": "x"}}'},
            "token 'x' has id -1",
        ),
        (
            {"tokenizer_config.json": '{"added_tokens_decoder": {"2147483648": "x"}}'},
            "has id 2147483648",
        ),
        ({"added_tokens.json": '{"a": 5, "b": 5}'}, "two added tokens the same id"),
        ({"tokenizer.model": ""}, "tokenizer.model is damaged: it has no pieces"),
        ({"tokenizer.model": "\x0a\x7fabc"}, "tokenizer.model is damaged: it ends early"),
        ({"tokenizer.model": "\x0b"}, "tokenizer.model is damaged"),
        ({"tokenizer.model": "\x0a\x05\x0a\x03abc"}, "the SentencePiece library refuses it"),
    ],
)
def test_a_damaged_file_is_named_in_one_sentence(
    files: dict[str, str], sentence: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.model").write_bytes((folders["legacy"] / "tokenizer.model").read_bytes())
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=re.escape(sentence)):
        Tokenizer.load(tmp_path)


def test_a_folder_without_a_tokenizer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.model or tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_a_mutated_model_is_refused_or_usable(
    folders: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = (folders["own"] / "tokenizer.model").read_bytes()
    draw = random.Random(5)
    for _ in range(150):
        mutated = bytearray(raw[: draw.choice((len(raw), draw.randrange(len(raw))))])
        for _ in range(draw.randint(0, 3)):
            mutated[draw.randrange(len(mutated))] = draw.randrange(256)
        (tmp_path / "tokenizer.model").write_bytes(mutated)
        try:
            tokenizer = Tokenizer.load(tmp_path)
        except ModelError:
            continue
        for text in HARD_STRINGS[:20]:
            tokenizer.decode(tokenizer.encode(text))
    assert capfd.readouterr() == ("", "")


def test_the_first_load_can_happen_in_the_sandbox(
    folders: dict[str, Path], sandbox: Sandbox, tmp_path: Path
) -> None:
    assert Tokenizer.load(folders["own"], sandbox).vocab_size > 0
    (tmp_path / "tokenizer.model").write_bytes(b"\x0a\x05\x0a\x03abc")
    with pytest.raises(ModelError, match="the SentencePiece library refuses it"):
        Tokenizer.load(tmp_path, sandbox)
