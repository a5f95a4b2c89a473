"""Under which window each token of a path is read, as its messages say."""

from kvchat.session.message import MessageNode, Role
from kvchat.session.path_windows import (
    AUTO_SINKS,
    Reading,
    need_system,
    path_windows,
    with_sinks,
)
from kvchat.store.rows import SessionRow


def row(window: int | None = None, sinks: int = AUTO_SINKS) -> SessionRow:
    return SessionRow("s", "t", window=window, sinks=sinks)


def node(
    role: Role, token_ids: list[int], window: int | None = None, sinks: int | None = 0
) -> MessageNode:
    return MessageNode("m", "t", None, role, [], token_ids, window=window, sinks=sinks)


def test_an_empty_chat_has_the_window_of_its_session() -> None:
    assert path_windows([], row(64)) == ((0, 64, AUTO_SINKS),)
    assert path_windows([], row()) == ((0, None, 0),)


def test_a_window_begins_with_the_token_whose_answer_is_the_messages_first() -> None:
    path = [node("user", [1, 2, 3]), node("assistant", [4, 5], 8, 4), node("user", [6])]
    assert path_windows(path, row(9, 0)) == ((0, None, 0), (2, 8, 4), (4, None, 0), (5, 9, 0))


def test_messages_under_one_window_are_one_part() -> None:
    path = [node("user", [1, 2, 3], 8, 4), node("assistant", [4, 5], 8, 4)]
    assert path_windows(path, row(8, 4)) == ((0, 8, 4),)


def test_what_a_message_rewrites_is_read_under_its_window() -> None:
    path = [node("user", [1, 2, 3]), node("assistant", [4, 5], 8), node("user", [-3, 7, 8], 9)]
    # The third message begins behind two tokens: the reply, which began behind three, is gone.
    assert path_windows(path, row(9, 0)) == ((0, None, 0), (1, 9, 0))


def test_a_message_without_tokens_or_without_a_record_is_read_like_what_follows() -> None:
    path = [node("user", []), node("user", [1, 2], sinks=None), node("assistant", [], 7)]
    assert path_windows(path, row(9, 0)) == ((0, 9, 0),)


def test_a_reading_has_the_tokens_as_well() -> None:
    reading = Reading.of([node("user", [1, 2]), node("assistant", [3], 5)], row())
    assert reading.token_ids == [1, 2, 3]
    assert reading.windows == ((0, None, 0), (1, 5, 0), (2, None, 0))


def test_sinks_become_numbers_once_it_is_known_how_long_the_system_prompt_is() -> None:
    windows = path_windows([node("user", [1, 2], 8, 2)], row(9))
    assert need_system(windows) and not need_system(path_windows([], row()))
    assert with_sinks(windows, 20) == ((0, 8, 4), (1, 9, 20))
