"""Templates that write old turns another way: what both share is kept, and the user is told."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from tests.session.session_kit import GREEDY, ids, nodes, say, texts

SHORT = SamplingParams(temperature=0, max_tokens=6)
# Old replies are cut to their first word, as templates do that drop what was thought.
FORGETFUL = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}"
    "<|assistant|>{{ message.content.split(' ')[0] }}<|end|>"
    "{% else %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# The system text stands in the last user turn, so every turn moves it.
MOVING = (
    "{% set ns = namespace(system='') %}"
    "{% for message in messages %}{% if message.role == 'system' %}"
    "{% set ns.system = message.content %}{% else %}<|{{ message.role }}|>"
    "{% if loop.last %}{{ ns.system }} {% endif %}{{ message.content }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
DATED = (
    "<|system|>Today is {{ strftime_now('%Y-%m-%d') }}.<|end|>"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Refuses a system role.
STRICT = (
    "{% for message in messages %}{% if message.role == 'system' %}"
    "{{ raise_exception('no system role') }}{% endif %}"
    "<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
Make = Callable[[str], ChatRuntime]


@pytest.fixture
def with_template(tiny_model: Path, tmp_path: Path) -> Iterator[Make]:
    """Make a runtime whose model has this chat template."""
    made: list[ChatRuntime] = []

    def make(template: str) -> ChatRuntime:
        folder = tmp_path / "model"
        shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config["chat_template"] = template
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        made.append(ChatRuntime(folder, data_dir=tmp_path / "data", threads=1, pool_bytes=4 << 20))
        return made[-1]

    yield make
    for runtime in made:
        runtime.close()


def rendered_ids(runtime: ChatRuntime, path: list[dict[str, str]]) -> list[int]:
    """Return the ids of messages as they are rendered and encoded at once."""
    writer = runtime.host._prompts.voice().writer
    text = writer.template.render(path, add_generation_prompt=True, date="2024-05-06")
    return writer.tokenizer.encode_rendered(text)


def test_a_rewritten_history_keeps_what_is_the_same_and_says_what_is_read_again(
    with_template: Make,
) -> None:
    runtime = with_template(FORGETFUL)
    session = runtime.new_session(window=None)
    first = session.send("one", SHORT)
    first.wait(60)
    assert first.notice is None
    before = ids(session)
    session.edit(session.messages[1].id, "Yes indeed it is so")
    reply = session.send("two", SHORT)
    reply.wait(60)
    turns = [("user", "one"), ("assistant", "Yes indeed it is so"), ("user", "two")]
    expected = rendered_ids(runtime, [{"role": role, "content": text} for role, text in turns])
    prompt = ids(session)[: len(expected)]
    assert prompt == expected
    edited = nodes(session)[1].token_ids
    num_prompt = len(nodes(session)[0].token_ids)
    num_kept = next(
        place
        for place, (old, new) in enumerate(
            zip([*before[:num_prompt], *edited], expected, strict=False)
        )
        if old != new
    )
    num_again = num_prompt + len(edited) - num_kept
    assert num_again > 0
    assert reply.notice == f"History rewritten by the template: re-reading {num_again} tokens."
    assert session.messages[-1].notice == reply.notice
    assert reply.num_cached_tokens >= num_prompt - 1


def test_a_moving_system_text_is_read_again_every_turn_with_the_words_of_a_fresh_run(
    with_template: Make,
) -> None:
    runtime = with_template(MOVING)
    session = runtime.new_session(system="Be kind.", window=None)
    say(session, "one", SHORT)
    for text in ("two", "three"):
        reply = session.send(text, SHORT)
        reply.wait(60)
        assert reply.notice is not None and "rewritten by the template" in reply.notice
        assert reply.num_prompt_tokens == len(ids(session)) - reply.num_generated_tokens
    said, words = ids(session), texts(session)
    # Nothing of it depends on what was cached.
    runtime.host.release(session.id)
    session.regenerate(SHORT).wait(60)
    assert (ids(session), texts(session)) == (said, words)


def test_a_notice_is_still_there_after_a_restart(with_template: Make) -> None:
    runtime = with_template(MOVING)
    session = runtime.new_session(system="Be kind.", window=None)
    say(session, "one")
    say(session, "two")
    notice = session.messages[-1].notice
    assert notice is not None
    runtime.close()
    again = with_template(MOVING).sessions()[0]
    assert [message.notice for message in again.messages] == [None, None, None, notice]


def test_forks_and_kept_tokens_of_a_rewritten_history_have_its_ids(with_template: Make) -> None:
    runtime = with_template(MOVING)
    session = runtime.new_session(system="Be kind.", window=None, sampling=GREEDY)
    say(session, "one")
    say(session, "two")
    whole = ids(session)
    start = len(whole) - len(nodes(session)[-1].token_ids)
    child = session.fork(at=start + 2, token=300)
    assert child.reply is not None
    child.reply.wait(60)
    assert ids(child)[: start + 3] == [*whole[: start + 2], 300]
    assert child.reply.num_prompt_tokens - child.reply.num_cached_tokens == 1
    for position in range(start, len(whole) + 1):
        assert ids(session.fork(at=position)) == whole[:position]


def test_the_date_of_a_session_stays_that_of_its_first_day(with_template: Make) -> None:
    runtime = with_template(DATED)
    session = runtime.new_session(window=None)
    say(session, "one")
    stamp = session._row.template_date
    assert stamp is not None
    tokenizer = runtime.host._prompts.voice().writer.tokenizer
    assert f"Today is {stamp}." in tokenizer.decode_raw(ids(session))
    session._row = replace(session._row, template_date="2024-05-06")
    fresh = session.fork(at=0)
    reply = fresh.send("one", GREEDY)
    reply.wait(60)
    assert "Today is 2024-05-06." in tokenizer.decode_raw(ids(fresh))
    later = fresh.send("two", GREEDY)
    later.wait(60)
    assert later.notice is None


def test_a_system_text_that_is_folded_is_said_once(with_template: Make) -> None:
    runtime = with_template(STRICT)
    session = runtime.new_session(system="Be kind.", window=None)
    notices = []
    for text in ("one", "two"):
        reply = session.send(text, GREEDY)
        reply.wait(60)
        notices.append(reply.notice)
    sentence = "takes no system prompt; it stands at the start of the first message."
    assert notices == [f"The template of model {sentence}", None]
    session.set_system("Be brief.")
    reply = session.send("three", GREEDY)
    reply.wait(60)
    assert reply.notice is not None and reply.notice.startswith("The system prompt changed")
    plain = runtime.new_session(window=None)
    reply = plain.send("one", GREEDY)
    reply.wait(60)
    assert reply.notice is None


def test_a_template_that_cannot_be_used_is_said_with_the_first_reply(with_template: Make) -> None:
    session = with_template("{% for %}").new_session(window=None)
    reply = session.send("one", GREEDY)
    reply.wait(60)
    assert reply.notice is not None
    assert re.fullmatch(r"Template of model failed: .*; using the plain format\.", reply.notice)
    later = session.send("two", GREEDY)
    later.wait(60)
    assert "Template of" not in (later.notice or "")
