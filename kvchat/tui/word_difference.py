"""Which words of a text another one does not have, in order: for comparing branches."""

import re
from difflib import SequenceMatcher

from kvchat.tui.cells import Span

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
MAX_WORDS = 4_000
"""Of each text; what is behind is shown unmarked, since the comparison takes squares of this."""


def difference_spans(text: str, reference: str, style: str = "good bold") -> list[Span]:
    """Return `text` in spans; runs of words that `reference` has not there stand between `+`.

    The marks are characters as well as a style, so they are seen without colour.
    """
    words, others = _WORD.findall(text), _WORD.findall(reference)
    tail = "".join(words[MAX_WORDS:])
    words, others = words[:MAX_WORDS], others[:MAX_WORDS]
    spans: list[Span] = []
    matcher = SequenceMatcher(
        None,
        [word for word in words if not word.isspace()],
        [word for word in others if not word.isspace()],
        autojunk=False,
    )
    is_new: list[bool] = []
    for tag, first, last, _, _ in matcher.get_opcodes():
        is_new += [tag != "equal"] * (last - first)
    place = 0
    was_new = False
    run = ""
    blank = ""
    for word in words:
        if word.isspace():
            blank += word
            continue
        new = is_new[place]
        place += 1
        if new != was_new:
            _close(spans, run, was_new, style)
            spans.append((blank, ""))
            run = word
        else:
            run += blank + word
        blank, was_new = "", new
    _close(spans, run, was_new, style)
    return [span for span in [*spans, (blank + tail, "")] if span[0]]


def _close(spans: list[Span], run: str, is_new: bool, style: str) -> None:
    if run:
        spans.append((f"+{run}+", style) if is_new else (run, ""))
