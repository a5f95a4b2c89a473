"""The views of the pool, key by key, on every size of screen."""

import csv
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]
from textual.events import Click

from kvchat.engine.sequence import ResumeCost
from kvchat.settings import Settings
from kvchat.tui.app import KVChatApp

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]

SIZES = [(40, 12), (80, 24), (140, 40)]


@pytest.fixture
def runtime(make_runtime: Any) -> Any:
    """A asked one thing and forked B after it; B went on, so each has blocks of its own."""
    runtime = make_runtime(
        ["alpha beta gamma delta epsilon zeta eta theta", "iota kappa lambda", "mu nu xi omicron"],
        num_blocks=48,
        block_size=4,
    )
    runtime.new_session("rust lifetimes").send("tell me about it")
    runtime.finish_all()
    first = runtime.open_sessions[0]
    second = first.fork(title="shorter")
    second.send("say it shorter")
    runtime.finish_all()
    first.send("go on")
    runtime.finish_all()
    return runtime


@pytest.fixture
def opened(make_app: Make, runtime: Any, settle: Settle) -> Any:
    @asynccontextmanager
    async def start(size: tuple[int, int] = (80, 24), keys: str = "f3", **options: Any) -> Any:
        app: KVChatApp = make_app(runtime, **options)
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            app.chat.show_session(app.chat.state.views["session-0"])
            await settle(pilot)
            for key in keys.split():
                await pilot.press(key)
                await settle(pilot)
            yield pilot

    return start


def place(pilot: Any) -> tuple[str, int, int]:
    at = pilot.app.chat.blocks.state.place
    return (at.session_id, at.index, at.block)


async def test_f3_goes_from_the_panel_to_the_whole_screen_to_nothing_and_back(
    opened: Any, settle: Settle
) -> None:
    async with opened(keys="") as pilot:
        texts = [await settle(pilot)]
        for _ in range(3):
            await pilot.press("f3")
            texts.append(await settle(pilot))

    assert "─ blocks 9 used" in texts[0] and "Ask anything" in texts[0]
    assert "blocks · lanes" in texts[1] and "Ask anything" not in texts[1]
    assert "blocks" not in texts[2].replace("f3 blocks", "") and "Ask anything" in texts[2]
    assert texts[3].splitlines()[-4:] == texts[0].splitlines()[-4:]


async def test_nothing_is_published_while_nobody_looks(opened: Any, runtime: Any) -> None:
    async with opened(keys="") as pilot:
        shown = runtime.view_wanted
        await pilot.press("f3")
        full = runtime.view_wanted
        await pilot.press("f3")

    assert (shown, full, runtime.view_wanted) == (True, True, False)


async def test_escape_goes_back_to_the_chat_with_its_panel(opened: Any, settle: Settle) -> None:
    async with opened(keys="f3 escape") as pilot:
        text = await settle(pilot)

    assert "─ blocks 9 used" in text and "Ask anything" in text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", ["f3", "f3 m", "f3 t", "f3 question_mark"])
async def test_each_view_says_totals_that_add_up_at_each_size(
    opened: Any, settle: Settle, size: tuple[int, int], keys: str
) -> None:
    async with opened(size, keys) as pilot:
        text = await settle(pilot)

    assert len(text.splitlines()) <= size[1]
    if "t" not in keys.split():
        short = "9 + 0 + 39 = 48" if size[0] < 60 else "9 used + 0 cached + 39 free = 48"
        assert short in text


async def test_in_ascii_the_footer_ends_in_a_whole_hint(opened: Any, settle: Settle) -> None:
    async with opened((80, 24), "f3", settings=Settings(ascii=True)) as pilot:
        last = (await settle(pilot)).splitlines()[-1]
        pairs = pilot.app.registry.view_footer("blocks")

    assert "enter text" in last
    assert last.endswith(tuple(f" {word}" for _, word in pairs))


