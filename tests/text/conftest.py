"""Small model folders with SentencePiece tokenizers, trained once, and one sandbox for all."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer
from tests.text import json_folders

CHAT = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TURNS = ["<start_of_turn>", "<end_of_turn>"]
OWN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content.strip() + ' [/INST]' }}{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content.strip() + ' ' + eos_token }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' "
    "+ m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def train_sentencepiece(**options: Any) -> bytes:
    text = [
        f"Hello there, this is text number {n} about cats, dogs and {n * 7} small things."
        for n in range(200)
    ] + [
        "the user said: how are you today? I am very well, thank you!\tgrüße",
        "def f(x): return x + 1  # a comment <b>bold</b> [INST] what [/INST]",
    ] * 20
    writer = io.BytesIO()
    arguments: dict[str, Any] = {
        "vocab_size": 460,
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": True,
        "split_digits": True,
        "hard_vocab_limit": False,
        "num_threads": 1,
        "minloglevel": 2,
    } | options
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=writer, **arguments
    )
    return writer.getvalue()


def _added(content: str, **flags: bool) -> dict[str, object]:
    plain = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized", "special"), False)
    return {"content": content, **plain, **flags}


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a model folder from bytes and any JSON files."""

    def make(name: str, model: bytes, **files: dict[str, object]) -> Path:
        folder = tmp_path_factory.mktemp(name)
        (folder / "tokenizer.model").write_bytes(model)
        for file, content in files.items():
            (folder / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def folders(make_folder: Callable[..., Path]) -> dict[str, Path]:
    """One folder for each kind of SentencePiece tokenizer there is.

    own      as the bundled model: no dummy prefix, chat tokens are CONTROL pieces
    legacy   dummy prefix for every run of text; [INST] template without system role
    modern   dummy prefix once, before the whole text
    gemma    no prefix at all; turn marks, blanks and HTML are USER_DEFINED pieces
    phi      dummy prefix; chat tokens lie behind the vocabulary and eat the newline after them
    strict   the library's default normalizer, which strips white space; no byte pieces
    nfkc     a normalizer that drops some characters and no white space; dummy prefix once
    """
    prefix = train_sentencepiece()
    own = train_sentencepiece(
        add_dummy_prefix=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        control_symbols=CHAT,
        user_defined_symbols=["\n"],
    )
    gemma = train_sentencepiece(
        add_dummy_prefix=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        user_defined_symbols=[*TURNS, "\n", "\n\n", "▁▁", "<b>", "</b>", "<s2>"],
    )
    strict = train_sentencepiece(
        normalization_rule_name="nmt_nfkc", remove_extra_whitespaces=True, byte_fallback=False
    )
    first = sentencepiece.SentencePieceProcessor(model_proto=prefix).vocab_size()
    phi = {str(first + n): _added(text, rstrip=True, special=True) for n, text in enumerate(CHAT)}
    phi[str(first + 4)] = _added("<word>", single_word=True)
    phi[str(first + 5)] = _added("<left>", lstrip=True)
    phi[str(first + 6)] = _added("<b>")
    phi[str(first + 7)] = _added("<think>")
    phi[str(first + 8)] = _added("</think>")
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return {
        "own": make_folder(
            "own",
            own,
            tokenizer_config={
                **names,
                "eos_token": "<|end|>",
                "legacy": False,
                "add_prefix_space": False,
                "chat_template": OWN_TEMPLATE,
            },
            generation_config={"eos_token_id": 7},
        ),
        "legacy": make_folder(
            "legacy", prefix, tokenizer_config={**names, "chat_template": LLAMA_TEMPLATE}
        ),
        "modern": make_folder(
            "modern",
            prefix,
            tokenizer_config={**names, "legacy": False, "chat_template": LLAMA_TEMPLATE},
        ),
        "gemma": make_folder(
            "gemma",
            gemma,
            tokenizer_config={
                "bos_token": "<s>",
                "eos_token": "</s>",
                "tokenizer_class": "GemmaTokenizer",
                "chat_template": GEMMA_TEMPLATE,
            },
            config={"eos_token_id": [1, 107000]},
        ),
        "phi": make_folder(
            "phi",
            prefix,
            tokenizer_config={
                **names,
                "added_tokens_decoder": phi,
                "legacy": False,
                "chat_template": PHI_TEMPLATE,
            },
        ),
        "nfkc": make_folder(
            "nfkc",
            train_sentencepiece(normalization_rule_name="nmt_nfkc"),
            tokenizer_config={**names, "legacy": False},
        ),
        "strict": make_folder("strict", strict, tokenizer_config={**names, "legacy": False}),
    }


@pytest.fixture(scope="session")
def tokenizers(folders: dict[str, Path]) -> dict[str, Tokenizer]:
    """The tokenizer of each folder."""
    return {name: Tokenizer.load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that is running; tests that break it leave it usable."""
    with Sandbox(first_seconds=10.0, next_seconds=10.0) as running:
        running.start()
        yield running


@pytest.fixture(scope="session")
def json_documents() -> dict[str, dict[str, Any]]:
    """A tokenizer.json of each kind; see json_folders.py."""
    return json_folders.documents()


@pytest.fixture(scope="session")
def make_json_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a folder with a tokenizer.json and a tokenizer_config.json."""

    def make(name: str, document: object, config: object = None) -> Path:
        folder = tmp_path_factory.mktemp(name)
        (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(config or {}), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def json_tokenizers(
    json_documents: dict[str, dict[str, Any]], make_json_folder: Callable[..., Path]
) -> dict[str, Tokenizer]:
    """The tokenizer of each kind of tokenizer.json."""
    return {
        kind: Tokenizer.load(make_json_folder(kind, document, json_folders.CONFIGS[kind]))
        for kind, document in json_documents.items()
    }
