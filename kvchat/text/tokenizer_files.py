"""TokenizerFiles: what a model folder says about its text, beside `tokenizer.model` itself.

Every file is read with a size limit and as strict JSON; every value is checked here and typed, so
that nothing behind this door sees what a stranger wrote. Nothing is interpreted: the chat template
is only text here. Raises ModelError with one sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from kvchat.errors import ModelError
from kvchat.text.added_tokens import AddedToken
from kvchat.untrusted import FileMissing, JsonValue, UntrustedFile, read_regular, strict_json

MAX_MODEL_BYTES = 32 << 20
MAX_CONFIG_BYTES = 8 << 20
MAX_TOKENIZER_JSON_BYTES = 48 << 20
"""The largest published ones have about 33 MB."""
MAX_TEMPLATE_BYTES = 256 << 10
MAX_TOKEN_ID = 2_000_000
MAX_ADDED_TOKENS = 100_000
MAX_TOKEN_CHARACTERS = 1_000

NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_NAME_LISTS = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """The checked content of a folder's text files."""

    folder: Path
    added_tokens: tuple[AddedToken, ...]
    """Tokens with an id of their own, special flag resolved; ids are distinct."""
    named: Mapping[str, AddedToken]
    """bos_token, eos_token, ... as far as the files name them; an id of -1 is not known yet."""
    named_lists: tuple[AddedToken, ...]
    """Further special tokens without a role; an id of -1 is not known yet."""
    tokenizer_class: str
    legacy: bool
    add_prefix_space: bool
    adds_bos: bool | None
    """Whether plain text begins with bos; None where the files do not say."""
    stop_ids: frozenset[int]
    """Every eos_token_id of generation_config.json and config.json."""
    template: str | None
    template_problem: str | None
    """Why the folder's template cannot be used, or None."""

    @classmethod
    def read(cls, folder: Path, listed: JsonValue = None) -> "TokenizerFiles":
        """Read everything but the tokenizer's model; only damaged files are errors.

        `listed` are the added tokens of a `tokenizer.json` that is the folder's model.
        """
        config = read_object(folder, "tokenizer_config.json", MAX_CONFIG_BYTES)
        tokens_map = read_object(folder, "special_tokens_map.json", MAX_CONFIG_BYTES)
        named, lists = _named_tokens(folder, {**tokens_map, **_without_null(config)})
        if listed is None:
            added = _added_tokens(folder, config)
        else:
            added = _both(_listed(folder, listed), _decoder(folder, config))
        names = {token.content for token in (*named.values(), *lists)}
        flags = {token.content: token for token in (*lists, *named.values())}
        has_plain_flags = listed is None and "added_tokens_decoder" not in config
        resolved = []
        for token in added:
            if has_plain_flags and token.content in flags:
                token = replace(flags[token.content], id=token.id)  # the map holds the flags
            resolved.append(replace(token, special=token.special or token.content in names))
        template, problem = read_template(folder, config)
        return cls(
            folder=folder,
            added_tokens=tuple(resolved),
            named=named,
            named_lists=lists,
            tokenizer_class=_text(config.get("tokenizer_class")),
            legacy=_flag(folder, config, "legacy", True),
            add_prefix_space=_flag(folder, config, "add_prefix_space", True),
            adds_bos=None
            if config.get("add_bos_token") is None
            else _flag(folder, config, "add_bos_token", True),
            stop_ids=frozenset(read_eos_ids(folder)),
            template=template,
            template_problem=problem,
        )


def read_object(folder: Path, name: str, max_bytes: int) -> dict[str, JsonValue]:
    """Return a JSON object of the folder, empty when the file is not there."""
    try:
        value = strict_json(read_regular(folder / name, max_bytes), name=name)
    except FileMissing:
        return {}
    except UntrustedFile as error:
        raise model_error(folder, error.sentence) from error
    if not isinstance(value, dict):
        raise model_error(folder, f"{name} is damaged: it is not a JSON object.")
    return value


def read_template(folder: Path, config: Mapping[str, JsonValue]) -> tuple[str | None, str | None]:
    """Return (template, None), (None, why it cannot be used), or (None, None) without one."""
    try:
        raw = read_regular(folder / "chat_template.jinja", MAX_TEMPLATE_BYTES)
        return raw.decode("utf-8-sig"), None
    except FileMissing:
        pass
    except UntrustedFile as error:
        return None, error.sentence.rstrip(".")
    except UnicodeDecodeError:
        return None, "it is not UTF-8 text"
    value = config.get("chat_template")
    if isinstance(value, list):
        choices = {
            _text(item.get("name")): item.get("template")
            for item in value
            if isinstance(item, dict)
        }
        value = choices.get("default", next(iter(choices.values()), None))
    if value is None:
        return None, None
    if not isinstance(value, str):
        return None, "chat_template is not text"
    if len(value.encode("utf-8", "replace")) > MAX_TEMPLATE_BYTES:
        return None, f"it is larger than {MAX_TEMPLATE_BYTES >> 10} KiB"
    return value, None


def read_eos_ids(folder: Path) -> list[int]:
    """Return every eos_token_id of generation_config.json and config.json."""
    ids: list[int] = []
    for file in ("generation_config.json", "config.json"):
        value = read_object(folder, file, MAX_CONFIG_BYTES).get("eos_token_id")
        ids += _ids(folder, file, value)
    return ids


