"""Small `tokenizer.json` files of every supported kind, trained by the library itself.

bytes      byte-level BPE as Qwen has it: NFC, digits alone, ChatML, reasoning tags, no bos
words      byte-level BPE as Llama 3 has it: whole words first (ignore_merges), bos by the file
low        byte-level BPE as SmolLM2 has it: tokens that act are pieces, one stands for unknown
metaspace  SentencePiece-style BPE as Llama 2 is saved today: one blank before the text
prepend    the same as it was saved before: a normalizer puts the blank before every run
unigram    Unigram over NFKC, whose pieces <s> and </s> could be spelled by anybody
"""

import json
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CHAT_ML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA_3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
LLAMA_3 += ["<|eot_id|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    f"Hello there, this is text number {n} about cats, dogs and {n * 7} small things."
    for n in range(200)
] + [
    "the user said: how are you today? I am very well, thank you!\tgrüße\r\n",
    "def f(x): return x + 1  # a comment <b>bold</b> [INST] what [/INST]",
    "don't you'll   we're 漢字かな   हिन्दी é\u0301 end_of_turn system user assistant",
] * 20


def added(token_id: int, content: str, **flags: bool) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": token_id, "content": content, **plain, **flags}


def _byte_level(specials: list[str], *, ignore_merges: bool) -> dict[str, Any]:
    library = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(CORPUS, trainer)
    document: dict[str, Any] = json.loads(library.to_str())
    size = len(document["model"]["vocab"])
    document["added_tokens"] = [
        added(size + n, text, special=True) for n, text in enumerate(specials)
    ]
    return document


def _add(document: dict[str, Any], *contents: str, **flags: bool) -> None:
    listed = document["added_tokens"]
    first = max(each["id"] for each in listed) + 1
    listed += [added(first + n, content, **flags) for n, content in enumerate(contents)]


def qwen_like() -> dict[str, Any]:
    document = _byte_level(CHAT_ML, ignore_merges=False)
    document["normalizer"] = {"type": "NFC"}
    _add(document, "<think>", "</think>", "<tool_call>", "<b>")
    _add(document, "<word>", single_word=True)
    _add(document, "<left>", lstrip=True)
    _add(document, "<right>", rstrip=True)
    return document


def llama_3_like() -> dict[str, Any]:
    document = _byte_level(LLAMA_3, ignore_merges=True)
    bos = {"SpecialToken": {"id": LLAMA_3[0], "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    other = {"Sequence": {"id": "B", "type_id": 1}}
    bos_id = document["added_tokens"][0]["id"]
    document["post_processor"] = {
        "type": "Sequence",
        "processors": [
            {
                "type": "TemplateProcessing",
                "single": [bos, text],
                "pair": [bos, text, other],
                "special_tokens": {
                    LLAMA_3[0]: {"id": LLAMA_3[0], "ids": [bos_id], "tokens": [LLAMA_3[0]]}
                },
            }
        ],
    }
    return document


def smollm_like() -> dict[str, Any]:
    document = _byte_level([], ignore_merges=False)
    vocab = document["model"]["vocab"]
    marks = [*CHAT_ML, "<repo name>"]
    document["model"]["vocab"] = dict.fromkeys(marks, 0) | vocab
    for token_id, piece in enumerate(document["model"]["vocab"]):
        document["model"]["vocab"][piece] = token_id
    document["model"]["unk_token"] = CHAT_ML[0]
    document["added_tokens"] = [added(n, mark, special=n < 3) for n, mark in enumerate(marks)]
    document["pre_tokenizer"]["pretokenizers"].insert(
        0, {"type": "Digits", "individual_digits": True}
    )
    return document


def sentencepiece_like(*, prepend: bool) -> dict[str, Any]:
    library = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    library.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<unk>", "<s>", "</s>", *BYTES],
        show_progress=False,
    )
    library.train_from_iterator(CORPUS, trainer)
    document: dict[str, Any] = json.loads(library.to_str())
    document["added_tokens"] = [each for each in document["added_tokens"] if each["id"] < 3]
    size = len(document["model"]["vocab"])
    document["added_tokens"] += [
        added(size, "<|user|>", special=True, rstrip=True),
        added(size + 1, "<|end|>", special=True),
        added(size + 2, "<think>"),
        added(size + 3, "</think>"),
    ]
    if prepend:
        document["pre_tokenizer"] = None
        document["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        }
    else:
        document["pre_tokenizer"]["split"] = False
    return document


def unigram() -> dict[str, Any]:
    library = Tokenizer(models.Unigram())
    library.normalizer = normalizers.NFKC()
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    library.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    library.train_from_iterator(CORPUS, trainer)
    document: dict[str, Any] = json.loads(library.to_str())
    return document


def documents() -> dict[str, dict[str, Any]]:
    """One document of each kind."""
    return {
        "bytes": qwen_like(),
        "words": llama_3_like(),
        "low": smollm_like(),
        "metaspace": sentencepiece_like(prepend=False),
        "prepend": sentencepiece_like(prepend=True),
        "unigram": unigram(),
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "bytes": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None},
    "words": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "low": {"eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"},
    "metaspace": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "prepend": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "unigram": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
}
