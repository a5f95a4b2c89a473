"""Held-out text and chat: how well a model predicts the validation files of a corpus, in bits.

A corpus is a folder of `.jsonl` or `.jsonl.zst` files, as `python -m kvchat.train` reads them. What
is counted is the text: role marks add bits and no bytes.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from kvchat.evaluation.text_reading import bits_per_byte, read_text
from kvchat.model.transformer import Transformer
from kvchat.text.chat_template import ChatTemplate
from kvchat.text.tokenizer import Tokenizer
from kvchat.training.corpus import Record, corpus_file, read_records

PARTS = ("pretrain_text", "pretrain_chat", "sft_chat")
ANSWERS_ONLY = "sft_chat"
MAX_RECORDS = 60
_DATE = date(2026, 1, 1).isoformat()


def held_out_bits(
    corpus_dir: Path, model: Transformer, tokenizer: Tokenizer, template: ChatTemplate
) -> dict[str, float]:
    """Return bits per byte of each validation file that is there.

    Takes up to 60 records at even distances, each cut to the context of the model. Raises
    InvalidArgument for a damaged file.
    """
    found = {}
    for part in PARTS:
        path = corpus_file(corpus_dir, part, "val")
        if path is None:
            continue
        records = list(read_records(path))
        if not records:
            continue
        chosen = records[:: max(1, len(records) // MAX_RECORDS)]
        losses: list[float] = []
        num_bytes = 0
        for record in chosen:
            ids, is_wanted = encoded(record, tokenizer, template, part == ANSWERS_ONLY)
            ids = ids[: model.config.max_position]
            reading = read_text(model, ids, window=None, sinks=0, kv_dtype="auto")
            wanted = [place for place in range(1, len(ids)) if is_wanted[place]]
            losses += [reading.losses[place - 1] for place in wanted]
            num_bytes += len(tokenizer.decode([ids[place] for place in wanted]).encode())
        found[part] = bits_per_byte(losses, num_bytes)
    return found


def encoded(
    record: Record, tokenizer: Tokenizer, template: ChatTemplate, answers_only: bool
) -> tuple[list[int], list[bool]]:
    """Return the token ids of a text or a chat, and which of them are to be predicted."""
    if not record.messages:
        begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        ids = [*begin, *tokenizer.encode(record.text)]
        return ids, [True] * len(ids)
    messages = [{"role": each.role, "content": each.content} for each in record.messages]
    ids = _chat_ids(template, messages, is_open=False)
    if not answers_only:
        return ids, [True] * len(ids)
    is_wanted = [False] * len(ids)
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            start = _num_common(ids, _chat_ids(template, messages[:place], is_open=True))
            end = _num_common(ids, _chat_ids(template, messages[: place + 1], is_open=False))
            is_wanted[start:end] = [True] * (end - start)
    return ids, is_wanted


def _chat_ids(
    template: ChatTemplate, messages: Sequence[dict[str, str]], *, is_open: bool
) -> list[int]:
    rendered = template.render(messages, add_generation_prompt=is_open, date=_DATE)
    return template.encode(rendered)


def _num_common(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))
