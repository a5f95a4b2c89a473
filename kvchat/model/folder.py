"""ModelFolder: a directory in Hugging Face layout, checked before anything of it is used.

Cheap and free of torch: it reads the JSON files and looks at the weight files without opening
their tensors. Nothing in a folder is trusted, no code of it runs, and pickle is never opened.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvchat.errors import ModelError
from kvchat.kv.spec import KVCacheSpec
from kvchat.model.config import ModelConfig, shown, unknown_fields
from kvchat.untrusted import FileMissing, JsonValue, UntrustedFile, read_regular, strict_json

if TYPE_CHECKING:
    import torch

    from kvchat.engine.model_runner import Model
    from kvchat.native.kernels import Kernels

MAX_CONFIG_BYTES = 1 << 20
MAX_INDEX_BYTES = 1 << 23
MAX_TOKENIZER_BYTES = 1 << 26
MAX_SHARDS = 1000
MATHS_VERSION = 1
"""Goes up when a change of our arithmetic makes stored keys and values stale."""

_SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""Names the shards of a large model."""
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "added_tokens.json",
    "special_tokens_map.json",
)
_TOKENIZER_FIELDS = (
    "added_tokens_decoder",
    "additional_special_tokens",
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "legacy",
)
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """What generation_config.json advises; None where it says nothing or samples nothing.

    `stop_token_ids` is the union of the end-of-sequence ids of both config files, ascending.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model folder whose files were checked as far as that is possible without their tensors."""

    path: Path
    config: ModelConfig
    generation: GenerationDefaults
    weight_files: tuple[Path, ...]
    warnings: tuple[str, ...] = ()
    """Sentences about what was ignored, for the log; none of it changes the model's words."""

    @classmethod
    def open(cls, path: str | Path) -> "ModelFolder":
        """Check a folder and read its configuration.

        Raises ModelError with one sentence: the file or field, what was found, what to do.
        """
        path = check_folder(path)
        if not os.path.lexists(path / "config.json"):
            raise ModelError(f"{path} is not a model folder: config.json is missing.")
        with cannot_load(path):
            document = read_object(path, "config.json")
            config = ModelConfig.from_json(document)
            warnings = []
            if unknown := unknown_fields(document):
                warnings.append(f"config.json: unknown fields ignored: {', '.join(unknown)}.")
            generation = _generation_defaults(path, document, config, warnings)
            weights = weight_files(path)
            check_text_files(path)
        return cls(path, config, generation, weights, tuple(warnings))

    @property
    def name(self) -> str:
        """The folder's name; in the layout of the hub's cache, the name of the repository."""
        if self.path.parent.name == "snapshots":
            return self.path.parent.parent.name.removeprefix("models--").replace("--", "/")
        return self.path.name

    def kv_spec(self) -> KVCacheSpec:
        """Return what a token of this model stores in each layer."""
        return self.config.kv_spec()

    def load(
        self,
        *,
        dtype: "torch.dtype",
        device: str,
        weights: str = "float",
        kernels: "Kernels | None" = None,
        progress: Callable[[float], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> "Model":
        """Load the weights and return the model, as `load_transformer` explains; imports torch."""
        from kvchat.model.checkpoint import load_transformer

        return load_transformer(
            self,
            dtype=dtype,
            device=device,
            weights=weights,
            kernels=kernels,
            progress=progress,
            tell=tell,
        )

    def digest(self, precision: str) -> str:
        """Return the model digest: 64 hexadecimal digits that name exactly this model.

        It covers the maths of the config, the bytes of weights and tokenizer, and `precision`, the
        type the weights are computed in. Reads every weight file once, so a large model takes
        seconds: call it on a background thread. Neither the folder's place nor the dialect of its
        config changes it.
        """
        digest = hashlib.blake2b(digest_size=32)

        def add(label: str, content: bytes) -> None:
            digest.update(f"{label} {len(content)}\n".encode())
            digest.update(content)

        add("kvchat model", str(MATHS_VERSION).encode())
        add("config", _canonical(self.config.maths()))
        add("precision", precision.encode())
        with cannot_load(self.path):
            for path in self.weight_files:
                add("weights", _content_digest(path))
            for name in _TOKENIZER_FILES:
                if os.path.lexists(self.path / name):
                    add(name, read_regular(self.path / name, MAX_TOKENIZER_BYTES))
            add("tokens", _canonical(_tokenizer_fields(self.path)))
        return digest.hexdigest()


def check_folder(path: str | Path) -> Path:
    """Return the real path of a folder; raises ModelError where there is none."""
    path = Path(os.path.expanduser(path))
    if not os.path.isdir(path):
        reason = "it is not a directory" if os.path.lexists(path) else "there is no such folder"
        raise ModelError(f"{path} is not a model folder: {reason}.")
    return Path(os.path.realpath(path))


@contextmanager
def cannot_load(path: Path) -> Iterator[None]:
    """Give errors about the content of a folder the words that name it."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"Cannot load {path}: {error.strerror or error}.") from error
    except (ModelError, UntrustedFile) as error:
        raise ModelError(f"Cannot load {path}: {error.sentence}") from error


def _canonical(value: Mapping[str, JsonValue]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _content_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _tokenizer_fields(path: Path) -> dict[str, JsonValue]:
    """Return what tokenizer_config.json says about tokens; its template makes no model."""
    if not os.path.lexists(path / "tokenizer_config.json"):
        return {}
    document = read_object(path, "tokenizer_config.json", MAX_INDEX_BYTES)
    return {
        name: value
        for name, value in document.items()
        if name in _TOKENIZER_FIELDS or name.endswith("_token")
    }


def read_object(path: Path, name: str, max_bytes: int = MAX_CONFIG_BYTES) -> dict[str, JsonValue]:
    """Return a JSON file of the folder, which must hold an object."""
    _check_file(path, name)
    document = strict_json(read_regular(path / name, max_bytes), name=name)
    if not isinstance(document, dict):
        raise ModelError(f"{name} is damaged: it is not a JSON object.")
    return document


def check_text_files(folder: Path) -> None:
    """Raise ModelError unless the files about text, those that are there, are files of the folder.

    Whoever reads them afterwards follows links.
    """
    configs = ("config.json", "generation_config.json", "tokenizer_config.json")
    for name in (*_TOKENIZER_FILES, *configs, "chat_template.jinja"):
        if os.path.lexists(folder / name):
            _check_file(folder, name)


def _check_file(folder: Path, name: str) -> Path:
    """Return the path of a file that is there, regular, in the folder, and not a stand-in.

    Links may leave the folder only as the hub's cache has them: from snapshots/<revision> to blobs.
    """
    path = folder / name
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if not target.exists():
            raise ModelError(
                f"{name} points to a blob that is not there; download the model again."
            )
        roots = [folder]
        if folder.parent.name == "snapshots":
            roots.append(folder.parent.parent / "blobs")
        if not any(target.is_relative_to(root) for root in roots):
            raise ModelError(
                f"{name} is a link to a place outside the folder; copy the file there."
            )
    if not path.exists():
        raise FileMissing(f"{name} is missing.")
    if not path.is_file():
        raise ModelError(f"{name} is not a regular file.")
    if path.stat().st_size < 1024 and read_regular(path, 1024).startswith(_LFS_POINTER):
        raise ModelError(
            f"{name} is a Git LFS pointer in place of the file; run git lfs pull in that folder."
        )
    return path


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the single weights file, or the shards that the index names.

    Raises ModelError where there are none, or one is no file of the folder.
    """
    if os.path.lexists(folder / _SINGLE):
        return (_check_file(folder, _SINGLE),)
    if not os.path.lexists(folder / INDEX):
        pickles = sorted(
            entry.name for entry in folder.iterdir() if entry.name.endswith(_PICKLE_SUFFIXES)
        )
        if pickles:
            raise ModelError(
                f"only {pickles[0]} found; convert it to safetensors, kvchat never opens "
                "pickle files."
            )
        others = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".gguf")
        if others:
            raise ModelError(
                f"only {shown(others[0])} found; kvchat reads safetensors, so use the folder that "
                "file was made of."
            )
        raise ModelError(f"{_SINGLE} is missing.")
    names = set(index_of_shards(folder).values())
    return tuple(_shard(folder, name) for name in sorted(names))


def index_of_shards(folder: Path) -> dict[str, str]:
    """Return which file the index of a folder names for each tensor; raises ModelError."""
    return shards_by_tensor(read_object(folder, INDEX, MAX_INDEX_BYTES))


def shards_by_tensor(index: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return which file an index of shards names for each tensor; raises ModelError."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{INDEX} is damaged: it has no weight_map.")
    found: dict[str, str] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str):
            raise ModelError(f"{INDEX} is damaged: the shard name {shown(name)} is not text.")
        found[tensor] = name
    num_shards = len(set(found.values()))
    if num_shards > MAX_SHARDS:
        raise ModelError(f"{INDEX} names {num_shards} shards, at most {MAX_SHARDS} are read.")
    for name in found.values():
        _check_shard_name(name)
    return found


