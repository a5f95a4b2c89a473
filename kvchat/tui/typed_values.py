"""Values as people type them, into what they mean, and back."""

import shlex

from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams

NOTHING = ("", "none", "off", "auto")


def parse_value(text: str) -> object:
    """Return what the user typed as a number, as text, or nothing."""
    text = text.strip()
    if text.lower() in NOTHING:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("\"'")


def whole_number(name: str, text: str) -> int | None:
    """Return a typed number, None for nothing; raises InvalidArgument with the name."""
    value = parse_value(text)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InvalidArgument(f"{name} is {text[:40]}, but it must be a whole number.")


def list_of_texts(text: str) -> tuple[str, ...]:
    """Return the texts between `|`, without empty ones."""
    return tuple(part for part in (each.strip() for each in text.split("|")) if part)


def text_of_value(value: object) -> str:
    """Return a value as it would be typed."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return " | ".join(str(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def sampling_with(params: SamplingParams, words: str) -> SamplingParams:
    """Return settings with those of a line like `temperature=0.9 seed=7` replaced."""
    values: dict[str, object] = {}
    try:
        parts = shlex.split(words)
    except ValueError as error:
        raise InvalidArgument(f"{words[:40]} has a quote without its other half.") from error
    for word in parts:
        name, _, value = word.partition("=")
        values[name] = parse_value(value)
    return params.with_values(values)
