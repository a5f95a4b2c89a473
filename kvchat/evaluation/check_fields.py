"""How a check is written in a file: its fields, each looked at before it is believed."""

import re
from collections.abc import Mapping, Sequence

from kvchat.errors import InvalidArgument
from kvchat.evaluation.check import Check, Members

_TEXTS = ("any", "all", "none", "in_order", "code")
_LIMITS = ("lines", "items", "words", "sentences")
_FLAGS = ("distinct", "ends", "differs")


def read_check(fields: object, lists: Mapping[str, Sequence[str]], where: str) -> Check:
    """Make a check of a table of a file; raises InvalidArgument, naming `where`, for a bad one."""
    if not isinstance(fields, dict) or not fields:
        raise InvalidArgument(f"{where} is no table of checks.")
    values: dict[str, object] = {}
    for name, value in fields.items():
        if name in _TEXTS:
            values[name] = _texts(value, lists, f"{name} of {where}")
        elif name in _LIMITS:
            values[name] = _limits(value, f"{name} of {where}")
        elif name in _FLAGS:
            if value is not True:
                raise InvalidArgument(f"{name} of {where} can only be true.")
            values[name] = True
        elif name == "number":
            values[name] = _integer(value, f"{name} of {where}")
        elif name == "given":
            if not isinstance(value, list):
                raise InvalidArgument(f"given of {where} is no list of numbers.")
            values[name] = tuple(_integer(each, f"{name} of {where}") for each in value)
        elif name == "members":
            values[name] = _members(value, lists, where)
        else:
            raise InvalidArgument(f"{where} has '{name}', which is no kind of check.")
    return Check(**values)  # type: ignore[arg-type]  # each was checked above


def _texts(value: object, lists: Mapping[str, Sequence[str]], where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        raise InvalidArgument(f"{where} is no list of texts.")
    found: list[str] = []
    for text in value:
        if text.startswith("@"):
            if text[1:] not in lists:
                raise InvalidArgument(f"{where} names the list '{text}', which is not there.")
            found += lists[text[1:]]
        elif re.search(r"\w", text):
            found.append(text)
        else:
            raise InvalidArgument(f"{where} has an empty text.")
    return tuple(found)


def _integer(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidArgument(f"{where} is {value!r}, but it must be a whole number.")
    return value


def _limits(value: object, where: str) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2:
        least, most = (_integer(each, where) for each in value)
        if least <= most:
            return least, most
    raise InvalidArgument(f"{where} must be [least, most].")


def _members(value: object, lists: Mapping[str, Sequence[str]], where: str) -> Members:
    if not isinstance(value, dict) or not {"of", "least"} <= set(value) <= set(
        Members.__dataclass_fields__
    ):
        raise InvalidArgument(f"members of {where} needs 'of' and 'least'.")
    least = _integer(value["least"], f"least of {where}")
    most = None if "most" not in value else _integer(value["most"], f"most of {where}")
    of = _texts(value["of"], lists, f"of of {where}")
    if (
        not 1 <= least <= (len(of) if most is None else most)
        or type(value.get("fresh", True)) is not bool
    ):
        raise InvalidArgument(f"members of {where} can never be fulfilled.")
    return Members(of, least, most, bool(value.get("fresh", False)))
