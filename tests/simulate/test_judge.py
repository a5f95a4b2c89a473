"""The judge: a true story passes; each broken promise in it is found."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from kvchat.engine.sampler import SamplerRow, sample
from kvchat.hash_folder import HashFolder
from kvchat.sampling_params import SamplingParams
from kvchat.simulate.facts import (
    IN_LAST_REPLY,
    Act,
    Began,
    Fact,
    Gone,
    Promised,
    Stands,
    Terms,
    Woke,
)
from kvchat.simulate.judge import Judge
from kvchat.store.rows import MessageRow
from kvchat.text.tokenizer import Tokenizer

FOLDER = HashFolder.over_bundled(context_tokens=480)
TOKENIZER = Tokenizer.load(FOLDER.path)
TERMS = Terms(SamplingParams(temperature=0.9, max_tokens=8), 5, (None, 0))
Path = tuple[MessageRow, ...]


def ids_of(path: Sequence[MessageRow]) -> list[int]:
    return [token_id for row in path for token_id in row.token_ids]


def said(path: Path, message_id: str, text: str) -> Path:
    parent_id = path[-1].id if path else None
    token_ids = tuple(TOKENIZER.encode(text))
    return (*path, MessageRow(message_id, "tree", parent_id, "user", text, token_ids, sinks=0))


def answered(path: Path, message_id: str, terms: Terms = TERMS, num_tokens: int = 8) -> Path:
    """The path with the reply the model gives, computed token after token."""
    model, token_ids = FOLDER.model(), ids_of(path)
    window, sinks = terms.recorded
    start = len(token_ids)
    while len(token_ids) < start + num_tokens:
        state = model.states(token_ids, window, sinks)[-1:]
        row = SamplerRow(terms.sampling, terms.seed, len(token_ids), token_ids)
        token_ids += sample(model.logits(state), [row])
    new = tuple(token_ids[start:])
    text = TOKENIZER.decode(new)
    reply = MessageRow(
        message_id, "tree", path[-1].id, "assistant", text, new, seed=terms.seed, sinks=0
    )
    return (*path, replace(reply, finish_reason="length"))


ONE = answered(said((), "u1", "one"), "r1")
TWO = answered(said(ONE, "u2", "two"), "r2")
OTHER = answered(TWO[:3], "r2b", replace(TERMS, seed=6))
CUT = (*TWO[:3], replace(TWO[3], id="r2c", token_ids=TWO[3].token_ids[:3], text=""))


def story() -> list[Fact]:
    """Two turns, a regeneration that is undone, forks, a rewind that is undone."""
    return [
        Stands(Act("open", "a"), ()),
        Began(Act("send", "a", text="one"), TERMS),
        Promised("a", "u1", "one"),
        Stands(Act("send", "a", text="one"), ONE, TERMS),
        Stands(Act("send", "a", text="two"), TWO, TERMS),
        Stands(Act("fork", "b", "a", place=len(ids_of(TWO)) - 5), CUT),
        Stands(Act("regenerate", "a"), OTHER, replace(TERMS, seed=6)),
        Stands(Act("undo", "a"), TWO),
        Stands(Act("fork", "c", "a", place="r1"), ONE),
        Stands(Act("rewind", "a", place=1), ONE),
        Stands(Act("undo", "a"), TWO),
        Stands(Act("undo", "a"), TWO, has_moved=False),
        Stands(Act("show", "a", place="r2b"), OTHER),
        Stands(Act("rewind", "b", place=""), ()),
        Gone("c"),
        Began(Act("send", "a", text="three"), TERMS),
        Promised("a", "u3", "three"),
    ]


def woken() -> tuple[dict[str, Path], dict[str, MessageRow]]:
    """What a runtime finds after a crash at the end of the story: a reply was cut."""
    path = answered(said(OTHER, "u3", "three"), "r3", num_tokens=4)
    path = (*path[:-1], replace(path[-1], state="interrupted", finish_reason=None))
    rows = {row.id: row for row in (*TWO, *OTHER, *CUT, *path)}
    return {"a": path, "b": ()}, rows


def judged(
    facts: Sequence[Fact],
    change: Callable[[dict[str, Path], dict[str, MessageRow]], None] | None = None,
) -> list[str]:
    judge = Judge(FOLDER)
    for fact in facts:
        judge.take(fact)
    paths, rows = woken()
    if change is not None:
        change(paths, rows)
    judge.wake(Woke(paths, tuple(rows.get(each) for each in judge.message_ids)))
    return judge.reasons


def test_a_true_story_breaks_no_promise() -> None:
    judge = Judge(FOLDER)
    for fact in story():
        judge.take(fact)
    paths, rows = woken()
    judge.wake(Woke(paths, tuple(rows[each] for each in judge.message_ids)))
    assert judge.reasons == []
    assert judge.counts.replies == 3 and judge.counts.interrupted_by_crash == 1
    assert judge.counts.tokens_compared == 3 * 8 + 4 and judge.counts.divergent == 0


def with_path(place: int, path: Path) -> list[Fact]:
    facts = story()
    fact = facts[place]
    assert isinstance(fact, Stands)
    facts[place] = replace(fact, path=path)
    return facts


def changed(path: Path, place: int, **values: object) -> Path:
    return (*path[:place], replace(path[place], **values), *path[place + 1 :])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (with_path(3, changed(ONE, 1, token_ids=(9, *ONE[1].token_ids[1:]), text="")), "differs"),
        (with_path(3, answered(ONE[:1], "r1", replace(TERMS, seed=9))), "differs"),
        (with_path(3, answered(ONE[:1], "r1", replace(TERMS, recorded=(2, 0)))), "differs"),
        (with_path(3, changed(ONE, 1, window=2)), "under which window"),
        (with_path(4, changed(TWO, 1, window=2)), "differs"),
        (with_path(3, changed(ONE, 1, text="no")), "text of reply"),
        (with_path(3, changed(ONE, 0, token_ids=(50,))), "token ids of message"),
        (with_path(3, ONE[:1]), "1 messages instead of 2"),
        (with_path(3, changed(ONE, 1, error="bad", finish_reason="failed")), "failed: bad"),
        (with_path(3, changed(ONE, 1, finish_reason="cancelled")), "stopped by nobody"),
        (with_path(3, answered(ONE[:1], "r1", num_tokens=7)), "7 tokens instead of 8"),
        (with_path(4, changed(TWO, 0, text="on")), "text of message u1 has changed"),
        (with_path(4, changed(TWO, 2, parent_id="u1")), "hangs below another"),
        (with_path(5, changed(CUT, 3, token_ids=TWO[3].token_ids[:4])), "cut at 4 tokens"),
        (with_path(5, TWO), "old message at place 3"),
        (with_path(6, TWO), "old message at place 3"),
        (with_path(7, OTHER), "another message at place 3"),
        (with_path(8, TWO), "4 messages instead of 2"),
        (with_path(9, ONE[:1]), "1 messages instead of 2"),
        (with_path(12, TWO), "another message at place 3"),
        ([fact for fact in story() if not isinstance(fact, Gone)], "session c is lost"),
    ],
)
def test_a_broken_promise_is_found(facts: list[Fact], reason: str) -> None:
    found = judged(facts)
    assert found and reason in found[0]


def lose_message(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    del rows["r2"]


def lose_promise(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    del rows["u3"]
    paths["a"] = OTHER


def forget_promise(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    paths["a"] = OTHER


def change_message(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    rows["r2"] = replace(rows["r2"], token_ids=rows["r2"].token_ids[:-1])


def lose_session(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    del paths["b"]


def bring_back_session(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    paths["c"] = ONE


def move_tip(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    paths["b"] = CUT


def change_cut_reply(paths: dict[str, Path], rows: dict[str, MessageRow]) -> None:
    path = paths["a"]
    paths["a"] = changed(path, len(path) - 1, token_ids=(9, 9, 9), text="")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lose_message, "r2 was acknowledged and is lost"),
        (lose_promise, "u3 was acknowledged and is lost"),
        (forget_promise, "does not stand on what it was promised"),
        (change_message, "token_ids of message r2 has changed"),
        (lose_session, "session b is lost"),
        (bring_back_session, "c was deleted and is there again"),
        (move_tip, "b stands on another path"),
        (change_cut_reply, "reply r3 differs"),
    ],
)
def test_what_a_crash_took_is_found(
    change: Callable[[dict[str, Path], dict[str, MessageRow]], None], reason: str
) -> None:
    found = judged(story(), change)
    assert found and reason in found[0]


def test_a_fork_of_a_running_reply_must_have_its_first_tokens() -> None:
    good, judge = (*TWO[:3], replace(CUT[3], id="cut")), Judge(FOLDER)
    act = Act("fork", "b", "a", place=IN_LAST_REPLY)
    for fact in story()[:5]:
        judge.take(fact)
    judge.take(Stands(act, good))
    assert judge.reasons == []
    judge.take(Stands(act, changed(good, 3, id="other", token_ids=(1, 2))))
    assert "other tokens than its origin" in judge.reasons[0]
