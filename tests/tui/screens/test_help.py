from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say, wait_for_text  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


@pytest.mark.parametrize(
    ("keys", "title"),
    [
        ("f1", "In the prompt"),
        ("alt+up f1", "On a message"),
        ("alt+up question_mark", "On a message"),
        ("alt+up t f1", "On the tokens"),
        ("ctrl+t question_mark", "In the tree"),
        ("f5 f1", "Asking several branches (F5): the question"),
        ("f3 f1", "In the views of the pool"),
        ("alt+up tab f1", "In the views of the pool"),
    ],
)
async def test_help_begins_with_the_keys_of_the_view_it_is_asked_in(
    keys: str, title: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi there"])
    async with make_app(runtime).run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await say(pilot, "hello")
        runtime.finish_all()
        await settle(pilot)
        for key in keys.split():
            await pilot.press(key)
            await settle(pilot)
        text = await wait_for_text(pilot, "Help", "esc back")

    assert title in "\n".join(text.splitlines()[:6])
