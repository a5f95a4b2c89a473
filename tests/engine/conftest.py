"""Every test of engine/ runs with poisoned pools, and may import `tests.engine.engine_kit`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kvchat import errors

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVCHAT_POISON", "1")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_fault_stays() -> Iterator[None]:
    yield
    errors.fault_hook = None