def folder_name(folder: Path) -> str:
    """Return the name of a model folder; in the hub's cache, that of its repository."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return folder.name


def model_error(folder: Path, sentence: str) -> ModelError:
    """Return the error for a folder that cannot be loaded because of its text files."""
    return ModelError(f"Cannot load {folder}: {sentence}", code="tokenizer_damaged")


def _added_tokens(folder: Path, config: Mapping[str, JsonValue]) -> list[AddedToken]:
    """Return the added tokens of the first source that has any."""
    if isinstance(config.get("added_tokens_decoder"), dict):
        return _decoder(folder, config)
    if (folder / "tokenizer.json").exists():
        document = read_object(folder, "tokenizer.json", MAX_TOKENIZER_JSON_BYTES)
        return _listed(folder, document.get("added_tokens"))
    name = "added_tokens.json"
    return _distinct(
        folder,
        name,
        [
            _token(folder, name, content, "missing" if value is None else value)
            for content, value in read_object(folder, name, MAX_CONFIG_BYTES).items()
        ],
    )


def _decoder(folder: Path, config: Mapping[str, JsonValue]) -> list[AddedToken]:
    """Return the `added_tokens_decoder` of tokenizer_config.json."""
    name = "tokenizer_config.json"
    decoder = config.get("added_tokens_decoder")
    tokens = []
    for key, value in decoder.items() if isinstance(decoder, dict) else ():
        is_number = key.isascii() and key.isdecimal() and len(key) < 10
        tokens.append(_token(folder, name, value, int(key) if is_number else key))
    return _distinct(folder, name, tokens)


def _listed(folder: Path, listed: JsonValue) -> list[AddedToken]:
    """Return the `added_tokens` of tokenizer.json."""
    name = "tokenizer.json"
    tokens = []
    for value in listed if isinstance(listed, list) else ():
        token_id = value.get("id") if isinstance(value, dict) else None
        tokens.append(_token(folder, name, value, "missing" if token_id is None else token_id))
    return _distinct(folder, name, tokens)


def _both(listed: list[AddedToken], decoder: list[AddedToken]) -> list[AddedToken]:
    """Return the tokens of tokenizer.json with the configuration's flags, and its further ones."""
    flags = {token.content: token for token in decoder}
    tokens = [replace(flags.get(token.content, token), id=token.id) for token in listed]
    ids = {token.id for token in listed}
    contents = {token.content for token in listed}
    return tokens + [t for t in decoder if t.id not in ids and t.content not in contents]


def _distinct(folder: Path, name: str, tokens: list[AddedToken]) -> list[AddedToken]:
    if len(tokens) > MAX_ADDED_TOKENS:
        raise model_error(folder, f"{name} has {len(tokens)} added tokens, too many to be real.")
    if len({token.id for token in tokens}) != len(tokens):
        raise model_error(folder, f"{name} gives two added tokens the same id.")
    return tokens


def _named_tokens(
    folder: Path, config: Mapping[str, JsonValue]
) -> tuple[dict[str, AddedToken], tuple[AddedToken, ...]]:
    named: dict[str, AddedToken] = {}
    for role in NAMES:
        if (value := config.get(role)) is not None:
            named[role] = _token(folder, "tokenizer_config.json", value, None, special=True)
    lists: list[AddedToken] = []
    for key in _NAME_LISTS:
        value = config.get(key)
        if isinstance(value, dict):
            value = list(value.values())
        for item in value if isinstance(value, list) else ():
            lists.append(_token(folder, "tokenizer_config.json", item, None, special=True))
    return named, tuple(lists)


def _token(
    folder: Path, file: str, value: JsonValue, token_id: JsonValue, *, special: bool = False
) -> AddedToken:
    """Read a token that is written as text or as an object; an id of None becomes -1."""
    fields: Mapping[str, JsonValue] = value if isinstance(value, dict) else {"content": value}
    content = fields.get("content")
    if not isinstance(content, str):
        raise model_error(folder, f"{file}: a token is {str(value)[:40]!r}, expected text.")
    if len(content) > MAX_TOKEN_CHARACTERS:
        raise model_error(
            folder, f"{file}: a token has {len(content)} characters, too many to be real."
        )
    if token_id is None:
        token_id = -1
    elif not _is_id(token_id):
        raise model_error(
            folder, f"{file}: token {content[:40]!a} has id {str(token_id)[:20]}, not an id."
        )
    assert isinstance(token_id, int)
    return AddedToken(
        id=token_id,
        content=content,
        special=special or fields.get("special") is True,
        lstrip=fields.get("lstrip") is True,
        rstrip=fields.get("rstrip") is True,
        single_word=fields.get("single_word") is True,
    )


def _ids(folder: Path, file: str, value: JsonValue) -> Iterator[int]:
    for item in value if isinstance(value, list) else [value]:
        if item is None:
            continue
        if not isinstance(item, int) or isinstance(item, bool):
            raise model_error(
                folder, f"{file}: eos_token_id is {str(item)[:40]!r}, expected token ids."
            )
        yield item


def _is_id(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKEN_ID


def _without_null(config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: value for key, value in config.items() if value is not None}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _flag(folder: Path, config: Mapping[str, JsonValue], name: str, default: bool) -> bool:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise model_error(
            folder, f"tokenizer_config.json: {name} is {str(value)[:40]!r}, expected true or false."
        )
    return value


def tokenizer_digest(folder: Path) -> str:
    """Return 8 hex digits that differ wherever equal token ids would mean other text.

    Raises ModelError for a file that cannot be read.
    """
    digest = blake2b(digest_size=4)

    def add(name: str, limit: int) -> bytes:
        try:
            raw = read_regular(folder / name, limit)
        except FileMissing:
            return b""
        except UntrustedFile as error:
            raise model_error(folder, error.sentence) from error
        digest.update(raw)
        return raw

    is_sentencepiece = add("tokenizer.model", MAX_MODEL_BYTES).startswith(b"\n")
    add("tokenizer_config.json", MAX_CONFIG_BYTES)
    if not is_sentencepiece:
        add("tokenizer.json", MAX_TOKENIZER_JSON_BYTES)
    return digest.hexdigest()
