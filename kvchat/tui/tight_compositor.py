"""TightCompositor: draws of each widget the rows that changed, and of the others none.

Textual draws every widget that touches the rectangle around all changes. A reply that grows and a
figure that changes lie in two corners of the screen, so that rectangle is nearly the whole of it;
`kvchat bench ui` shows what that costs a running model.
"""

from collections.abc import Iterable

from textual._compositor import Compositor
from textual.geometry import Region
from textual.strip import Strip


class TightCompositor(Compositor):
    """A compositor whose partial updates ask widgets for changed rows only.

    Where a later Textual draws in other ways, this is a plain Compositor.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed: tuple[Region, ...] = ()

    def render_partial_update(self):  # type: ignore[no-untyped-def]  # its result has no public type
        """Return an update of the regions that changed, None without any."""
        self._changed = tuple(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changed = ()

    def _get_renders(
        self, crop: Region | None = None
    ) -> Iterable[tuple[Region, Region, list[Strip]]]:
        if not self._changed:
            yield from super()._get_renders(crop)
            return
        left = self._changed
        for widget, (region, clip) in self.visible_widgets.items():  # front to back
            shown = region.intersection(clip)
            rows = [part for each in left if (part := each.intersection(shown))]
            if not rows:
                continue
            top = min(part.y for part in rows)
            bottom = max(part.bottom for part in rows)
            part = Region(shown.x, top, shown.width, bottom - top)
            yield region, part, widget.render_lines(part.translate(-region.offset))
            left = tuple(each for each in left if not shown.contains_region(each))
            if not left:
                return
