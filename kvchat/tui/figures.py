"""Numbers in words: token counts, the figures of the status line, and the page of /stats."""

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from kvchat.tui.chat_state import title_of
from kvchat.tui.pool_figures import pool_figures
from kvchat.tui.safe import safe_line

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView
    from kvchat.runtime import RuntimeStatus
    from kvchat.session.session import Session
    from kvchat.session.session_state import SessionStats


def token_count(count: int) -> str:
    """Return a count with thin groups of three digits: `3 290`."""
    return f"{count:,}".replace(",", " ")


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an s for all but one: `1 token`, `3 290 tokens`."""
    return f"{token_count(count)} {noun}{'' if count == 1 else 's'}"


def session_figures(
    session: "Session", stats: "SessionStats", status: "RuntimeStatus"
) -> tuple[str, ...]:
    """Return what the status line says about a session, the most important first."""
    limit = status.context_tokens
    figures: list[str] = []
    count = token_count(stats.num_tokens)
    if session.window and stats.num_seen_tokens < stats.num_tokens:
        figures.append(f"{count} tok, sees {token_count(stats.num_seen_tokens)}")
    elif session.window:
        share = 100 * stats.num_tokens // session.window
        figures.append(f"{count}/{token_count(session.window)} {min(share, 100)}%")
    elif limit:
        figures.append(f"{count}/{token_count(limit)} {100 * stats.num_tokens // limit}%")
    prompt = stats.num_cached_tokens + stats.num_prefilled_tokens
    if prompt:
        reused = token_count(stats.num_cached_tokens)
        figures.append(f"{reused} of {token_count(prompt)} tokens reused")
    if stats.decode_tokens_per_second:
        figures.append(f"{stats.decode_tokens_per_second:.1f} tok/s")
    return tuple(figures)


def stats_lines(
    status: "RuntimeStatus", session: "Session", stats: object, view: "PoolView | None"
) -> list[str]:
    """Return the page of /stats."""
    lines = [
        f"Model     {safe_line(status.model_name)}, {safe_line(status.weights)} weights on"
        f" {safe_line(status.device)}, {token_count(status.context_tokens)} tokens of context",
        f"Kernel    {' '.join((status.kernel, safe_line(status.notice))).strip()}",
        f"Saving    {'yes' if status.saving else 'no: these chats end with the program'}",
        "",
        f"Session {session.tag}: {title_of(session)}",
        *_field_lines(session.stats()),
        "",
        "Engine",
        *_field_lines(stats),
    ]
    if view is not None:
        lines += [
            "",
            "Pool",
            f"  {view.num_blocks} blocks of {view.block_size} tokens, {view.block_bytes} bytes"
            " each",
            f"  {view.num_private} private + {view.num_shared} shared + {view.num_held} held"
            f" + {view.num_cached} cached + {view.num_free} free = {view.num_blocks}",
            _bytes_line(view),
        ]
    return lines


def _bytes_line(view: "PoolView") -> str:
    """Return what all layer groups hold, to the byte."""
    parts = pool_figures(view)
    sizes = (parts.used_bytes, parts.cached_bytes, parts.free_bytes)
    used, cached, free = (token_count(size) for size in sizes)
    return f"  {used} used + {cached} cached + {free} free = {token_count(sum(sizes))} bytes"


def _field_lines(record: object, indent: str = "  ") -> list[str]:
    if not is_dataclass(record):
        return [] if record is None else [indent + safe_line(str(record))]
    lines: list[str] = []
    for field in fields(record):
        value = getattr(record, field.name)
        name = field.name.removeprefix("num_").replace("_", " ")
        if is_dataclass(value):
            lines += [f"{indent}{name}:", *_field_lines(value, indent + "  ")]
        elif isinstance(value, int) and name.endswith(" bytes"):
            lines.append(f"{indent}{name.removesuffix(' bytes')}: {value / 2**20:.1f} MiB")
        elif isinstance(value, float) and name.endswith(" seconds"):
            lines.append(f"{indent}{name.removesuffix(' seconds')}: {1000 * value:.1f} ms")
        elif isinstance(value, float):
            lines.append(f"{indent}{name}: {value:.1f}")
        elif isinstance(value, int) and not isinstance(value, bool):
            lines.append(f"{indent}{name}: {token_count(value)}")
        else:
            lines.append(f"{indent}{name}: {safe_line(str(value))}")
    return lines
