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


def test_all_memory_is_at_least_what_is_free() -> None:
    total = devices.total_memory_bytes()
    assert total is None or total >= devices.available_memory_bytes()
