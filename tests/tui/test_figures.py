from dataclasses import dataclass
from typing import Any

from kvchat.tui.figures import _bytes_line, _field_lines


@dataclass(frozen=True)
class Memory:
    pool_bytes: int
    num_blocks: int


@dataclass(frozen=True)
class Figures:
    memory: Memory
    tokens_per_second: float


def test_figures_are_words_and_bytes_are_mebibytes() -> None:
    assert _field_lines(Figures(Memory(136_314_880, 1_520), 41.25)) == [
        "  memory:",
        "    pool: 130.0 MiB",
        "    blocks: 1 520",
        "  tokens per second: 41.2",
    ]


def test_the_bytes_of_the_pool_add_up_to_the_byte(make_runtime: Any) -> None:
    runtime = make_runtime(num_blocks=8, block_size=4)
    session = runtime.new_session("one")
    runtime.grow(session, 12)
    runtime.shrink(session, 8)
    line = _bytes_line(runtime._pool_view())
    assert line == "  131 072 used + 65 536 cached + 327 680 free = 524 288 bytes"
