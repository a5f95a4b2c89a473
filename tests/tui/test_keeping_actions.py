import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import read_screen, say, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from kvchat.tui.app import KVChatApp
from kvchat.tui.keeping_actions import export_target

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("args", "form", "path"),
    [
        ("", "md", "My-chat.md"),
        ("json", "json", "My-chat.json"),
        ("a.html", "html", "a.html"),
        ("html a.txt", "html", "a.txt"),
        ("HTML", "html", "My-chat.html"),
        ("Json B.JSON", "json", "B.JSON"),
        ("sub", "md", "sub/My-chat.md"),
        ("json sub/", "json", "sub/My-chat.json"),
        ("name", "md", "name"),
        ("doc", "md", "doc/My-chat.md"),
        ("md with spaces.md", "md", "with spaces.md"),
    ],
)
def test_form_and_file_follow_from_what_is_typed(
    args: str, form: str, path: str, here: Path
) -> None:
    (here / "sub").mkdir()
    (here / "doc").mkdir()

    assert export_target(args, "My chat") == (form, Path(path))


def test_an_ending_that_is_no_form_is_refused_and_a_title_is_no_path() -> None:
    with pytest.raises(InvalidArgument, match=r"\.pdf is no form"):
        export_target("a.pdf", "x")
    for word in ("pdf", "PDF", ".pdf"):
        with pytest.raises(InvalidArgument, match=r"\.pdf is no form; write /export md"):
            export_target(word, "x")
    assert export_target("md pdf", "x") == ("md", Path("pdf"))
    assert export_target("", "../../etc/\x1b[2J passwd")[1] == Path("etc-2J-passwd.md")
    assert export_target("", "…")[1] == Path("chat.md")


async def used(pilot: Any, runtime: Any) -> None:
    await wait_until(pilot, lambda: pilot.app.chat.view is not None)
    await say(pilot, "go")
    runtime.finish_all()


async def test_a_chat_is_written_and_an_old_file_is_replaced_only_after_asking(
    make_app: Make, make_runtime: Make, here: Path
) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(100, 24)) as pilot:
        await used(pilot, runtime)
        await say(pilot, "/export md")
        await wait_for_text(pilot, "Wrote go.md.")
        first = (here / "go.md").read_text()
        (here / "go.md").write_text("precious")
        await say(pilot, "/export")
        await wait_for_text(pilot, "Replace go.md?")
        await pilot.press("escape")
        kept = (here / "go.md").read_text()
        await say(pilot, "/export")
        await pilot.press("enter")
        await wait_until(pilot, lambda: (here / "go.md").read_text() == first)

    assert first == "# go\n\ngo\n\nanswer"
    assert kept == "precious"


async def test_x_on_a_message_writes_it_and_what_follows_after_asking_for_the_path(
    make_app: Make, make_runtime: Make, here: Path
) -> None:
    runtime = make_runtime(["first answer", "second answer"])
    async with make_app(runtime).run_test(size=(100, 24)) as pilot:
        await used(pilot, runtime)
        await say(pilot, "more")
        runtime.finish_all()
        await wait_for_text(pilot, "second answer")
        await pilot.press("alt+up", "up", "x")
        await wait_for_text(pilot, "Write from here on to", "go.md")
        await pilot.press("enter")
        await wait_for_text(pilot, "Wrote go.md.")
        written = (here / "go.md").read_text()
        (here / "go.md").write_text("precious")
        await pilot.press("x", "enter")
        await wait_for_text(pilot, "Replace go.md?")
        await pilot.press("escape")

    assert written == "# go\n\nmore\n\nsecond answer"
    assert (here / "go.md").read_text() == "precious"


