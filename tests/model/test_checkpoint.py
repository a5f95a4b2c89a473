import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from kvchat import errors
from kvchat.errors import ModelError
from kvchat.kv.contiguous import NoCache
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer

if TYPE_CHECKING:
    from tests.model.conftest import TinyFolder

FILE = "model.safetensors"


def load(tiny: "TinyFolder", dtype: torch.dtype = torch.float32) -> Transformer:
    return load_transformer(ModelFolder.open(tiny.path), dtype=dtype, device="cpu")


def raw(tiny: "TinyFolder") -> bytes:
    return (tiny.path / FILE).read_bytes()


def edit_header(
    tiny: "TinyFolder", change: Callable[[dict[str, dict[str, object]]], object]
) -> None:
    """Rewrite the JSON header and leave the data as it is."""
    content = raw(tiny)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    tiny.write(FILE, len(text).to_bytes(8, "little") + text + content[8 + length :])


def repeat_in_both_shards(tiny: "TinyFolder") -> None:
    tiny.shards()
    first, second = sorted(tiny.path.glob("model-*"))
    save_file(load_file(first) | load_file(second), second)


def garble_first_name(tiny: "TinyFolder") -> None:
    content = bytearray(raw(tiny))
    content[10] = 0x1B
    tiny.write(FILE, bytes(content))


DAMAGES: dict[str, tuple[Callable[["TinyFolder"], object], str]] = {
    "empty": (lambda t: t.write(FILE, b""), f"{FILE} is damaged: it ends early."),
    "no header": (lambda t: t.write(FILE, b"\xff" * 20), "header too long"),
    "header cut": (lambda t: t.write(FILE, raw(t)[:100]), "ends early, inside its header"),
    "data cut": (lambda t: t.write(FILE, raw(t)[:-1]), "it ends early, inside "),
    "data added": (lambda t: t.write(FILE, raw(t) + b"\0"), "1 bytes at its end belong to no"),
    "control character": (garble_first_name, "is damaged"),
    "text": (lambda t: t.write(FILE, b"\x02" + b"\0" * 7 + b"[]"), "is not a JSON object"),
    "zip": (lambda t: t.write(FILE, b"PK\x03\x04" + b"\0" * 60), "is damaged"),
    "unknown dtype": (
        lambda t: edit_header(t, lambda h: h["model.norm.weight"].update(dtype="F7")),
        "unknown dtype",
    ),
    "overlap": (
        lambda t: edit_header(t, lambda h: h["model.norm.weight"].update(data_offsets=[0, 64])),
        "is damaged: overlap at ",
    ),
    "huge shape": (
        lambda t: edit_header(t, lambda h: h["model.norm.weight"].update(shape=[2**32, 2**32])),
        "does not fit its shape",
    ),
    "missing": (
        lambda t: t.tensors(lambda x: x.pop("model.layers.1.mlp.up_proj.weight")),
        "tensor model.layers.1.mlp.up_proj.weight is missing.",
    ),
    "no head": (
        lambda t: t.tensors(lambda x: x.pop("lm_head.weight")),
        "tensor lm_head.weight is missing and tie_word_embeddings is false.",
    ),
    "a head of its own, though tied": (
        lambda t: t.config(tie_word_embeddings=True),
        "tensor lm_head.weight differs from the embedding, but tie_word_embeddings is true",
    ),
    "unexpected": (
        lambda t: t.tensors(lambda x: x.update({"evil\n": torch.ones(1)})),
        "tensor 'evil\\n' is unexpected.",
    ),
    "bias nobody asked for": (
        lambda t: t.tensors(
            lambda x: x.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(16)})
        ),
        "tensor 'model.layers.0.self_attn.q_proj.bias' is unexpected.",
    ),
    "bias missing": (
        lambda t: t.config(attention_bias=True),
        "tensor model.layers.0.self_attn.q_proj.bias is missing.",
    ),
    "third layer": (lambda t: t.config(num_hidden_layers=1), "'model.layers.1."),
    "shape": (
        lambda t: t.config(vocab_size=41),
        "tensor model.embed_tokens.weight has shape [40, 16], expected [41, 16].",
    ),
    "transposed": (
        lambda t: t.tensors(
            lambda x: x.update({"model.layers.0.mlp.up_proj.weight": torch.ones(16, 24)})
        ),
        "has shape [16, 24], expected [24, 16].",
    ),
    "integers": (
        lambda t: t.tensors(lambda x: x.update({"model.norm.weight": torch.ones(16).int()})),
        "tensor model.norm.weight is stored as I32; use the full-precision folder.",
    ),
    "no prefix": (
        lambda t: t.tensors(
            lambda x: [x.update({name.removeprefix("model."): x.pop(name)}) for name in list(x)]
        ),
        "tensor model.embed_tokens.weight is missing.",
    ),
    "twice": (repeat_in_both_shards, "is in model-00001-of-00002.safetensors and in model-00002"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_weights_are_refused_with_one_sentence(tiny: "TinyFolder", name: str) -> None:
    damage, expected = DAMAGES[name]
    damage(tiny)
    with pytest.raises(ModelError) as caught:
        load(tiny)
    sentence = caught.value.sentence
    assert sentence.startswith(f"Cannot load {tiny.path}: ")
    assert expected in sentence
    assert sentence.endswith(".") and sentence.isprintable()
    assert len(sentence) < 250 + len(str(tiny.path))


def test_every_bit_of_every_tensor_arrives_at_its_parameter(tiny: "TinyFolder") -> None:
    stored = load_file(tiny.path / FILE)
    weights = load(tiny).state_dict()
    assert {name.removeprefix("model.") for name in stored} == weights.keys()
    for name, tensor in stored.items():
        assert torch.equal(weights[name.removeprefix("model.")], tensor)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_converted_to_the_wanted_precision(
    tiny: "TinyFolder", stored: torch.dtype, wanted: torch.dtype
) -> None:
    tiny.tensors(lambda x: x.update({name: tensor.to(stored) for name, tensor in x.items()}))
    expected = load_file(tiny.path / FILE)["model.norm.weight"].to(wanted)
    model = load(tiny, wanted)
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}
    assert torch.equal(model.norm.weight, expected)


