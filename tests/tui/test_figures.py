from dataclasses import dataclass

from kvchat.tui.figures import _field_lines


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
