"""The corpus of the bundled model: files of records in, a tokenizer and micro-batches of ids out.

A record is a text or a chat; its tokens are a document. The tokenizer is trained once and then
frozen, since every weight depends on it. Which rows a micro-batch holds depends on the seed, the
stage and its number alone, so that a resumed run sees what an uninterrupted one would have seen.
Knows no model.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece
from safetensors.numpy import load_file, save_file

from kvchat.errors import InvalidArgument
from kvchat.training.record import Message as Message
from kvchat.training.record import Record as Record
from kvchat.training.record import read_records as read_records

PAD, BOS, EOS, UNKNOWN, SYSTEM, USER, ASSISTANT, END = range(8)
"""Ids of the control pieces; typed text can never encode to one of them."""
ROLE_MARKS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
CONTROL_PIECES = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
LONG_CHAT, LONG_CHAT_WEIGHT = 1024, 0.3
"""Chats of more tokens keep late positions trained, and a part of them is enough for that."""
NAME, NAME_WEIGHT = " kvchat", 2.5
"""Answers that name the program say what it is, which few chats ask and every user tries."""
REQUIRED_CHARACTERS = "".join(map(chr, range(33, 127)))

TEXT, CHAT = "pretrain_text", "pretrain_chat"
ANSWERS, TEMPLATES = "sft_chat", "sft_templates_extra"
DRILLS = "drills"  # no file: made by `training/drills`

Weights = dict[str, dict[str, float]]
"""File part -> source -> times its records are seen in one pass; "*" stands for all others."""

STAGE_WEIGHTS: tuple[Weights, Weights] = (
    {  # all tokens count: simple, clean English first, since one short pass is all there is
        TEXT: {
            "*": 0.0,
            "tatoeba": 1.5,
            "african-storybook": 2.0,
            "pratham-books": 2.0,
            "common-voice": 0.6,
            "onestopenglish": 0.6,
            "wordset": 0.3,
            "standard-ebooks": 0.15,
            "public-domain-recipes": 0.5,
        },
        CHAT: {
            "*": 0.0,
            "synthetic-persona-chat": 1.0,
            "persona-chat": 1.0,
            "topical-chat": 0.15,
            "schema-guided-dialogue": 0.05,
        },
        ANSWERS: {
            "*": 0.5,
            "kvchat-templates": 0.5,
            "ms-personality-chat": 2.0,
            "gsm8k": 0.1,
            "natural-questions-open": 0.1,
            "webquestions": 0.2,
            "open-trivia-qa": 0.3,
            "oasst-sample": 2.0,
            "chatterbot-corpus": 2.0,
        },
        TEMPLATES: {"*": 0.0},
        DRILLS: {"*": 0.1},
    },
    {  # of chats only the assistant's tokens count; some texts keep the language wide
        TEXT: {
            "*": 0.0,
            "tatoeba": 1.0,
            "african-storybook": 2.0,
            "pratham-books": 2.0,
            "common-voice": 0.3,
        },
        CHAT: {"*": 0.0, "synthetic-persona-chat": 0.25},
        ANSWERS: {
            "*": 1.0,
            "kvchat-templates": 0.6,
            "ms-personality-chat": 2.0,
            "oasst-sample": 2.0,
            "instructlab": 2.0,
            "chatterbot-corpus": 1.0,
            "open-trivia-qa": 0.1,
            "natural-questions-open": 0.03,
            "webquestions": 0.05,
            "gsm8k": 0.0,
            "svamp": 0.3,
            "protoqa": 0.5,
        },
        TEMPLATES: {"*": 0.3},  # of few shapes, which the answers above have as well
        DRILLS: {"*": 1.0},
    },
)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows of equal length, as one worker computes them at once.

    ids      [rows, length] int64, what the model reads
    targets  [rows, length] int64, the next id, or -1 where nothing is to be learned
    """

    ids: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]

    @property
    def num_targets(self) -> int:
        """How many positions are learned from."""
        return int((self.targets >= 0).sum())


