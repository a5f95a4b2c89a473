from collections.abc import Awaitable, Callable
from typing import Any

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


def long_text(count: int) -> str:
    return "\n".join(f"line {number}" for number in range(count))


def rows_of(screen: str) -> list[str]:
    """The first rows of the transcript, without its scroll bar."""
    return [row[:79].rstrip() for row in screen.split("\n")[1:9]]


async def chat_with(pilot: Any, runtime: Any, settle: Settle, *texts: str) -> None:
    for text in texts:
        pilot.app.chat.submit(text)
        runtime.finish_all()
        await settle(pilot)


async def test_the_view_follows_the_end_while_it_is_in_view(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([long_text(60)])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        pilot.app.chat.submit("go")
        runtime.step(100)
        half = await settle(pilot)
        runtime.finish_all()
        end = await settle(pilot)

    assert "line 49" in half
    assert "line 59" in end and "line 40" not in end


async def test_every_piece_of_a_stream_is_shown_once(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two three four five", "six"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        pilot.app.chat.submit("go")
        screens = []
        for _ in range(4):
            runtime.step()
            screens.append(await settle(pilot))
            pilot.app.chat.sync()
        await pilot.press("ctrl+n", "alt+1")
        runtime.step()
        end = await settle(pilot)

    assert "   one▍" in screens[0] and "   one two▍" in screens[1]
    assert "   one two three four▍" in screens[3]
    assert "   one two three four five\n" in end


async def test_text_being_read_does_not_move_when_more_arrives(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([long_text(60), long_text(40)])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        pilot.app.chat.submit("two")
        await settle(pilot)
        await pilot.press("pageup", "pageup")
        before = await settle(pilot)
        runtime.step(60)
        after = await settle(pilot)
        await pilot.press("ctrl+end")
        followed = await settle(pilot)
        runtime.finish_all()
        end = await settle(pilot)

    assert rows_of(before) == rows_of(after)
    assert " 29 new lines" in after
    assert "line 29" in followed and "new lines" not in followed
    assert "line 39" in end


async def test_the_top_line_stays_when_the_window_is_resized(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([long_text(80)])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        await pilot.press("pageup", "pageup", "pageup")
        before = (await settle(pilot)).split("\n")[1]
        await pilot.resize_terminal(100, 34)
        after = (await settle(pilot)).split("\n")[1]

    assert before.strip() == after.strip() and "line" in before


async def test_scrolling_down_to_the_end_follows_again(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([long_text(60)])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        await pilot.press("pageup")
        released = app.chat.transcript.is_following
        await pilot.press("pagedown")
        await settle(pilot)

        assert (released, app.chat.transcript.is_following) == (False, True)


async def test_each_session_keeps_its_scroll_place(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([long_text(60), "other"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        await pilot.press("pageup", "pageup")
        before = await settle(pilot)
        await pilot.press("ctrl+n")
        await chat_with(pilot, runtime, settle, "two")
        await pilot.press("alt+1")
        after = await settle(pilot)

    assert before.split("\n")[1:12] == after.split("\n")[1:12]


async def test_only_messages_in_view_are_measured(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    session = runtime.new_session("long")
    for number in range(2_000):
        role = ("user", "assistant")[number % 2]
        session.tip = runtime.add(role, f"message {number} " * 12, session.tip)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await settle(pilot)
        measured = sum(entry.is_measured for entry in app.chat.transcript.entries)
        await pilot.press("ctrl+home")
        top = await settle(pilot)

    assert "message 1999" in text
    assert measured < 40
    assert "message 0 message 0" in top


async def test_opening_ten_thousand_messages_makes_about_two_screens_of_lines(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    session = runtime.new_session("long")
    for number in range(10_000):
        role = ("user", "assistant")[number % 2]
        session.tip = runtime.add(role, f"message {number} " * 12, session.tip)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await settle(pilot)
        entries = app.chat.transcript.entries
        made = [entry.height(80) for entry in entries if entry.is_measured]

    assert "message 9999" in text and len(entries) == 10_000
    assert 0 < sum(made) <= 2 * 24 + max(made)


async def test_reading_upwards_reaches_every_message_without_jumps(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    session = runtime.new_session("long")
    for number in range(30):
        role = ("user", "assistant")[number % 2]
        session.tip = runtime.add(role, f"<{number}>\n" + "internationalization " * 24, session.tip)
    async with app.run_test(size=(80, 24)) as pilot:
        last = (await settle(pilot)).split("\n")
        steps = 0
        while app.chat.transcript.scroll_offset.y > 0:
            app.chat.transcript.scroll_lines(-1)
            await pilot.pause()
            rows = app.screen._compositor.render_strips()
            now = [strip.text.rstrip() for strip in rows]
            assert now[2:8] == last[1:7]
            last = now
            steps += 1
            if steps == 40:
                break

    assert steps == 40


async def test_a_switch_renders_only_the_screen(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([long_text(300), "short"], num_blocks=640)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        await pilot.press("ctrl+n")
        await chat_with(pilot, runtime, settle, "two")
        await pilot.press("alt+1")
        await settle(pilot)
        drawn = sum(
            strip is not None for entry in app.chat.transcript.entries for strip in entry.strips
        )

    assert drawn <= 48


async def test_an_idle_app_reads_no_messages(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        before = runtime.num_message_reads
        for _ in range(20):
            app.chat.feed.tick()

    assert runtime.num_message_reads == before


async def test_the_mouse_selects_text_as_it_is_shown(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["alpha beta\ngamma"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await chat_with(pilot, runtime, settle, "one")
        await pilot.mouse_down("#transcript", offset=(3, 4))
        await pilot.hover("#transcript", offset=(8, 5))
        await pilot.mouse_up("#transcript", offset=(8, 5))
        await settle(pilot)
        selected = app.screen.get_selected_text()
        await pilot.press("ctrl+c")
        text = await settle(pilot)

    assert selected is not None
    assert selected.rstrip("\n") == "alpha beta\n   gamma"
    assert "to the terminal's clipboard" in text