@pytest.mark.parametrize("size", SIZES)
async def test_in_ascii_no_view_has_another_character(
    opened: Any, settle: Settle, size: tuple[int, int]
) -> None:
    async with opened(size, "f3", settings=Settings(ascii=True)) as pilot:
        for key in ("l", "m", "t", "question_mark"):
            await pilot.press(key)
            assert (await settle(pilot)).isascii()


async def test_the_table_beside_the_map_adds_up_in_blocks_and_bytes(
    opened: Any, settle: Settle
) -> None:
    async with opened((140, 40), "f3 m") as pilot:
        text = await settle(pilot)

    assert "12 rows − 3 shared = 9 used" in text
    assert "+ 0 cached + 39 free = 48" in text
    assert "576 KiB + 0 B + 2.4 MiB = 3 MiB" in text


async def test_the_inspector_says_whose_block_it_is_and_what_acting_there_costs(
    opened: Any, settle: Settle
) -> None:
    async with opened((140, 40), "f3 home") as pilot:
        first = await settle(pilot)
        await pilot.press("end")
        last = await settle(pilot)

    assert "A #1/6 · block 0000 · tokens 0–3 · full · 64 KiB" in first
    assert "ref 2: A, B · whoever writes into it copies it first" in first
    assert "text (⏎ jumps there): “tell me”" in first
    assert "rewind here  to token 0: 3 blocks (192 KiB) become cached; 3 stay with B" in first
    assert "fork here    0 blocks now; the first new token takes 1 block" in first
    assert "come back    22 tokens in the pool; U frees 3 blocks (192 KiB), 3 stay" in first
    assert "A #6/6" in last and "2/4 full" in last and "ref 1: A · nobody else uses it" in last
    assert "nothing is behind it" in last


async def test_left_and_right_move_by_cells_and_up_and_down_by_sessions(opened: Any) -> None:
    async with opened(keys="f3 home right right") as pilot:
        third = place(pilot)
        await pilot.press("left")
        second = place(pilot)
        await pilot.press("down")
        below = place(pilot)
        await pilot.press("up")

    assert (third[:2], second[:2], below[:2], place(pilot)) == (
        ("session-0", 2), ("session-0", 1), ("session-1", 1), second,
    )  # fmt: skip


async def test_in_the_map_the_arrows_move_through_the_pool(opened: Any) -> None:
    async with opened(keys="f3 m home right right") as pilot:
        two = place(pilot)[2]
        await pilot.press("down")
        below = place(pilot)[2]
        await pilot.press("up", "left")
        one = place(pilot)[2]
        await pilot.press("end")

    assert (two, below, one, place(pilot)[2]) == (2, 2, 1, 47)


async def test_tab_goes_to_the_next_shared_block_and_o_to_the_next_of_its_owner(
    opened: Any, runtime: Any
) -> None:
    async with opened(keys="f3 m end") as pilot:
        blocks = []
        for _ in range(4):
            await pilot.press("tab")
            blocks.append(place(pilot)[2])
        table = runtime.open_sessions[0].table
        await pilot.press("home", "o")
        owned = place(pilot)

    shared = [block for block, count in enumerate(runtime.counts) if count > 1]
    assert blocks == [*shared, shared[0]]
    assert owned == ("session-0", 1, table[1])


