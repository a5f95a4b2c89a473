"""Which chat a command line means."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat.errors import InvalidArgument, SessionNotFound
from kvchat.runtime import ChatRuntime
from kvchat.session_choice import SessionChoice, find_session


@pytest.fixture
def runtime(tiny_model: Path) -> Iterator[ChatRuntime]:
    with ChatRuntime(tiny_model, save=False) as runtime:
        yield runtime


def test_a_chat_is_found_by_its_id_its_title_or_a_part_of_either(runtime: ChatRuntime) -> None:
    rust, paper = runtime.new_session("Rust lifetimes"), runtime.new_session("KV paper")
    sessions = runtime.sessions()

    assert find_session(sessions, rust.id) is rust
    assert find_session(sessions, paper.id[:12]) is paper
    assert find_session(sessions, "kv PAPER") is paper
    assert find_session(sessions, "life") is rust


def test_a_whole_title_is_preferred_to_a_part_of_another(runtime: ChatRuntime) -> None:
    short = runtime.new_session("rust")
    runtime.new_session("rust lifetimes")

    assert find_session(runtime.sessions(), "rust") is short


def test_a_name_that_several_chats_have_is_refused_with_their_ids(runtime: ChatRuntime) -> None:
    first = runtime.new_session("notes one")
    runtime.new_session("notes two")

    with pytest.raises(InvalidArgument, match=f"2 chats .*{first.id[:8]}"):
        find_session(runtime.sessions(), "notes")


@pytest.mark.parametrize("name", ["nobody", "", " "])
def test_a_name_that_no_chat_has_is_not_found(name: str, runtime: ChatRuntime) -> None:
    runtime.new_session("rust")

    with pytest.raises(SessionNotFound):
        find_session(runtime.sessions(), name)


def test_the_last_chat_is_the_one_used_last_and_a_fork_leaves_it_alone(
    tiny_model: Path, tmp_path: Path
) -> None:
    with ChatRuntime(tiny_model, data_dir=tmp_path) as runtime:
        first, _ = runtime.new_session("one"), runtime.new_session("two")
        first.send("used last").wait()
    with ChatRuntime(tiny_model, data_dir=tmp_path) as runtime:
        last = SessionChoice(last=True).open(runtime)
        forked = SessionChoice(last=True, fork=True).open(runtime)

        assert last is not None and last.id == first.id
        assert forked is not None and forked.origin == first.id


def test_without_a_chat_there_is_nothing_to_go_on_with(runtime: ChatRuntime) -> None:
    with pytest.raises(SessionNotFound, match="no chat yet"):
        SessionChoice(last=True).open(runtime)
    assert SessionChoice().open(runtime) is None
