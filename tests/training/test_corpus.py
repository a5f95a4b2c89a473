"""What the corpus becomes: tokens, rows, and the same rows again after an interruption."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zstandard

from kvchat.errors import InvalidArgument
from kvchat.training.corpus import (
    ANSWERS,
    ASSISTANT,
    BOS,
    DRILLS,
    END,
    EOS,
    NAME_WEIGHT,
    TEMPLATES,
    TEXT,
    USER,
    BatchPlan,
    Documents,
    Message,
    cached_documents,
    chat_tokens,
    encode_records,
    load_tokenizer,
    read_records,
)

ROW_TOKENS = 48


@pytest.fixture(scope="module")
def tokenizer_path(tiny_run: tuple[Path, Path]) -> Path:
    return tiny_run[1] / "tokenizer.model"


@pytest.fixture(scope="module")
def parts(tiny_run: tuple[Path, Path], tokenizer_path: Path) -> dict[str, Documents]:
    tokenizer = load_tokenizer(tokenizer_path)
    return {
        part: encode_records(read_records(tiny_run[0] / f"{part}.train.jsonl"), tokenizer)
        for part in (TEXT, ANSWERS)
    }


def plan(parts: dict[str, Documents], stage: int) -> BatchPlan:
    return BatchPlan(parts, stage, seed=5, micro_batch_tokens=200, row_tokens=ROW_TOKENS)


def test_packed_and_plain_files_give_the_same_records(tmp_path: Path) -> None:
    lines = "".join(
        json.dumps({"text": text, "source": "s"}) + "\n" for text in ("one\ntwo", "größe")
    )
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.zst"
    plain.write_text(lines, encoding="utf-8")
    packed.write_bytes(zstandard.compress(lines.encode()))
    assert list(read_records(plain)) == list(read_records(packed))
    assert [record.text for record in read_records(packed)] == ["one\ntwo", "größe"]


@pytest.mark.parametrize(
    "text",
    ["  two  blanks ", "line\n\n\nline\t|", "größe 你好 🙂", "<|user|> <s> </s><|end|>", "1024"],
)
def test_decoding_gives_back_every_character(tokenizer_path: Path, text: str) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_typed_role_marks_never_become_control_ids(tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    ids = tokenizer.encode("<s></s><pad><unk><|system|><|user|><|assistant|><|end|>")
    assert min(ids) > END


def test_only_what_the_assistant_writes_and_its_end_is_an_answer(tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    messages = [Message("user", "hello"), Message("assistant", "good day")]
    ids, is_answer = chat_tokens(tokenizer, messages)
    hello, good_day = tokenizer.encode("hello"), tokenizer.encode("good day")
    assert ids == [BOS, USER, *hello, END, ASSISTANT, *good_day, END]
    answer = [token for token, flag in zip(ids, is_answer, strict=True) if flag]
    assert answer == [*good_day, END]


def test_a_cache_of_another_corpus_is_refused(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, work = tmp_path / "corpus", tmp_path / "tokens"
    corpus.mkdir()
    file = corpus / "sft_chat.train.jsonl"
    line = '{"source": "a", "messages": [{"role": "user", "content": "Hi"}]}\n'
    file.write_text(line, encoding="utf-8")
    tokenizer = tiny_run[1] / "tokenizer.model"
    assert cached_documents(corpus, ANSWERS, "train", tokenizer, work) is not None
    assert cached_documents(corpus, ANSWERS, "train", tokenizer, work) is not None
    file.write_text(2 * line, encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"another sft_chat\.train\.jsonl"):
        cached_documents(corpus, ANSWERS, "train", tokenizer, work)


def test_cached_documents_equal_encoded_ones(
    tiny_run: tuple[Path, Path], tokenizer_path: Path, parts: dict[str, Documents], tmp_path: Path
) -> None:
    for _ in range(2):  # written, then read
        cached = cached_documents(tiny_run[0], ANSWERS, "train", tokenizer_path, tmp_path)
        assert cached is not None
        assert np.array_equal(cached.ids, parts[ANSWERS].ids)
        assert np.array_equal(cached.is_answer, parts[ANSWERS].is_answer)
        assert np.array_equal(cached.starts, parts[ANSWERS].starts)
        assert cached.sources == parts[ANSWERS].sources
    assert cached_documents(tiny_run[0], TEMPLATES, "val", tokenizer_path, tmp_path) is None


@pytest.mark.parametrize("stage", [0, 1])
def test_a_plan_that_starts_late_gives_the_rows_of_one_that_started_at_zero(
    parts: dict[str, Documents], stage: int
) -> None:
    first = plan(parts, stage)
    passed = [first.micro_batch(number) for number in range(120)]  # beyond one pass
    assert first.pass_index > 0
    late = plan(parts, stage).micro_batch(119)
    assert np.array_equal(late.ids, passed[119].ids)
    assert np.array_equal(late.targets, passed[119].targets)


def test_stage_one_learns_the_next_of_every_token(parts: dict[str, Documents]) -> None:
    batch = plan(parts, 0).micro_batch(3)
    assert batch.ids.shape == (200 // ROW_TOKENS, ROW_TOKENS)
    assert np.array_equal(batch.ids[:, 1:], batch.targets[:, :-1])
    assert batch.num_targets == batch.ids.size


def test_stage_two_rows_are_single_documents_and_learn_answers_or_a_whole_text(
    parts: dict[str, Documents],
) -> None:
    def documents(part: str) -> set[bytes]:
        starts = parts[part].starts
        spans = pairwise(starts)
        return {bytes(parts[part].ids[start:end]) for start, end in spans}

    chats, texts = documents(ANSWERS), documents(TEXT)
    batches = plan(parts, 1)
    num_texts = 0
    for number in range(40):
        batch = batches.micro_batch(number)
        assert batch.ids.size <= 200 or len(batch.ids) == 1
        for row, targets in zip(batch.ids, batch.targets, strict=True):
            last = np.flatnonzero(targets >= 0)[-1]
            whole = bytes(np.append(row[: last + 1], targets[last]).astype(np.uint16))
            assert row[0] == BOS and (row == BOS).sum() == 1
            assert ASSISTANT not in targets and USER not in targets
            if targets[last] == EOS:
                num_texts += 1
                assert whole in texts
                assert (targets[: last + 1] == np.append(row[1 : last + 1], EOS)).all()
            else:
                assert targets[last] == END
                assert whole in chats
    assert num_texts > 0


def test_one_pass_of_stage_two_holds_every_fitting_chat_once(parts: dict[str, Documents]) -> None:
    chats = plan({DRILLS: parts[ANSWERS]}, 1)
    chats.micro_batch(0)
    seen = [tuple(pair) for batch in chats.batches for pair in batch.tolist()]
    fitting = int((parts[ANSWERS].lengths() <= ROW_TOKENS).sum())
    assert len(seen) == len(set(seen)) == fitting


def test_chats_that_name_the_program_are_seen_more_often(parts: dict[str, Documents]) -> None:
    answers = parts[ANSWERS]
    name_id = int(answers.ids[answers.is_answer & (answers.ids > END)].max())  # stands for the name
    named = BatchPlan({ANSWERS: answers}, 1, 5, 200, ROW_TOKENS, name_id)
    unnamed = plan({ANSWERS: answers}, 1)
    ratios = named.weights[0] / np.maximum(unnamed.weights[0], 1e-9)
    spans = zip(answers.starts[:-1], answers.starts[1:], strict=True)
    has_name = np.asarray(
        [name_id in answers.ids[a:b][answers.is_answer[a:b]] for a, b in spans], np.bool_
    )
    assert 0 < has_name.sum() < len(has_name)
    assert np.allclose(ratios[has_name & (unnamed.weights[0] > 0)], NAME_WEIGHT)
    assert np.allclose(named.weights[0][~has_name], unnamed.weights[0][~has_name])


def test_a_corpus_without_documents_for_a_stage_is_refused(parts: dict[str, Documents]) -> None:
    with pytest.raises(InvalidArgument, match="no document for stage 1"):
        plan({TEMPLATES: parts[ANSWERS]}, 0)
