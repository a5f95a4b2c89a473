"""Where the tokens of each message stand, and what they say."""

from collections.abc import Callable

import pytest

from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from tests.session.session_kit import say

MakeRuntime = Callable[..., ChatRuntime]


def test_the_ranges_of_a_path_follow_each_other_and_cover_all_tokens(
    make_runtime: MakeRuntime,
) -> None:
    session = make_runtime(save=False).new_session(window=None)
    assert session.token_ranges() == {}
    say(session, "one two three")
    say(session, "four five")
    ranges = session.token_ranges()
    assert list(ranges) == [message.id for message in session.messages]
    behind = 0
    for message in session.messages:
        tokens = ranges[message.id]
        assert tokens.start == behind and len(tokens) == message.num_tokens
        behind = tokens.stop
    assert behind == session.stats().num_tokens


def test_the_tokens_of_a_message_say_its_text(make_runtime: MakeRuntime) -> None:
    session = make_runtime(save=False).new_session(window=None)
    say(session, "Grüße, 漢字 and 👩‍👩‍👧!")
    for message in session.messages:
        texts = session.token_texts(message.id)
        assert len(texts) == len(session.token_ranges()[message.id])
        assert message.text.strip() in "".join(texts)


def test_a_message_of_another_chat_has_no_tokens_here(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(save=False)
    session, other = runtime.new_session(window=None), runtime.new_session(window=None)
    say(other, "one")
    with pytest.raises(InvalidArgument, match="not part of the session"):
        session.token_texts(other.messages[0].id)