def test_a_loaded_model_only_answers(tiny: "TinyFolder") -> None:
    model = load(tiny)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.data_ptr() % 64 == 0 for parameter in model.parameters())


@pytest.mark.parametrize("stored", [torch.float32, torch.float64])
def test_a_tied_head_may_be_repeated_in_the_file(tiny: "TinyFolder", stored: torch.dtype) -> None:
    tiny.tensors(
        lambda x: x.update({"lm_head.weight": x["model.embed_tokens.weight"].clone().to(stored)})
    )
    tiny.config(tie_word_embeddings=True)
    model = load(tiny)
    cache = NoCache(model.config.kv_spec())
    step = cache.reserve([(cache.open(), 3)])
    logits = model(torch.tensor([1, 2, 3]), torch.tensor(step.positions), cache)
    tiny.config(tie_word_embeddings=False)
    untied = load(tiny)
    assert torch.equal(untied(torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2]), cache), logits)
    step.commit()


def test_rotary_frequencies_of_old_files_are_ignored(tiny: "TinyFolder") -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    tiny.tensors(lambda x: x.update({name: torch.ones(2)}))
    load(tiny)


def test_progress_grows_to_one(tiny: "TinyFolder") -> None:
    tiny.shards()
    parts: list[float] = []
    folder = ModelFolder.open(tiny.path)
    load_transformer(folder, dtype=torch.float32, device="cpu", progress=parts.append)
    assert len(parts) == 21
    assert parts == sorted(set(parts))
    assert parts[0] > 0 and parts[-1] == 1


def test_the_file_may_be_deleted_while_the_model_runs(tiny: "TinyFolder") -> None:
    model = load(tiny)
    before = model.norm.weight.clone()
    shutil.rmtree(tiny.path)
    assert torch.equal(model.norm.weight, before)


def test_a_file_that_is_gone_when_weights_load_is_a_model_error(tiny: "TinyFolder") -> None:
    folder = ModelFolder.open(tiny.path)
    (tiny.path / FILE).unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        load_transformer(folder, dtype=torch.float32, device="cpu")


def test_a_failure_while_a_tensor_is_read_is_a_model_error(
    tiny: "TinyFolder", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(point: str) -> None:
        if point == "checkpoint.tensor":
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(errors, "fault_hook", fail)
    with pytest.raises(ModelError, match=r"Input/output error\."):
        load(tiny)


def test_no_random_numbers_are_drawn_for_weights_that_are_read(
    tiny: "TinyFolder", monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(*_: object, **__: object) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr(torch.Tensor, "normal_", drawn)
    monkeypatch.setattr(torch.Tensor, "uniform_", drawn)
    load(tiny)


def test_every_flipped_header_byte_is_refused_or_harmless(tiny: "TinyFolder") -> None:
    content = raw(tiny)
    length = int.from_bytes(content[:8], "little")
    generator = torch.Generator().manual_seed(5)
    places = torch.randint(0, 8 + length, (60,), generator=generator).tolist()
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        tiny.write(FILE, bytes(damaged))
        try:
            model = load(tiny)
        except ModelError as error:
            assert error.sentence.isprintable(), f"byte {place}"
        else:
            shapes = {tuple(parameter.shape) for parameter in model.parameters()}
            assert (40, 16) in shapes, f"byte {place}"


def test_no_file_outside_the_folder_is_opened(tiny: "TinyFolder", tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(tiny.path / FILE, other / "secret.safetensors")
    (tiny.path / FILE).unlink()
    (tiny.path / FILE).symlink_to(other / "secret.safetensors")
    with pytest.raises(ModelError, match="outside the folder"):
        load(tiny)


@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_numbers_that_are_not_finite_are_told_by_the_name_of_their_tensor(
    tiny: "TinyFolder", weights: str, bad: float
) -> None:
    told: list[str] = []

    def load_and_tell() -> None:
        folder = ModelFolder.open(tiny.path)
        folder.load(dtype=torch.float32, device="cpu", weights=weights, tell=told.append)

    load_and_tell()
    assert told == []
    name = "model.layers.1.mlp.up_proj.weight"
    tiny.tensors(lambda tensors: tensors[name][3].fill_(bad))
    load_and_tell()
    assert told == [
        f"tiny is damaged: tensor {name} holds numbers that are not finite, so replies may fail; "
        "download it again."
    ]


def test_a_sum_that_overflows_is_no_damage(tiny: "TinyFolder") -> None:
    told: list[str] = []
    tiny.tensors(
        lambda tensors: tensors.update(
            {"model.norm.weight": torch.full((16,), 60_000.0, dtype=torch.float16)}
        )
    )
    ModelFolder.open(tiny.path).load(dtype=torch.float32, device="cpu", tell=told.append)
    assert told == []
