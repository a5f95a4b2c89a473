"""Runtimes over a tiny random model, in memory or in a directory of the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvchat.runtime import ChatRuntime

MakeRuntime = Callable[..., ChatRuntime]


@pytest.fixture
def make_runtime(tiny_model: Path, tmp_path: Path) -> Iterator[MakeRuntime]:
    """Make runtimes over the tiny model that are closed when the test ends."""
    made: list[ChatRuntime] = []

    def make(**options: object) -> ChatRuntime:
        arguments: dict[str, object] = {
            "model": tiny_model,
            "data_dir": tmp_path / "data",
            "threads": 1,
            "device": "cpu",
            "pool_bytes": 4 << 20,
            **options,
        }
        runtime = ChatRuntime(**arguments)  # type: ignore[arg-type]
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        runtime.close()


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> ChatRuntime:
    """A runtime that keeps everything in memory."""
    return make_runtime(save=False)
