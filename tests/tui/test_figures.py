from dataclasses import dataclass
from typing import Any

from kvchat.tui.figures import _bytes_line, _field_lines, count_of


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


def test_one_of_a_thing_is_not_many() -> None:
    assert count_of(1, "row") == "1 row"
    assert count_of(0, "token") == "0 tokens"
    assert count_of(3_290, "token") == "3 290 tokens"