async def test_a_folder_that_is_not_there_is_one_sentence(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(100, 24)) as pilot:
        await used(pilot, runtime)
        await say(pilot, "/export md none/a.md")
        await wait_for_text(pilot, "none/a.md cannot be written: No such file or directory.")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/import", "Name the file"),
        ("/import none.json", "none.json is missing"),
        ("/import bad.bin", "bad.bin is not UTF-8 text."),
        ("/import other.md", "This is no chat."),
        ("/import .", "is not a regular file"),
    ],
)
async def test_what_cannot_be_imported_is_one_sentence(
    line: str, said: str, make_app: Make, make_runtime: Make, here: Path
) -> None:
    (here / "bad.bin").write_bytes(b"\xff\xfe")
    (here / "other.md").write_text("nothing")
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(300, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, line)
        await wait_for_text(pilot, said)

    assert len(runtime.open_sessions) <= 1


async def test_saving_is_said_when_it_is_done(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(100, 24)) as pilot:
        await used(pilot, runtime)
        await say(pilot, "/save")
        await wait_for_text(pilot, "Saved; after a restart this chat goes on")

    assert [event.kind for event in runtime.events].count("save") == 1


async def test_the_trash_is_erased_only_after_asking(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(100, 24)) as pilot:
        await used(pilot, runtime)
        await say(pilot, "/purge")
        await wait_for_text(pilot, "The trash is empty.")
        runtime.new_session("old [/] chat").delete()
        await say(pilot, "/purge")
        asked = await wait_for_text(pilot, "Erase the chat in the trash for ever")
        await pilot.press("escape")
        kept = len(runtime.trash)
        await say(pilot, "/purge")
        await wait_for_text(pilot, "Erase the chat")
        await pilot.press("enter")
        await wait_for_text(pilot, "Erased 1 chat.")

    assert "(old [/] chat)" in " ".join(asked.replace("│", " ").split())
    assert kept == 1 and runtime.trash == []


async def test_a_real_chat_comes_back_from_its_file_with_every_branch(
    tiny_model: Path, here: Path
) -> None:
    with ChatRuntime(tiny_model, save=False, sampling={"max_tokens": 4}) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(100, 24)) as pilot:
            await wait_until(pilot, lambda: app.chat.view is not None)
            await say(pilot, "go")
            (session,) = runtime.sessions()
            await wait_until(pilot, lambda: session.reply and session.reply.is_finished)
            await say(pilot, "/retry")
            await wait_until(pilot, lambda: session.reply and session.reply.is_finished)
            await say(pilot, "/export json")
            await wait_until(pilot, lambda: (here / "go.json").exists())
            await say(pilot, "/import go.json")
            await wait_until(pilot, lambda: len(runtime.sessions()) == 2)
            text = await wait_for_text(pilot, "Imported “go”.", "‹2/2›")
            imported = runtime.sessions()[1]

            assert [m.text for m in imported.messages] == [m.text for m in session.messages]
            assert imported.id != session.id and text == read_screen(app)


async def test_the_command_itself_is_no_draft_in_the_file_it_writes(
    tiny_model: Path, here: Path
) -> None:
    with ChatRuntime(tiny_model, save=False) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(100, 24)) as pilot:
            await wait_until(pilot, lambda: app.chat.view is not None)
            app.chat.prompt.set_exact_text("/export json a.json")
            app.chat.drafts.store()  # as it is within a second of typing
            typed = runtime.sessions()[0].draft
            await pilot.press("enter")
            await wait_for_text(pilot, "Wrote a.json.")

    assert typed == "/export json a.json"
    assert json.loads((here / "a.json").read_text())["session"]["draft"] == ""


async def test_blocks_are_given_away_and_come_back(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime(["x y z"])
    async with make_app(runtime).run_test(size=(100, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "go")
        runtime.finish_all()
        await say(pilot, "/unload")
        await wait_for_text(pilot, "Unloaded: others may take its blocks")
        unloaded = runtime.open_sessions[0].length
        await say(pilot, "/load")
        await wait_for_text(pilot, "Coming back from disk")

    assert unloaded == 0 and runtime.open_sessions[0].length > 0