async def test_without_a_shared_block_tab_says_so(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["alpha"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f3", "tab")
        text = await settle(pilot)

    assert "No block is shared" in text


async def test_enter_goes_to_the_text_of_the_block_and_marks_exactly_that(
    opened: Any, settle: Settle
) -> None:
    async with opened(keys="f3 home right right") as pilot:
        await pilot.press("enter")
        text = await settle(pilot)
        strips = pilot.app.screen._compositor.render_strips()
        marked = [
            segment.text
            for strip in strips
            for segment in strip
            if segment.style is not None and segment.style.reverse and len(segment.text) > 2
        ]
        await pilot.press("escape")
        await settle(pilot)
        has_marks = pilot.app.chat.transcript.has_marks

    assert "Ask anything" in text
    assert "gamma delta epsilon zeta" in " ".join(marked).replace("  ", " ")
    assert "beta" not in " ".join(marked) and "eta theta" not in " ".join(marked)
    assert not has_marks


async def test_a_double_click_goes_to_the_text(opened: Any, settle: Settle) -> None:
    async with opened(keys="f3 m home") as pilot:
        await pilot.click("#blocks", offset=(1, 2), times=2)
        text = await settle(pilot)

    assert "Ask anything" in text and pilot.app.chat.transcript.has_marks


async def test_the_mouse_moves_the_inspector_until_a_click_pins_it(opened: Any) -> None:
    async with opened(keys="f3 m home") as pilot:
        await pilot.hover("#blocks", offset=(3, 2))
        over = place(pilot)[2]
        await pilot.click("#blocks", offset=(4, 2))
        pinned = place(pilot)[2]
        await pilot.hover("#blocks", offset=(6, 2))
        after = place(pilot)[2]
        await pilot.click("#blocks", offset=(4, 2))
        await pilot.hover("#blocks", offset=(6, 2))

    assert (over, pinned, after, place(pilot)[2]) == (2, 3, 3, 5)


async def test_the_mouse_finds_blocks_of_a_lane(opened: Any) -> None:
    async with opened(keys="f3 home") as pilot:
        grid = pilot.app.chat.blocks.screen.blocks.lane_grid
        await pilot.hover("#blocks", offset=(grid.left + 2, 4))

    assert place(pilot)[:2] == ("session-1", 2)


async def test_the_mouse_over_the_panel_shows_the_block_there(opened: Any, settle: Settle) -> None:
    async with opened(keys="") as pilot:
        await pilot.hover("#dock", offset=(1, 1))
        text = await settle(pilot)

    assert "A #1/6 · block 0000 · tok 0–3 · ref 2: A, B · 64 KiB  “tell me”" in text


async def test_tab_leads_to_the_panel_where_the_same_keys_work(opened: Any, settle: Settle) -> None:
    async with opened(keys="tab tab home") as pilot:
        first = await settle(pilot)
        await pilot.press("right")
        second = await settle(pilot)
        await pilot.press("m")
        full = await settle(pilot)
        await pilot.press("escape", "escape", "x")
        typed = pilot.app.chat.prompt.text

    assert "block 0000" in first and "block 0001" in second
    assert "blocks · map" in full
    assert typed == "x"


async def test_b_on_a_message_lights_its_blocks(opened: Any, settle: Settle) -> None:
    async with opened(keys="alt+up k b") as pilot:
        text = await settle(pilot)
        lit = pilot.app.chat.blocks.state.lit
        await pilot.press("f3", "right")
        gone = pilot.app.chat.blocks.state.lit

    assert lit == ("session-0", range(3, 5))
    assert "Its blocks are lit: A #4 to #5" in text
    assert gone is None


async def test_without_a_panel_b_opens_lanes(opened: Any, settle: Settle) -> None:
    async with opened((40, 12), "alt+up b") as pilot:
        text = await settle(pilot)

    assert "lanes" in text and pilot.app.chat.blocks.state.lit is not None


async def test_w_rewinds_to_the_message_of_the_block(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    async with opened(keys="f3 home right right w") as pilot:
        text = await settle(pilot)

    assert [m.text for m in runtime.open_sessions[0].messages][-1].startswith("alpha")
    assert len(runtime.open_sessions[0].messages) == 2
    assert "Rewound" in text


async def test_w_on_a_prompt_puts_its_text_back(opened: Any, runtime: Any) -> None:
    async with opened(keys="f3 home w") as pilot:
        prompt = pilot.app.chat.prompt.exact_text

    assert prompt == "tell me about it"
    assert runtime.open_sessions[0].messages == ()


async def test_f_forks_behind_the_block(opened: Any, runtime: Any, settle: Settle) -> None:
    async with opened(keys="f3 home right f") as pilot:
        text = await settle(pilot)

    assert len(runtime.open_sessions) == 3
    assert runtime.fork_places == [None, 8]
    assert "C goes on behind token 8 of A." in text


async def test_s_saves_the_session(opened: Any, runtime: Any, settle: Settle) -> None:
    async with opened(keys="f3 home s") as pilot:
        await wait_until(pilot, lambda: runtime.events[-1].kind == "save")
        await settle(pilot)
        text = await settle(pilot)

    assert runtime.events[-1].text == "A is on disk"
    assert "A is on disk." in text


async def test_the_views_open_on_the_chat_that_is_shown_now(opened: Any, settle: Settle) -> None:
    async with opened() as pilot:
        before = place(pilot)[0]
        await pilot.press("escape")
        pilot.app.chat.show_session(pilot.app.chat.state.views["session-1"])
        panel = await settle(pilot)
        await pilot.press("f3")
        await settle(pilot)
        after = place(pilot)[0]

    assert (before, after) == ("session-0", "session-1")
    assert "a own" in panel


async def settled(pilot: Any, settle: Settle, is_true: Callable[[], bool]) -> str:
    """Wait for what the engine is asked in the background."""
    await settle(pilot)
    await wait_until(pilot, is_true)
    return await settle(pilot)


async def test_shift_u_saves_the_session_and_frees_its_blocks_and_shift_l_brings_it_back(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    session = runtime.open_sessions[0]
    async with opened((140, 40), "f3 home") as pilot:
        costs = pilot.app.chat.blocks.state
        await pilot.press("U")
        await settled(pilot, settle, lambda: costs.costs["session-0"].num_disk_tokens == 22)
        away = await settle(pilot)
        table = list(session.table)
        await pilot.press("L")
        back = await settled(pilot, settle, lambda: costs.costs["session-0"].num_disk_tokens == 0)

    lane = next(line for line in away.splitlines() if "A rust" in line)
    assert table == [] and "======" in lane and "22 on disk" in lane
    assert "A is saved, and its blocks are free for others" in away
    assert "0 tokens in the pool, 22 on disk" in away
    assert "fork here    0 blocks now; 4 tokens from disk" in away
    assert "=" not in next(line for line in back.splitlines() if "A rust" in line)
    assert len(session.table) == 6


async def test_the_engine_says_what_a_rewind_leaves_to_read(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    runtime.plans[""] = type(runtime.open_sessions[0].plan_rewind(""))(0, 1_312, 64)
    async with opened((220, 40), "f3 home") as pilot:
        text = await settled(pilot, settle, lambda: pilot.app.chat.blocks.state.plan is not None)

    assert "64 tokens from disk; re-reads 1 312 tokens" in text


async def test_space_keeps_the_picture_and_lets_it_go_on(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    async with opened(keys="f3 space") as pilot:
        runtime.grow(runtime.open_sessions[0], 40)
        frozen = await settle(pilot)
        await pilot.press("space")
        thawed = await settle(pilot)

    assert "frozen" in frozen and "9 used + 0 cached" in frozen
    assert "frozen" not in thawed and "19 used + 0 cached" in thawed


async def test_plus_and_minus_zoom_and_z_shows_all(opened: Any, runtime: Any) -> None:
    def size() -> int:
        return int(pilot.app.chat.blocks.screen.blocks.map_grid.size)

    runtime.counts += [0] * 20_000
    async with opened(keys="f3 m home") as pilot:
        sizes = [size()]
        for key in ("plus", "plus", "minus", "z"):
            await pilot.press(key)
            await pilot.pause()
            sizes.append(size())

    assert sizes == [32, 16, 8, 16, 32]


async def test_e_shows_the_events_of_one_kind_after_the_other(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    runtime.note("hit", "A found 4 tokens", 1)
    async with opened(keys="f3") as pilot:
        texts = [await settle(pilot)]
        for _ in range(4):
            await pilot.press("e")
            texts.append(await settle(pilot))

    assert "A found" in texts[0] and "nothing copied" in texts[0]
    assert "only fork" in texts[1] and "A found" not in texts[1]
    assert "only copy" in texts[2] and "only hit" in texts[3] and "A found" in texts[3]
    assert "only" not in texts[4].splitlines()[0]


async def test_x_writes_the_blocks_and_in_the_time_view_the_events(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settle: Settle
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(keys="f3 x") as pilot:
        text = await settle(pilot)
        await pilot.press("t", "x")
        await settle(pilot)

    files = {path.name.split("-")[1]: path for path in tmp_path.iterdir()}
    rows = list(csv.DictReader(files["blocks"].read_text().splitlines()))
    assert len(rows) == 48
    assert rows[0] == {
        "block": "0", "state": "shared", "ref_count": "2", "used_by": "A#1 B#1",
        "eviction_place": "",
    }  # fmt: skip
    assert {row["kind"] for row in csv.DictReader(files["events"].read_text().splitlines())} == {
        "copy",
        "fork",
    }
    assert "Wrote kvchat-blocks-" in text
    assert files["blocks"].stat().st_mode & 0o777 == 0o600


async def test_a_csv_file_that_cannot_be_written_is_a_sentence(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settle: Settle
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.open", _no_space)
    async with opened(keys="f3 x") as pilot:
        text = await settle(pilot)

    assert "could not be written: No space left on" in text


def _no_space(*_args: object) -> int:
    raise OSError(28, "No space left on device")


async def test_g_shows_the_next_layer_group(opened: Any, runtime: Any, settle: Settle) -> None:
    runtime.num_groups = 2
    async with opened(keys="f3 g") as pilot:
        text = await settle(pilot)

    assert runtime.group_index == 1
    assert "group 2/2" in text


async def test_with_one_layer_group_g_says_so(opened: Any, settle: Settle) -> None:
    async with opened(keys="f3 g") as pilot:
        text = await settle(pilot)

    assert "All layers of this model are one group." in text


async def test_the_question_mark_explains_every_mark_and_escape_hides_that(
    opened: Any, settle: Settle
) -> None:
    async with opened((140, 40), "f3 question_mark") as pilot:
        text = await settle(pilot)
        await pilot.press("escape")
        after = await settle(pilot)

    for words in ("being written", "cached", "free", "just copied", "just gave way",
                  "let go of by its window", "only on disk", "to be computed"):  # fmt: skip
        assert words in text
    assert "being written" not in after and "blocks · lanes" in after


async def test_in_the_time_view_the_arrows_move_a_cursor(opened: Any) -> None:
    async with opened(keys="f3 t left left right") as pilot:
        state = pilot.app.chat.blocks.state
        last = pilot.app.chat.blocks.screen.blocks.num_columns - 1

    assert state.column == last - 1


async def test_lanes_show_what_is_on_disk_and_what_coming_back_costs(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    second = runtime.open_sessions[1]
    runtime.shrink(second, 8)
    runtime.costs["session-1"] = ResumeCost("session-1", 8, 4, 5)
    async with opened((140, 40), "f3 home down") as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.blocks.state.costs)
        text = await settle(pilot)

    lane = next(line for line in text.splitlines() if "B shorter" in line)
    assert "22=??" in lane and "4 on disk" in lane
    assert "8 tokens in the pool, 4 on disk, 5 re-read, ~0.0 s" in text


async def test_a_rewind_on_disk_does_not_say_that_nothing_is_behind_the_block(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    runtime.open_sessions[1].unload()
    runtime.costs["session-1"] = ResumeCost("session-1", 0, 12, 1)
    async with opened((140, 40), "f3 home down") as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.blocks.state.costs)
        text = await settle(pilot)

    assert "B #1/" in text and "on disk only" in text
    assert "it holds no block now" in text and "nothing is behind it" not in text


@pytest.mark.parametrize("line", ["/blocks map", "/blocks lanes", "/blocks time"])
async def test_a_view_is_opened_by_its_name(opened: Any, settle: Settle, line: str) -> None:
    async with opened(keys="") as pilot:
        pilot.app.chat.prompt.set_exact_text(line)
        await pilot.press("enter")
        text = await settle(pilot)

    assert f"blocks · {line.split()[1]}" in text


async def test_a_view_that_does_not_exist_is_a_sentence(opened: Any, settle: Settle) -> None:
    async with opened((140, 40), keys="") as pilot:
        pilot.app.chat.prompt.set_exact_text("/blocks heap")
        await pilot.press("enter")
        text = await settle(pilot)

    assert "heap is no view of the blocks" in text


async def test_before_the_model_is_loaded_the_views_say_so(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(loading=True)
    runtime.pool_view = lambda: None
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f3", "m", "left", "tab", "enter", "w", "x")
        text = await settle(pilot)

    assert "shown when the model is loaded" in text


async def test_a_deleted_session_leaves_its_place_without_an_error(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    async with opened(keys="f3 home down") as pilot:
        runtime.open_sessions[1].delete()
        await settle(pilot)
        await pilot.press("enter", "w", "f", "right")
        text = await settle(pilot)

    assert "No session uses this block" in text or "Ask anything" in text


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_the_inspector_says_when_a_block_was_read(
    opened: Any, runtime: Any, settle: Settle, size: tuple[int, int]
) -> None:
    at = 1_700_000_123.0
    runtime.filled_at = (at, *[0.0] * 47)
    async with opened(size, "f3 home") as pilot:
        text = await settle(pilot)

    wanted = time.strftime("%H:%M:%S", time.localtime(at))
    assert f"ref 2: A, B · read at {wanted}" in text


async def test_the_time_view_says_how_long_a_step_takes(opened: Any, settle: Settle) -> None:
    async with opened((140, 40), "f3 t") as pilot:
        await wait_for_text(pilot, "a step takes 12.4 ms, p95 31.1 ms")
        await pilot.press("escape")
        await say(pilot, "/stats")
        await wait_for_text(pilot, "step p50: 12.4 ms")


async def test_a_click_on_the_panel_points_at_a_block_where_no_motion_is_reported(
    opened: Any, settle: Settle
) -> None:
    async with opened(keys="") as pilot:
        await settle(pilot)
        dock = pilot.app.chat.dock
        await pilot.press("escape")
        dock.on_click(Click(dock, 2, 1, 0, 0, 1, shift=False, meta=False, ctrl=False))
        text = await settle(pilot)

    assert "A #2/6 · block 0001" in text


async def test_the_legend_comes_back_when_nothing_points_at_a_block(
    opened: Any, settle: Settle
) -> None:
    seen = []
    async with opened(keys="") as pilot:
        for leave in ("#transcript", "escape", "tab tab right escape", "alt+up b escape"):
            if not leave.startswith(("tab", "alt")):
                await pilot.hover("#dock", offset=(1, 1))
                seen.append("block 0000" in await settle(pilot))
            if leave.startswith("#"):
                await pilot.hover(leave)
            else:
                await pilot.press(*leave.split())
            seen.append("a own" in await settle(pilot))
        await pilot.press("f3", "escape")
        seen.append("a own" in await settle(pilot))

    assert seen == [True] * 7


async def test_a_rewind_says_what_comes_back_from_disk(
    opened: Any, runtime: Any, settle: Settle
) -> None:
    session = runtime.open_sessions[0]
    plan = type(session.plan_rewind(""))(0, 12, 1_312)
    runtime.plans = {message.id: plan for message in session.messages}
    async with opened(keys="f3 home right right") as pilot:
        await pilot.press("w")
        await wait_for_text(pilot, "Rewound; next 1 312 tokens from disk, 12 tokens re-read. alt+z")
