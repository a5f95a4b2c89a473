"""Chats with models of several layer groups, latents, or LongRoPE, from folder to restart.

Random weights, the bundled tokenizer. The truth is another runtime, in which each chat is simply
said from the beginning.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kvchat.model.config import ModelConfig
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer
from kvchat.paths import bundled_model_dir
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=24)
SIZES: dict[str, object] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "hidden_act": "silu",
    "torch_dtype": "float32",
}
TRAINED = 110
MODELS: dict[str, dict[str, object]] = {
    "gemma2": {
        "model_type": "gemma2",
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 20,
        "query_pre_attn_scalar": 8,
        "hidden_activation": "gelu_pytorch_tanh",
    },
    "mistral": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 20},
    "minicpm3": {
        "model_type": "minicpm3",
        "q_lora_rank": 16,
        "kv_lora_rank": 12,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
    },
    "longrope": {
        "model_type": "llama",
        "num_key_value_heads": 2,
        "original_max_position_embeddings": TRAINED,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [1.0, 3.0, 6.0, 9.0],
        },
    },
}


def write_model(folder: Path, fields: dict[str, object]) -> None:
    folder.mkdir()
    bundled = bundled_model_dir()
    for name in ("tokenizer.model", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(bundled / name, folder / name)
    vocab_size = json.loads((bundled / "config.json").read_text())["vocab_size"]
    document: dict[str, Any] = {**SIZES, **fields, "vocab_size": vocab_size}
    (folder / "config.json").write_text(json.dumps(document))
    model = Transformer(ModelConfig.from_json(document))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.2 if parameter.ndim < 2 else 1.2 / parameter.shape[1] ** 0.5
            center = 1.0 if parameter.ndim < 2 and "gemma" not in str(fields["model_type"]) else 0.0
            parameter.normal_(center, 0.3 if "embed" in name else scale, generator=generator)
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    if "model.lm_head.weight" in tensors:
        tensors["lm_head.weight"] = tensors.pop("model.lm_head.weight")
    save_file(tensors, folder / "model.safetensors")


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / str(request.param)
    write_model(folder, MODELS[request.param])
    return folder


def open_runtime(model: Path, data_dir: Path, **options: object) -> ChatRuntime:
    return ChatRuntime(
        model,
        data_dir=data_dir,
        threads=1,
        pool_bytes=2 << 20,
        block_size=8,
        **options,  # type: ignore[arg-type]
    )


def say(model: Path, data_dir: Path, texts: Sequence[str]) -> list[str]:
    """Return the answers to texts in a chat of its own, in a runtime of its own."""
    with open_runtime(model, data_dir, save=False) as runtime:
        chat = runtime.new_session(system="Be kind.")
        return [chat.send(text, GREEDY).wait(60).text for text in texts]


def test_forks_rewinds_and_a_restart_change_no_word(model: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    with open_runtime(model, saved) as runtime:
        chat = runtime.new_session("chat", system="Be kind.")
        for text in ("one", "two two", "three"):
            chat.send(text, GREEDY).wait(60)
        fork = chat.fork(title="fork")
        own = [session.send(word, GREEDY) for session, word in ((chat, "four"), (fork, "other"))]
        for reply in own:
            reply.wait(60)
        fork.rewind(turns=3)
        fork.send("back", GREEDY).wait(60)
        before = {session.title: answers(session) for session in (chat, fork)}
        chat.save()
        fork.save()
    with open_runtime(model, saved) as runtime:
        by_title = {session.title: session for session in runtime.sessions()}
        assert {title: answers(session) for title, session in by_title.items()} == before
        replies = {title: by_title[title].send("on", GREEDY) for title in by_title}
        for title, reply in replies.items():
            before[title].append(reply.wait(60).text)
            # All of it came from disk, but for the new message.
            assert reply.num_cached_tokens >= reply.num_prompt_tokens - 24, title
        again = by_title["fork"].fork(title="again")
        assert again.rewind(turns=1).num_prefill_tokens <= 24
    words = {
        "chat": ["one", "two two", "three", "four", "on"],
        "fork": ["one", "back", "on"],
    }
    for title, texts in words.items():
        assert say(model, tmp_path / title, texts) == before[title]


def test_chats_larger_than_the_pool_keep_their_words(model: Path, tmp_path: Path) -> None:
    folder = ModelFolder.open(model)
    per_token = folder.kv_spec().bytes_per_token(4)
    with ChatRuntime(
        model,
        data_dir=tmp_path / "chats",
        threads=1,
        pool_bytes=260 * per_token,
        block_size=8,
    ) as runtime:
        chats = [runtime.new_session(str(index), system="Be kind.") for index in range(4)]
        for text in ("one", "two two"):
            for reply in [chat.send(f"{text} {chat.title}", GREEDY) for chat in chats]:
                reply.wait(60)
        found = {chat.title: answers(chat) for chat in chats}
    for title in ("0", "3"):
        texts = [f"{text} {title}" for text in ("one", "two two")]
        assert say(model, tmp_path / title, texts) == found[title]


def answers(session: Any) -> list[str]:
    return [message.text for message in session.messages if message.role == "assistant"]
