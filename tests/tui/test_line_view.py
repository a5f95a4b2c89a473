"""Lines painted the short way are those that Textual paints with all its layers."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rich.console import Console
from textual.geometry import Region
from textual.strip import Strip

from kvchat.tui.widgets.line_view import LineView
from kvchat.tui.widgets.line_widget import LineWidget

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]

TEXT = "# One\n\ntwo **three** `four`\n\n```python\nfor five in six:\n    seven(five)\n```\n" * 6


def written(strips: list[Strip], console: Console) -> list[str]:
    return [strip.render(console) for strip in strips]


def assert_painted_as_by_textual(app: Any) -> set[str]:
    """Compare all drawn widgets in view, row by row; return their ids."""
    compared: set[str] = set()
    for widget, (region, _) in app.screen._compositor.visible_widgets.items():
        if not isinstance(widget, LineView | LineWidget):
            continue
        all_rows = Region(0, 0, *region.size)
        part = Region(1, region.height // 2, max(region.width - 2, 1), 1)
        for crop in (all_rows, part):
            widget._styles_cache.clear()
            wanted = widget._styles_cache.render_widget(widget, crop)
            for _ in range(2):  # drawn, then looked up
                found = widget.render_lines(crop)
                assert [each.cell_length for each in found] == [crop.width] * crop.height
                assert written(found, app.console) == written(wanted, app.console), widget.id
        compared.add(widget.id or "")
    return compared


@pytest.mark.parametrize("size", [(140, 40), (80, 24)])
async def test_every_drawn_widget_is_painted_as_by_textual(
    make_app: Make, make_runtime: Make, settle: Settle, size: tuple[int, int]
) -> None:
    runtime = make_runtime([TEXT])
    app = make_app(runtime)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        compared = assert_painted_as_by_textual(app)
        app.chat.submit("hello")
        runtime.step(30)
        await settle(pilot)
        assert_painted_as_by_textual(app)
        runtime.finish_all()
        await settle(pilot)
        assert_painted_as_by_textual(app)
        await pilot.press("pageup", "alt+up")
        await settle(pilot)
        assert_painted_as_by_textual(app)

    assert {"transcript", "status", "footer"} <= compared


async def test_selected_text_is_painted_as_by_textual(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([TEXT])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.chat.submit("hello")
        runtime.finish_all()
        await settle(pilot)
        area = Region(0, 0, *app.chat.transcript.size)
        before = written(app.chat.transcript.render_lines(area), app.console)
        await pilot.mouse_down("#transcript", offset=(6, 4))
        await pilot.hover("#transcript", offset=(9, 7))
        await settle(pilot)
        selected = app.screen.get_selected_text()
        after = written(app.chat.transcript.render_lines(area), app.console)
        assert_painted_as_by_textual(app)

    changed = [y for y, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert selected and changed == [4, 5, 6, 7]


async def test_a_new_theme_paints_every_line_anew(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([TEXT])
    app = make_app(runtime)
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        app.chat.submit("hello")
        runtime.finish_all()
        await settle(pilot)
        area = Region(0, 0, *app.chat.transcript.size)
        before = written(app.chat.transcript.render_lines(area), app.console)
        app.theme = "kvchat-light"
        await settle(pilot)
        after = written(app.chat.transcript.render_lines(area), app.console)
        assert_painted_as_by_textual(app)

    assert before != after
