"""The names of keys in settings.toml: which there are, and the one way to write each."""

import difflib
import unicodedata

from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from kvchat.errors import InvalidArgument

MODIFIERS = ("ctrl", "alt", "shift", "super", "hyper", "meta")
_SPECIAL = {key.value.split("+")[-1] for key in Keys if len(key.value.split("+")[-1]) > 1}
_SHORT = {"esc": "escape", "return": "enter", "pgup": "pageup", "pgdn": "pagedown", "del": "delete"}
_TEXTUAL_NAMES = set(KEY_NAME_REPLACEMENTS.values())


def key_named(written: str) -> str:
    """Return a key as events name it: `?` is `question_mark`, `Ctrl+F` is `ctrl+f`.

    Raises InvalidArgument for what no key is called; it would never be pressed.
    """
    *modifiers, name = _parts(written)
    modifiers = [modifier.lower() for modifier in modifiers]
    wrong = next((each for each in modifiers if each not in MODIFIERS), None)
    if wrong is not None:
        raise InvalidArgument(
            f"{written[:40]!r} is no key; before a + stand {', '.join(MODIFIERS)}."
        )
    # Sorted, as in events.
    return "+".join([*sorted(modifiers), _base_name(name, written, bool(modifiers))])


def _parts(written: str) -> list[str]:
    if written == "+" or written.endswith("++"):
        return [*filter(None, written[:-1].rstrip("+").split("+")), "plus"]
    return written.split("+")


def _base_name(name: str, written: str, has_modifiers: bool) -> str:
    if len(name) == 1:
        if name.isalnum():
            return name.lower() if has_modifiers else name
        unicode_name = unicodedata.name(name, "").lower().replace(" ", "_").replace("-", "_")
        if unicode_name and name.isprintable():
            return KEY_NAME_REPLACEMENTS.get(unicode_name, unicode_name)
    lower = _SHORT.get(name.lower(), name.lower())
    if lower in _SPECIAL or lower in _TEXTUAL_NAMES or _is_unicode_name(lower):
        return lower
    close = difflib.get_close_matches(lower, sorted(_SPECIAL | _TEXTUAL_NAMES), n=1)
    hint = f"did you mean {close[0]}?" if close else "F1 shows how keys are written."
    raise InvalidArgument(f"{written[:40]!r} is no key; {hint}")


def _is_unicode_name(name: str) -> bool:
    try:
        character = unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        return False
    return character.isprintable() and not character.isalnum()