def _check_shard_name(name: str) -> None:
    if "/" in name or "\\" in name or "\0" in name or name in ("", ".", ".."):
        raise ModelError(f"the index names {shown(name)}, which is outside the folder.")
    if not name.endswith(".safetensors"):
        raise ModelError(
            f"the index names {shown(name)}; convert it to safetensors, kvchat opens nothing else."
        )


def _shard(folder: Path, name: str) -> Path:
    if not os.path.lexists(folder / name):
        raise ModelError(f"shard {shown(name)} is missing.")
    return _check_file(folder, name)


def _generation_defaults(
    folder: Path, document: Mapping[str, JsonValue], config: ModelConfig, warnings: list[str]
) -> GenerationDefaults:
    """Read generation_config.json, if there is one; unusable advice is a warning."""
    advice: dict[str, JsonValue] = {}
    if os.path.lexists(folder / "generation_config.json"):
        advice = read_object(folder, "generation_config.json")
    stop_ids = sorted(
        {
            *_stop_ids(document, "config.json", config, warnings),
            *_stop_ids(advice, "generation_config.json", config, warnings),
        }
    )
    if advice.get("do_sample") is not True:
        return GenerationDefaults(stop_token_ids=tuple(stop_ids))

    def number(name: str, low: float, high: float) -> float | None:
        value = advice.get(name)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and low <= value <= high:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        warnings.append(f"generation_config.json: {name}={shown(value)} ignored.")
        return None

    top_k = number("top_k", 0, 2**31 - 1)
    return GenerationDefaults(
        temperature=number("temperature", 1e-4, 100.0),
        top_k=None if top_k is None else int(top_k),
        top_p=number("top_p", 1e-6, 1.0),
        min_p=number("min_p", 0.0, 1.0),
        repetition_penalty=number("repetition_penalty", 0.1, 10.0),
        stop_token_ids=tuple(stop_ids),
    )


def _stop_ids(
    document: Mapping[str, JsonValue], file: str, config: ModelConfig, warnings: list[str]
) -> list[int]:
    """Return the usable end-of-sequence ids of one file: an integer, a list or null."""
    value = document.get("eos_token_id")
    found = [] if value is None else value if isinstance(value, list) else [value]
    usable = [
        item
        for item in found
        if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < config.vocab_size
    ]
    if len(usable) < len(found):
        warnings.append(f"{file}: eos_token_id={shown(value)} is not in the vocabulary; ignored.")
    return usable