def corpus_file(corpus_dir: Path, part: str, split: str) -> Path | None:
    """Find the file of a part, packed or not; the extra templates have no validation split."""
    stem = part if part == TEMPLATES else f"{part}.{split}"
    if part == TEMPLATES and split != "train":
        return None
    found = [corpus_dir / f"{stem}{end}" for end in (".jsonl.zst", ".jsonl")]
    return next((path for path in found if path.is_file()), None)


def train_tokenizer(corpus_dir: Path, path: Path, vocab_size: int, max_records: int) -> None:
    """Train the SentencePiece model on at most `max_records` of each part and write it to `path`.

    BPE with byte fallback, single digits, text as it is: no prefix, no normalisation, so that
    decoding gives back every character. Both stages' parts count, the extra templates do not.
    Raises InvalidArgument when there is no text, or a vocabulary of that size cannot be made.
    """
    texts: list[str] = []
    for part in (TEXT, CHAT, ANSWERS):
        source = corpus_file(corpus_dir, part, "train")
        if source is None:
            continue
        weights = STAGE_WEIGHTS[0][part]
        records = [r for r in read_records(source) if weights.get(r.source, weights["*"]) > 0]
        stride = max(1, len(records) // max_records)
        for record in records[::stride]:
            texts.extend(record.text.splitlines())
            for message in record.messages:
                texts.extend(message.content.splitlines())
    if not any(texts):
        parts = ", ".join(f"{part}.train" for part in (TEXT, CHAT, ANSWERS))
        raise InvalidArgument(
            f"{corpus_dir} has nothing to train on; it needs {parts} as .jsonl or .jsonl.zst."
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        required_chars=REQUIRED_CHARACTERS,
        user_defined_symbols=["\n"],
        control_symbols=list(CONTROL_PIECES),
        pad_id=PAD,
        bos_id=BOS,
        eos_id=EOS,
        unk_id=UNKNOWN,
        pad_piece="<pad>",
        hard_vocab_limit=False,
        num_threads=2,
        minloglevel=1,
    )
    path.write_bytes(model.getvalue())


def load_tokenizer(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Load a tokenizer that `train_tokenizer` wrote, and check its control pieces."""
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(path))
    found = [tokenizer.id_to_piece(i) for i in range(SYSTEM, END + 1)]
    assert found == list(CONTROL_PIECES), f"{path}: control pieces are {found}"
    return tokenizer


def chat_tokens(
    tokenizer: sentencepiece.SentencePieceProcessor, messages: Sequence[Message]
) -> tuple[list[int], list[bool]]:
    """Encode a chat as the chat template renders it; the flags mark what the assistant wrote."""
    ids, is_answer = [BOS], [False]
    for message in messages:
        if message.role not in ROLE_MARKS:
            raise InvalidArgument(
                f"A chat has the role {message.role!r}, but there is only {', '.join(ROLE_MARKS)}."
            )
        body = [*tokenizer.encode(message.content), END]
        ids += [ROLE_MARKS[message.role], *body]
        is_answer += [False, *[message.role == "assistant"] * len(body)]
    return ids, is_answer


@dataclass(frozen=True, slots=True)
class Documents:
    """The tokens of one file: document i is `ids[starts[i]:starts[i + 1]]`."""

    ids: npt.NDArray[np.uint16]
    is_answer: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    source_index: npt.NDArray[np.int64]
    sources: tuple[str, ...]
    num_bytes: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> npt.NDArray[np.int64]:
        """The number of tokens of each document."""
        return np.diff(self.starts)


def encode_records(
    records: Iterable[Record], tokenizer: sentencepiece.SentencePieceProcessor
) -> Documents:
    """Encode every record; `num_bytes` is the UTF-8 size of what was encoded."""
    ids: list[npt.NDArray[np.uint16]] = []
    flags: list[npt.NDArray[np.bool_]] = []
    lengths, source_index, num_bytes = [0], [], 0
    sources: dict[str, int] = {}
    for record in records:
        if record.messages:
            row, is_answer = chat_tokens(tokenizer, record.messages)
            num_bytes += sum(len(m.content.encode()) for m in record.messages)
        else:
            row = [BOS, *tokenizer.encode(record.text), EOS]
            is_answer = [False] * len(row)
            num_bytes += len(record.text.encode())
        ids.append(np.asarray(row, np.uint16))
        flags.append(np.asarray(is_answer, np.bool_))
        lengths.append(len(row))
        source_index.append(sources.setdefault(record.source, len(sources)))
    return Documents(
        np.concatenate([np.zeros(0, np.uint16), *ids]),
        np.concatenate([np.zeros(0, np.bool_), *flags]),
        np.cumsum(lengths),
        np.asarray(source_index, np.int64),
        tuple(sources),
        num_bytes,
    )


def cached_documents(
    corpus_dir: Path, part: str, split: str, tokenizer_path: Path, cache_dir: Path
) -> Documents | None:
    """Return a part's documents, from `cache_dir` if they were encoded before.

    None without a file, or where it holds no record. Raises InvalidArgument where the cache is that
    of another file: its name and size are kept with it.
    """
    source = corpus_file(corpus_dir, part, split)
    if source is None:
        return None
    tensors_path = cache_dir / f"{part}.{split}.safetensors"
    names_path = tensors_path.with_suffix(".json")
    origin = [source.name, source.stat().st_size]
    if not names_path.is_file():
        documents = encode_records(read_records(source), load_tokenizer(tokenizer_path))
        cache_dir.mkdir(parents=True, exist_ok=True)
        tensors = {
            "ids": documents.ids,
            "is_answer": documents.is_answer,
            "starts": documents.starts,
            "source_index": documents.source_index,
        }
        save_file(tensors, str(tensors_path))
        names_path.write_text(json.dumps([documents.sources, documents.num_bytes, origin]))
    arrays = load_file(str(tensors_path))
    sources, num_bytes, *origins = json.loads(names_path.read_text())
    if origins not in ([], [origin]):  # none in caches made before it was kept
        raise InvalidArgument(
            f"{cache_dir} was made from another {source.name}; name another --work, or delete it"
            " together with the tokenizer and the checkpoint beside it."
        )
    if not sources:
        return None
    return Documents(
        arrays["ids"],
        arrays["is_answer"],
        arrays["starts"],
        arrays["source_index"],
        tuple(sources),
        num_bytes,
    )


class BatchPlan:
    """Which documents make up each micro-batch of one stage, pass after pass.

    In stage 1 the shuffled documents of a pass are joined and cut into rows of `row_tokens`, and
    every token is learned. In stage 2 each row is one chat, so that no chat sees another's facts,
    or one text; rows of like length stand together, padded behind their end, and of chats the
    answers alone are learned.
    """

    def __init__(
        self,
        parts: dict[str, Documents],
        stage: int,
        seed: int,
        micro_batch_tokens: int,
        row_tokens: int,
        name_id: int | None = None,
    ) -> None:
        self.name_id = name_id  # the piece that is NAME, if the vocabulary has one
        self.parts = list(parts.values())
        self.stage = stage
        self.seed = seed
        self.micro_batch_tokens = micro_batch_tokens
        self.row_tokens = row_tokens
        self.weights = [self._document_weights(name, docs) for name, docs in parts.items()]
        if not sum(float(weights.sum()) for weights in self.weights) > 0:
            raise InvalidArgument(f"The corpus holds no document for stage {stage + 1}; add some.")
        self.first_number = 0  # number of the pass's first micro-batch, and so the pass's offset
        self.pass_index = -1
        self.batches: list[npt.NDArray[np.int64]] = []
        self.stream: npt.NDArray[np.uint16] = np.zeros(0, np.uint16)

    def _document_weights(self, part: str, documents: Documents) -> npt.NDArray[np.float64]:
        weights = STAGE_WEIGHTS[self.stage].get(part, {"*": 0.0})
        by_source = np.asarray([weights.get(s, weights["*"]) for s in documents.sources])
        per_document = by_source[documents.source_index]
        if self.stage == 1:  # a chat longer than the context cannot be a row; long ones cost most
            lengths = documents.lengths()
            per_document = per_document * (lengths <= self.row_tokens)
            per_document = per_document * np.where(lengths > LONG_CHAT, LONG_CHAT_WEIGHT, 1.0)
            if part != DRILLS:  # they say often enough what the program is
                is_name = (documents.ids == self.name_id) & documents.is_answer
                names_itself = np.logical_or.reduceat(is_name, documents.starts[:-1])
                per_document = per_document * np.where(names_itself, NAME_WEIGHT, 1.0)
        return per_document.astype(np.float64)

    def micro_batch(self, number: int) -> MicroBatch:
        """Return micro-batch `number`, counted from the stage's start. Numbers may only grow."""
        if number < self.first_number:
            raise ValueError("a plan only moves forward; make a new one")
        while number >= self.first_number + len(self.batches):
            self.first_number += len(self.batches)
            self._plan_pass(self.pass_index + 1)
        batch = self.batches[number - self.first_number]
        return self._cut_rows(batch) if self.stage == 0 else self._pad_rows(batch)

    def _plan_pass(self, pass_index: int) -> None:
        self.pass_index = pass_index
        rng = np.random.default_rng([self.seed, self.stage, pass_index])
        pairs = []
        for part_index, weights in enumerate(self.weights):
            times = np.floor(weights + rng.random(len(weights))).astype(np.int64)
            chosen = np.repeat(np.arange(len(weights)), times)
            pairs.append(np.stack([np.full(len(chosen), part_index), chosen], 1))  # [N, 2]
        documents = rng.permutation(np.concatenate(pairs))
        if self.stage == 0:
            self.batches = self._joined(documents)
        else:
            batches = self._bucketed(documents)
            self.batches = [batches[i] for i in rng.permutation(len(batches))]

    def _joined(self, documents: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        self.stream = np.concatenate([self._document(p, d)[0] for p, d in documents])
        num_rows = (len(self.stream) - 1) // self.row_tokens
        rows_per_batch = max(1, self.micro_batch_tokens // self.row_tokens)
        rows = np.arange(num_rows, dtype=np.int64)
        return [rows[i : i + rows_per_batch] for i in range(0, num_rows, rows_per_batch)]

    def _bucketed(self, documents: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        batches = []
        for start in range(0, len(documents), 4096):
            chunk = documents[start : start + 4096]
            lengths = np.asarray(
                [self.parts[p].starts[d + 1] - self.parts[p].starts[d] for p, d in chunk]
            )
            order = np.argsort(lengths, kind="stable")
            first = 0
            while first < len(order):
                last = first + 1
                while (
                    last < len(order)
                    and (last + 1 - first) * lengths[order[last]] <= self.micro_batch_tokens
                ):
                    last += 1
                batches.append(chunk[order[first:last]])
                first = last
        return batches

    def _document(
        self, part_index: int, document: int
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
        part = self.parts[part_index]
        span = slice(part.starts[document], part.starts[document + 1])
        return part.ids[span], part.is_answer[span]

    def _cut_rows(self, rows: npt.NDArray[np.int64]) -> MicroBatch:
        places = rows[:, None] * self.row_tokens + np.arange(self.row_tokens + 1)  # [rows, L + 1]
        tokens = self.stream[places].astype(np.int64)
        return MicroBatch(tokens[:, :-1], tokens[:, 1:])

    def _pad_rows(self, documents: npt.NDArray[np.int64]) -> MicroBatch:
        rows = [self._document(p, d) for p, d in documents]
        length = max(len(ids) for ids, _ in rows) - 1
        ids = np.full((len(rows), length), PAD, np.int64)
        targets = np.full((len(rows), length), -1, np.int64)
        for row, (tokens, is_answer) in enumerate(rows):
            ids[row, : len(tokens) - 1] = tokens[:-1]
            # A text has no answers: all of it is learned.
            learned = np.flatnonzero(is_answer[1:] | (not is_answer.any()))
            targets[row, learned] = tokens[1:][learned]
        return MicroBatch(ids, targets)
