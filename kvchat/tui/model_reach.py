"""What the model still sees of a chat: sinks, window, and what is between; in words and cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.figures import count_of, token_count
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.message_lines import Reach

if TYPE_CHECKING:
    from kvchat.runtime import RuntimeStatus
    from kvchat.session.session import Session

HINT_SHARE = 0.9
BAR_CELLS = 60


@dataclass(frozen=True, slots=True)
class ModelReach:
    """Token counts of one chat: the first `num_sinks` and the last `num_window` are seen."""

    num_tokens: int
    num_sinks: int
    num_window: int | None

    @property
    def first_seen(self) -> int:
        """Position where the window begins; what is before it and behind the sinks is not seen."""
        if self.num_window is None:
            return 0
        return max(self.num_tokens - self.num_window, 0)

    @property
    def num_dropped(self) -> int:
        """Tokens that are no longer seen."""
        return max(self.first_seen - self.num_sinks, 0)

    def of(self, positions: range) -> Reach:
        """Return the reach of a message at these positions; partly seen counts as seen."""
        if not self.num_dropped or not positions:
            return "seen"
        if positions.stop <= self.num_sinks:
            return "sink"
        return "dropped" if positions.stop <= self.first_seen else "seen"

    @property
    def rule(self) -> str:
        """The sentence below the last message that is not seen."""
        is_one = self.num_dropped == 1
        verb, them = ("is", "it") if is_one else ("are", "them")
        above = f"{count_of(self.num_dropped, 'token')} above {verb} no longer seen"
        return f"{above}, /window off brings {them} back"


def reach_of(session: "Session") -> ModelReach:
    """Return what the model would see of a session now."""
    return _reach_of(session, session.token_ranges())


def _reach_of(session: "Session", ranges: Mapping[str, range]) -> ModelReach:
    num_tokens = max((positions.stop for positions in ranges.values()), default=0)
    return ModelReach(num_tokens, session.num_sink_tokens, session.window)


def reaches(session: "Session") -> tuple[Mapping[str, Reach], str | None, str]:
    """Return the reach of each message that has one, the last one not seen, and its rule."""
    if session.window is None:
        return {}, None, ""
    ranges = session.token_ranges()
    reach = _reach_of(session, ranges)
    found: dict[str, Reach] = {}
    last: str | None = None
    for message_id, positions in ranges.items():
        found[message_id] = reach.of(positions)
        if found[message_id] == "dropped":
            last = message_id
    return found, last, reach.rule


def meter_words(session: "Session", num_tokens: int) -> str | None:
    """Return the figure of the context meter once a window has let go of tokens, else None.

    num_tokens  of the session, which the caller knows: counting walks all messages of a long chat
    """
    if session.window is None:
        return None
    reach = ModelReach(num_tokens, session.num_sink_tokens, session.window)
    if not reach.num_dropped:
        return None
    sinks, window = token_count(reach.num_sinks), token_count(session.window)
    return f"sees {sinks} + {window} of {token_count(reach.num_tokens)}"


def context_lines(session: "Session", status: "RuntimeStatus", glyphs: Glyphs) -> list[str]:
    """Return the page of /context."""
    reach = reach_of(session)
    limit = session.window + reach.num_sinks if session.window else status.context_tokens
    total = max(reach.num_tokens, limit, 1)
    seen = reach.num_tokens - reach.num_dropped
    shares = [
        (glyphs.sink, "sinks: the system prompt and the first words", min(reach.num_sinks, seen)),
        (glyphs.unseen, "no longer seen; the text is kept", reach.num_dropped),
        (glyphs.meter_full, "seen", seen - min(reach.num_sinks, seen)),
        (glyphs.free, "room before anything is let go of", total - reach.num_tokens),
    ]
    bar = ""
    for glyph, _, count in shares:
        cells = round(count * BAR_CELLS / total)
        bar += glyph * max(cells, 1 if count else 0)
    lines = [f"  {bar[:BAR_CELLS]}", ""]
    lines += [f"  {sign} {token_count(count):>9} tokens  {words}" for sign, words, count in shares]
    lines += ["", f"  This chat has {count_of(reach.num_tokens, 'token')} in all."]
    if session.window is None:
        lines.append(f"  The model sees all of it, up to {token_count(status.context_tokens)}.")
        lines.append("  /window 1024 would let it see the first and the last ones only.")
    else:
        lines.append("  /window off lets the model see everything again, from the next message on.")
    return lines


def full_hint(session: "Session", status: "RuntimeStatus") -> str | None:
    """Return what to say of a chat that fills nine tenths of the context, else None."""
    limit = status.context_tokens
    count = session.stats().num_tokens
    if session.window is not None or not limit or count < HINT_SHARE * limit:
        return None
    share = 100 * count // limit
    window = token_count(limit * 3 // 4)
    return f"The context is {share}% full; /window {window.replace(' ', '')} lets the chat go on."
