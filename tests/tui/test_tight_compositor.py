"""Partial updates are the same as Textual's own, and ask fewer widgets for fewer rows."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

from textual._compositor import Compositor
from textual.geometry import Region

from kvchat.tui.tight_compositor import TightCompositor

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def test_what_is_written_is_what_a_plain_compositor_writes(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    numbers = random.Random(7)
    app = make_app(make_runtime(["one **two** `three`\n\n- four\n- five"]))
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        app.chat.submit("hello")
        app.runtime.finish_all()
        await settle(pilot)
        compositor = app.chat._compositor
        assert isinstance(compositor, TightCompositor)
        for _ in range(60):
            regions = set()
            for _ in range(numbers.randint(1, 4)):
                x, y = numbers.randrange(140), numbers.randrange(40)
                regions.add(Region(x, y, numbers.randint(1, 140 - x), numbers.randint(1, 40 - y)))
            compositor._dirty_regions = set(regions)
            tight: Any = compositor.render_partial_update()  # type: ignore[no-untyped-call]
            compositor._dirty_regions = set(regions)
            plain = Compositor.render_partial_update(compositor)
            assert plain is not None
            wanted = plain.render_segments(app.console)
            assert tight.render_segments(app.console) == wanted, sorted(regions)


async def test_a_widget_that_did_not_change_is_not_asked(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        asked: list[Any] = []
        render_lines = app.chat.sidebar.render_lines

        def noted(crop: Region) -> Any:
            asked.append(crop)
            return render_lines(crop)

        app.chat.sidebar.render_lines = noted
        app.chat._compositor._dirty_regions = {
            app.chat.panel.region, app.chat.transcript.region,
        }  # fmt: skip
        app.chat._compositor.render_partial_update()
        nobody = list(asked)
        app.chat._compositor._dirty_regions = {Region(0, 3, 5, 2)}
        app.chat._compositor.render_partial_update()

    assert nobody == []
    assert [crop.height for crop in asked] == [2]
