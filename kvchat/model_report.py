"""ModelReport: what `kvchat models inspect` says of a folder, without loading its weights.

Each part is looked at by itself, so that a folder with three faults shows three. Reads the JSON
files and the headers of the weights; needs no torch.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kvchat.device import available_memory_bytes
from kvchat.errors import KVChatError, ModelError
from kvchat.kv.spec import KVCacheSpec
from kvchat.model.config import ModelConfig, shown
from kvchat.model.folder import (
    MAX_TOKENIZER_BYTES,
    ModelFolder,
    cannot_load,
    check_folder,
    check_text_files,
    read_object,
    weight_files,
)
from kvchat.model.parameter_shapes import parameter_shapes
from kvchat.model.stored_tensors import FLOAT_DTYPES, check_tensors, read_stored_tensors
from kvchat.model.tensor_names import plan_checkpoint
from kvchat.model.weight_sizes import weight_sizes
from kvchat.text.sentencepiece_proto import SentencePieceProto
from kvchat.text.tokenizer import Tokenizer
from kvchat.text.tokenizer_files import (
    MAX_CONFIG_BYTES,
    MAX_TOKENIZER_JSON_BYTES,
    TokenizerFiles,
    read_eos_ids,
    read_template,
)
from kvchat.text.tokenizer_json import TokenizerJson
from kvchat.untrusted import DTYPE_BYTES, JsonValue, read_regular, read_safetensors_header

CONTEXTS = (4096, 8192, 32768)
"""Tokens of a chat for which `inspect` says whether it fits, besides the model's context."""
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Layers of one shape and window, and what a token takes in all of them, in bytes."""

    num_layers: int
    num_kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None
    bytes_fp32: int
    bytes_bf16: int
    bytes_int8: int


@dataclass(frozen=True, slots=True)
class FitReport:
    """What one precision of weights takes here, in bytes, and which contexts fit beside it.

    num_sessions  by context length: how many whole chats of that length memory has room for
    kv_bytes      by context length: what one of them takes, keys and values in fp32 or bf16
    """

    weights: str
    weight_bytes: int
    kv_bytes: dict[int, int]
    num_sessions: dict[int, int]


@dataclass(slots=True)
class ModelReport:
    """Everything known about a folder; fields stay None where a fault hides them."""

    path: Path
    name: str
    architecture: str | None = None
    family: str | None = None
    num_parameters: int | None = None
    num_stored: int | None = None
    stored_as: dict[str, int] = field(default_factory=dict)
    """Numbers in the weight files by their type."""
    weight_bytes: int | None = None
    num_layers: int | None = None
    context: int | None = None
    window: int | None = None
    """The smallest window of a layer, None where all layers see everything."""
    vocab_size: int | None = None
    groups: list[GroupReport] = field(default_factory=list)
    tokenizer: str | None = None
    template: str | None = None
    memory_bytes: int | None = None
    fits: list[FitReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why the folder cannot be used, a sentence each."""
    warnings: list[str] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """Whether nothing was found that keeps the folder from being loaded."""
        return not self.problems


def inspect_model(path: Path) -> ModelReport:
    """Look at every part of a model folder; raises ModelError only where there is no folder."""
    path = check_folder(path)
    report = ModelReport(path, path.name)
    config = None
    document = report_of(report, lambda: read_object(path, "config.json"))
    if document is not None:
        _name_architecture(report, document)
        config = report_of(report, lambda: ModelConfig.from_json(document))
        if config is not None:
            _describe_config(report, config)
    files = report_of(report, lambda: weight_files(path))
    if files is not None:
        for file in files:
            _describe_weights(report, file)
        report.weight_bytes = sum(file.stat().st_size for file in files)
        report.num_stored = sum(report.stored_as.values())
        if config is not None and not report.problems:
            report_of(report, lambda: _check_weights(report, config, files))
    if config is not None:
        _describe_fits(report, config)
    if _passes(report, lambda: check_text_files(path)):
        report.tokenizer = report_of(report, lambda: tokenizer_kind(path))
        _describe_template(report)
    if report.is_usable:
        _open_folder(report)
    return report


def usable_problem(path: Path) -> str | None:
    """Return why a folder cannot be used, as one short sentence, or None."""
    try:
        report = inspect_model(path)
    except ModelError as error:
        return error.sentence
    return report.problems[0] if report.problems else None


def report_of(report: ModelReport, part: Callable[[], Found]) -> Found | None:
    """Return what a part of the folder says; a fault becomes a sentence of the report."""
    prefix = f"Cannot load {report.path}: "
    try:
        with cannot_load(report.path):
            return part()
    except KVChatError as error:
        sentence = error.sentence.removeprefix(prefix).removeprefix(prefix)
        if sentence not in report.problems:
            report.problems.append(sentence)
        return None


def _passes(report: ModelReport, check: Callable[[], None]) -> bool:
    """Say whether a check finds nothing; what it finds becomes a sentence of the report."""

    def done() -> bool:
        check()
        return True

    return report_of(report, done) is not None


