"""A trained model as a folder in the layout of Hugging Face, which kvchat and others load.

Every file appears whole or not at all, so a folder can be written again while programs use it.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor

from kvchat.errors import KVChatError
from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer
from kvchat.training.corpus import BOS, END, PAD, load_tokenizer

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Each message between its role mark and `<|end|>`; content is taken as it is."""


def export_model(model: Transformer, tokenizer_path: Path, out: Path) -> None:
    """Write a model folder in the layout of Hugging Face, each file whole or not at all.

    Weights are bfloat16. The tokenizer files are those of the run, so they never change within it.
    Raises KVChatError when the folder cannot be written.
    """
    make_folder(out)
    tokenizer = load_tokenizer(tokenizer_path)
    write_whole(out / "tokenizer.model", lambda path: path.write_bytes(tokenizer_path.read_bytes()))
    for name, content in _folder_files(model.config, tokenizer).items():
        text = json.dumps(content, indent=2) + "\n"
        write_whole(out / name, partial(_write_text, text))
    tensors = {
        f"model.{name}": parameter.detach().to(torch.bfloat16).contiguous()
        for name, parameter in model.named_parameters()
    }
    write_whole(
        out / "model.safetensors", lambda path: save_file(tensors, str(path), {"format": "pt"})
    )


def _folder_files(
    config: ModelConfig, tokenizer: SentencePieceProcessor
) -> dict[str, dict[str, object]]:
    special = {
        str(i): {
            "content": tokenizer.id_to_piece(i),
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for i in range(END + 1)
    }
    ids: dict[str, object] = {"bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD}
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": config.model_type,
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "intermediate_size": config.intermediate_size,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "head_dim": config.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": config.max_position,
            "rms_norm_eps": config.rms_norm_eps,
            "rope_theta": config.rope.theta,
            "rope_scaling": None,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            **ids,
        },
        "generation_config.json": {
            "do_sample": True,
            "temperature": 0.2,
            "top_p": 0.9,
            "repetition_penalty": 1.15,
            **ids,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "LlamaTokenizer",
            "legacy": False,
            "add_prefix_space": False,
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "bos_token": "<s>",
            "eos_token": "<|end|>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "model_max_length": config.max_position,
            "added_tokens_decoder": special,
            "chat_template": CHAT_TEMPLATE,
        },
    }


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in its place in one move.

    Raises KVChatError where there is no room, for example; then `path` is as it was before.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        write(temporary)
        temporary.chmod(0o644)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # on a full disk it would be in the way
        reason = getattr(error, "strerror", None) or str(error)
        raise _unwritable(path, reason) from error


def make_folder(path: Path) -> None:
    """Make a folder where there is none, and try to write in it; raises KVChatError."""
    trial = path / ".kvchat.partial"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, reason: str) -> KVChatError:
    failure = KVChatError(f"{path} cannot be written: {reason}; make room or choose another place.")
    failure.exit_status = 74
    return failure


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
