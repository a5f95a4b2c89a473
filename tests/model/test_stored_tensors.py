import json
from typing import TYPE_CHECKING

import pytest
import torch

from kvchat.errors import ModelError
from kvchat.model.folder import INDEX, ModelFolder
from kvchat.model.stored_tensors import read_stored_tensors

if TYPE_CHECKING:
    from tests.model.conftest import TinyFolder


def read_index(tiny: "TinyFolder") -> dict[str, dict[str, str]]:
    index: dict[str, dict[str, str]] = json.loads((tiny.path / INDEX).read_text())
    return index


def test_the_tensors_of_all_shards_are_found(tiny: "TinyFolder") -> None:
    tiny.shards()
    stored = read_stored_tensors(ModelFolder.open(tiny.path).weight_files)

    assert {name: each.path.name for name, each in stored.items()} == read_index(tiny)["weight_map"]


def test_an_index_that_names_the_wrong_shard_is_refused(tiny: "TinyFolder") -> None:
    tiny.shards()
    index = read_index(tiny)
    weight_map = index["weight_map"]
    first, second = min(weight_map), max(weight_map)
    weight_map[first] = weight_map[second]
    tiny.write(INDEX, json.dumps(index))

    with pytest.raises(ModelError) as error:
        ModelFolder.open(tiny.path).load(dtype=torch.float32, device="cpu")
    assert error.value.sentence.endswith(
        f"{INDEX} says that tensor '{first}' is in 'model-00002-of-00002.safetensors', but it is "
        "in 'model-00001-of-00002.safetensors'; download both again."
    )


def test_an_index_beside_the_single_file_is_not_asked(tiny: "TinyFolder") -> None:
    tiny.write(INDEX, json.dumps({"weight_map": {"model.norm.weight": "other.safetensors"}}))
    files = ModelFolder.open(tiny.path).weight_files

    assert "model.norm.weight" in read_stored_tensors(files)
