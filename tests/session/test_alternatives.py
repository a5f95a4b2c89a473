"""Tokens of messages and their alternatives: right, kept with the text, cut with the reply."""

import math
from collections.abc import Callable

import pytest

from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from tests.session.session_kit import GREEDY, LONG, dense_logits, drawn, ids, nodes, say

MakeRuntime = Callable[..., ChatRuntime]


def test_logprobs_are_those_of_a_run_without_cache(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one two three", drawn(1))
    expected = dense_logits(runtime, ids(session)).log_softmax(-1)
    tokens = session.tokens(session.messages[1].id)
    assert [token.token_id for token in tokens] == nodes(session)[1].token_ids
    for token in tokens:
        row = expected[token.position - 1]
        assert token.logprob == pytest.approx(float(row[token.token_id]), rel=2e-3, abs=2e-3)
        assert len(token.alternatives) == 10
        best = row.topk(10).values.tolist()
        found = [other.logprob for other in token.alternatives]
        assert found == pytest.approx(best, rel=2e-3, abs=2e-3)


def test_what_was_drawn_from_adds_up_where_ten_tokens_are_all(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one", SamplingParams(temperature=0.5, top_k=4, seed=1, max_tokens=6))
    for token in session.tokens(session.messages[1].id):
        odds = [other.drawn for other in token.alternatives]
        assert sum(odds) == pytest.approx(1.0, abs=2e-3) and odds[4:] == [0.0] * 6
        weights = [math.exp(2 * other.logprob) for other in token.alternatives[:4]]
        ratios = [weight / sum(weights) for weight in weights]
        assert odds[:4] == pytest.approx(ratios, rel=0.02, abs=2e-3)


def test_positions_are_those_that_fork_takes(runtime: ChatRuntime) -> None:
    session = runtime.new_session(sampling=drawn(9))
    say(session, "one two three", drawn(1))
    token = session.tokens(session.messages[1].id)[3]
    assert session.alternatives(token.position) == token
    other = token.alternatives[1]
    child = session.fork(at=token.position, token=other.token_id)
    assert child.reply is not None
    child.reply.wait(60)
    place = child.alternatives(token.position)
    assert (place.token_id, place.logprob) == (other.token_id, other.logprob)
    assert place.alternatives == token.alternatives
    assert len(child.tokens(child.messages[1].id)) == 4 + 8
    assert all(each.alternatives for each in child.tokens(child.messages[1].id))


def test_a_forced_token_that_was_no_alternative_has_no_probability(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one two three", drawn(1))
    session.regenerate(drawn(2), keep_tokens=2, token=3000).wait(60)
    known = [token.logprob is not None for token in session.tokens(session.messages[1].id)]
    assert known == [True, True, False, *[True] * 8]


def test_a_prompt_has_tokens_without_alternatives(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "héllo 🌍")
    tokens = session.tokens(session.messages[0].id)
    assert [token.position for token in tokens] == list(range(session.messages[0].num_tokens))
    assert {(token.logprob, token.alternatives) for token in tokens} == {(None, ())}
    shown = "".join(token.text for token in tokens)
    assert "<|user|>" in shown and "llo" in shown
    assert session.alternatives(0) == tokens[0]


def test_alternatives_survive_a_restart(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    session = runtime.new_session()
    say(session, "one", drawn(1))
    before = session.tokens(session.messages[1].id)
    runtime.close()
    again = make_runtime().sessions()[0]
    assert again.tokens(again.messages[1].id) == before


def test_a_stopped_reply_has_the_alternatives_of_its_tokens(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    reply = session.send("talk", LONG)
    iterator = iter(reply)
    next(iterator)
    streaming = session.tokens(reply.message_id)
    assert streaming and all(token.alternatives for token in streaming)
    child = session.fork()
    reply.cancel()
    reply.wait(60)
    tokens = session.tokens(reply.message_id)
    assert len(tokens) == session.messages[1].num_tokens
    assert all(token.alternatives for token in tokens) and tokens[: len(streaming)] == streaming
    cut = child.tokens(child.messages[1].id)
    assert cut == tokens[: len(cut)] and cut


def test_a_reply_that_somebody_wrote_has_no_alternatives(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    session.edit(session.messages[1].id, "my words")
    reply = session.continue_reply(GREEDY)
    reply.wait(60)
    kept = nodes(session)[1].token_ids
    known = [token.logprob is not None for token in session.tokens(reply.message_id)]
    assert known == [False] * (len(kept) - 6) + [True] * 6


def test_places_that_are_not_there_are_refused(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    for position in (-1, 0, 5):
        with pytest.raises(InvalidArgument):
            session.alternatives(position)
    with pytest.raises(InvalidArgument):
        session.tokens("nothing")


def test_an_unfinished_character_is_shown_as_its_bytes(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    table = session._host._prompts.voice().writer.tokenizer.token_bytes_table
    session.regenerate(GREEDY, token=table.index(b"\xe2")).wait(60)
    assert session.tokens(session.messages[1].id)[0].text == "⟨E2⟩"


def test_scoring_a_prompt_gives_the_probabilities_of_a_run_without_cache(
    runtime: ChatRuntime,
) -> None:
    session = runtime.new_session(window=None)
    say(session, "one two three", drawn(1))
    say(session, "four five", drawn(2))
    for place in (2, 0):
        expected = dense_logits(runtime, ids(session)).log_softmax(-1)
        message_id = session.messages[place].id
        tokens = session.score(message_id)
        assert (tokens[0].logprob is None) == (place == 0)
        for token in tokens[place == 0 :]:
            row = expected[token.position - 1]
            assert token.logprob == pytest.approx(float(row[token.token_id]), rel=2e-3, abs=2e-3)
            assert len(token.alternatives) == 10
            assert {other.drawn for other in token.alternatives} == {0.0}
        assert session.tokens(message_id) == tokens == session.score(message_id)
    assert runtime.stats().memory.held_bytes == 0
    say(session, "go on")


def test_scoring_computes_only_what_nobody_kept(runtime: ChatRuntime) -> None:
    session = runtime.new_session(window=None)
    say(session, "one", drawn(1))
    before = session.tokens(session.messages[1].id)
    assert session.score(session.messages[1].id) == before
    session.regenerate(drawn(2), keep_tokens=2, token=3000).wait(60)
    before = session.tokens(session.messages[1].id)
    after = session.score(session.messages[1].id)
    assert after[:2] == before[:2] and after[3:] == before[3:]
    assert before[2].logprob is None and after[2].logprob is not None


def test_scoring_a_cold_session_in_a_window(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    session = runtime.new_session(window=64)
    say(session, "blah " * 150)
    expected = session.score(session.messages[0].id)
    assert all(token.logprob is not None for token in expected[1:])
    other = make_runtime(save=False, block_size=8).new_session(window=64, sinks=32)
    say(other, "blah " * 150)
    found = other.score(other.messages[0].id)
    assert [token.token_id for token in found] == [token.token_id for token in expected]


def test_a_message_of_another_system_prompt_is_not_scored(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    session.set_system("Be kind.")
    with pytest.raises(InvalidArgument, match="another system"):
        session.score(session.messages[0].id)
    reply = session.send("talk", LONG)
    with pytest.raises(InvalidArgument, match="streaming"):
        session.score(reply.message_id)
    reply.cancel()
