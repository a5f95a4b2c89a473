"""EngineOptions: what this machine cannot hold is refused before anything is read."""

from pathlib import Path

import pytest

from kvchat import device as devices
from kvchat.engine_options import EngineOptions
from kvchat.errors import ModelError
from kvchat.model.folder import ModelFolder


@pytest.mark.parametrize(
    ("part", "advice"), [(0.9, "try --weights bf16."), (0.01, "choose a smaller model.")]
)
def test_weights_larger_than_all_memory_are_refused_before_they_are_read(
    part: float, advice: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ModelFolder.open(tiny_model)
    total = int(4 * folder.config.num_parameters * part)
    monkeypatch.setattr(devices, "total_memory_bytes", lambda device: total)
    monkeypatch.setattr(ModelFolder, "load", lambda *_, **__: pytest.fail("read"))
    options = EngineOptions("cpu", "fp32", "auto", None, 32, 1)
    with pytest.raises(ModelError) as caught:
        options.build(folder, None, lambda job: None, lambda sentence: None)
    assert " for weights in fp32, and there are " in caught.value.sentence
    assert caught.value.sentence.endswith(advice)


class Loading(Exception):
    """Loading has begun."""


def told_before_loading(
    folder: ModelFolder, free: int, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    def load(*_: object, **__: object) -> None:
        raise Loading

    monkeypatch.setattr(devices, "total_memory_bytes", lambda device: 1 << 40)
    monkeypatch.setattr(devices, "available_memory_bytes", lambda device: free)
    monkeypatch.setattr(ModelFolder, "load", load)
    told: list[str] = []
    with pytest.raises(Loading):
        EngineOptions("cpu", "fp32", "auto", None, 32, 1, "torch").build(
            folder, None, lambda job: None, told.append
        )
    return told


@pytest.mark.parametrize(
    ("part", "advice"), [(0.9, "try --weights bf16."), (0.01, "close other programs.")]
)
def test_memory_that_is_not_free_now_is_told_and_loading_goes_on(
    part: float, advice: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ModelFolder.open(tiny_model)
    needed = 4 * folder.config.num_parameters
    (sentence,) = told_before_loading(folder, int(needed * part), monkeypatch)
    assert " for weights in fp32, but only " in sentence and sentence.endswith(advice)
    assert told_before_loading(folder, needed, monkeypatch) == []


def test_all_memory_is_at_least_what_is_free() -> None:
    total = devices.total_memory_bytes()
    assert total is None or total >= devices.available_memory_bytes()