def tokenizer_kind(path: Path) -> str:
    """Return which tokenizer a folder has, in a few words.

    Raises ModelError where it has none, or one that is damaged or cannot be used here.
    """
    Tokenizer.check_folder(path)
    if os.path.lexists(path / "tokenizer.model"):
        try:
            proto = SentencePieceProto.parse(
                read_regular(path / "tokenizer.model", MAX_TOKENIZER_BYTES)
            )
        except ValueError as error:
            if not os.path.lexists(path / "tokenizer.json"):
                raise ModelError(f"tokenizer.model is damaged: {error}.") from error
        else:
            TokenizerFiles.read(path)
            return f"SentencePiece, tokenizer.model, {len(proto.pieces)} pieces"
    raw = read_regular(path / "tokenizer.json", MAX_TOKENIZER_JSON_BYTES)
    document = TokenizerJson.parse(raw, path)
    TokenizerFiles.read(path, document.added_tokens or [])
    kind = "byte-level" if document.is_byte_level else "SentencePiece-style"
    return f"{kind}, tokenizer.json, {len(document.ids)} pieces"


def _name_architecture(report: ModelReport, document: dict[str, JsonValue]) -> None:
    architectures = document.get("architectures")
    if isinstance(architectures, list) and architectures and isinstance(architectures[0], str):
        report.architecture = architectures[0][:80]
    family = document.get("model_type")
    report.family = family[:80] if isinstance(family, str) else None


def _describe_config(report: ModelReport, config: ModelConfig) -> None:
    report.num_parameters = config.num_parameters
    report.num_layers = config.num_layers
    report.context = config.max_position
    report.vocab_size = config.vocab_size
    spec = config.kv_spec()
    windows = [group.window for group in spec.groups if group.window is not None]
    report.window = min(windows, default=None)
    report.groups = [
        GroupReport(
            len(group.layer_indexes),
            group.num_kv_heads,
            group.key_dim,
            group.value_dim,
            group.window,
            group.bytes_per_token(4),
            group.bytes_per_token(2),
            group.bytes_per_token(2, "int8"),
        )
        for group in spec.groups
    ]


def _describe_fits(report: ModelReport, config: ModelConfig) -> None:
    spec = config.kv_spec()
    report.memory_bytes = available_memory_bytes()
    contexts = [each for each in CONTEXTS if each < config.max_position]
    if len(contexts) < len(CONTEXTS):
        contexts.append(config.max_position)
    kept_as = max(report.stored_as, key=lambda dtype: report.stored_as[dtype], default="BF16")
    for name, weight_bytes in weight_sizes(config, DTYPE_BYTES[kept_as]).items():
        # Around rounded weights a CPU computes in fp32, and so keys and values are stored.
        itemsize = 2 if name in ("bf16", "fp16") else 4
        kv_bytes = {length: kv_bytes_of(spec, length, itemsize) for length in contexts}
        left = report.memory_bytes - weight_bytes
        num_sessions = {length: max(0, left // kv_bytes[length]) for length in contexts}
        report.fits.append(FitReport(name, weight_bytes, kv_bytes, num_sessions))


def kv_bytes_of(spec: KVCacheSpec, num_tokens: int, itemsize: int) -> int:
    """Return the bytes of keys and values of one chat; layers with a window keep only that."""
    return sum(
        group.bytes_per_token(itemsize) * min(num_tokens, group.window or num_tokens)
        for group in spec.groups
    )


def _describe_weights(report: ModelReport, file: Path) -> None:
    header = report_of(report, lambda: read_safetensors_header(file))
    if header is None:
        return
    counts: Counter[str] = Counter(report.stored_as)
    for entry in header.tensors.values():
        counts[entry.dtype] += (entry.end - entry.begin) // DTYPE_BYTES[entry.dtype]
    report.stored_as = dict(counts.most_common())
    for name, entry in header.tensors.items():
        if entry.dtype not in FLOAT_DTYPES:
            report.problems.append(
                f"tensor {shown(name)} is stored as {entry.dtype}; use the full-precision folder."
            )
            return


def _check_weights(report: ModelReport, config: ModelConfig, files: Sequence[Path]) -> None:
    """Compare names and shapes with the config as loading does, from the headers alone."""
    num_stored = sum(report.stored_as.values())
    if 2 * num_stored < config.num_parameters:  # also keeps absurd configs from being spelled out
        raise ModelError(
            f"the weights hold {num_stored} numbers, but config.json makes {config.num_parameters}."
        )
    stored = read_stored_tensors(files)
    plan = plan_checkpoint(config, parameter_shapes(config), stored)
    check_tensors(stored, plan, config)


def _describe_template(report: ModelReport) -> None:
    def read() -> tuple[str | None, str | None]:
        name, config = "tokenizer_config.json", {}
        if os.path.lexists(report.path / name):
            config = read_object(report.path, name, MAX_CONFIG_BYTES)
        return read_template(report.path, config)

    found = report_of(report, read)
    if found is None:
        return
    template, problem = found
    if problem is not None:
        report.warnings.append(f"its chat template cannot be used ({problem}); plain format.")
    is_file = os.path.lexists(report.path / "chat_template.jinja")
    report.template = "none, the plain User:/Assistant: format"
    if template is not None:
        place = "chat_template.jinja" if is_file else "tokenizer_config.json"
        report.template = f"{place}, {len(template)} characters"


def _open_folder(report: ModelReport) -> None:
    """Let the reader that loading uses have the last word."""
    folder = report_of(report, lambda: ModelFolder.open(report.path))
    if folder is not None:
        report.name = folder.name
        report.warnings += folder.warnings
        report_of(report, lambda: read_eos_ids(report.path))
