"""PromptHistory: the prompts written before, oldest first, and where Up and Down stand in it."""

from collections.abc import Iterable

MAX_PROMPTS = 500


class PromptHistory:
    """Prompts of this and earlier runs; what is being written counts as the newest of all."""

    def __init__(self, prompts: Iterable[str] = ()) -> None:
        self._prompts: list[str] = list(prompts)[-MAX_PROMPTS:]
        self._place: int | None = None  # None while the prompt is not one of the history
        self._draft = ""

    def __len__(self) -> int:
        return len(self._prompts)

    @property
    def newest_first(self) -> list[str]:
        """Every prompt once, the one written last first."""
        return list(dict.fromkeys(reversed(self._prompts)))

    def take_stored(self, prompts: Iterable[str]) -> None:
        """Put the prompts of earlier runs before those of this one."""
        self._prompts = [*prompts, *self._prompts][-MAX_PROMPTS:]
        self._place = None

    def remember(self, text: str) -> bool:
        """Add a prompt at the end; return False for an empty one and for the same one again."""
        self._place = None
        if not text.strip() or (self._prompts and self._prompts[-1] == text):
            return False
        self._prompts.append(text)
        del self._prompts[:-MAX_PROMPTS]
        return True

    def leave(self) -> None:
        """Stand behind the newest prompt again."""
        self._place = None

    def step(self, step: int, written: str) -> str | None:
        """Return the prompt that many places newer, or what was written before going up.

        `written` is the text in the prompt now; None when there is nothing in that direction.
        """
        if self._place is None:
            if step > 0 or not self._prompts:
                return None
            self._draft = written
        start = len(self._prompts) if self._place is None else self._place
        place = start + step
        if place < 0:
            return None
        if place >= len(self._prompts):
            self._place = None
            return self._draft
        self._place = place
        return self._prompts[place]
