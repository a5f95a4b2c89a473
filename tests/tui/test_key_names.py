import pytest
from textual import events
from textual._xterm_parser import XTermParser

from kvchat.errors import InvalidArgument
from kvchat.tui.commands import COMMANDS, Registry
from kvchat.tui.key_names import key_named
from kvchat.tui.terminal import repair_input


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ctrl+f", "ctrl+f"), ("Ctrl+F", "ctrl+f"), ("f8", "f8"), ("?", "question_mark"),
        ("/", "slash"), ("esc", "escape"), ("PgUp", "pageup"), ("shift+alt+up", "alt+shift+up"),
        ("+", "plus"), ("ctrl++", "ctrl+plus"), ("-", "minus"), ("G", "G"), ("=", "equals_sign"),
        ("space", "space"), ("é", "é"),
    ],
)  # fmt: skip
def test_a_key_has_one_name_however_it_is_written(written: str, name: str) -> None:
    assert key_named(written) == name


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("crtl+f", "before a \\+ stand ctrl"),
        ("ctrl+pageupp", "did you mean pageup"),
        ("f99", "is no key"),
        ("", "is no key"),
        ("two words", "is no key"),
        ("\x1b", "is no key"),
    ],
)
def test_what_no_key_is_called_is_refused(written: str, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        key_named(written)


def test_every_key_of_ours_is_written_as_events_name_it() -> None:
    for command in COMMANDS:
        for key in command.keys:
            assert key_named(key) == key, command.id


def test_typed_characters_have_the_names_that_settings_give_them() -> None:
    repair_input()
    for character in "?/-+=.,:;!<>[](){}'\"#%&*@\\|~^_`$gG0":
        (event,) = [
            event for event in XTermParser().feed(character) if isinstance(event, events.Key)
        ]
        assert event.key == key_named(character)


def test_settings_with_a_key_that_is_none_are_refused_with_the_command() -> None:
    with pytest.raises(InvalidArgument, match=r"\[keys\]: view.blocks: 'crtl\+b' is no key"):
        Registry({"view.blocks": ("crtl+b",)})


def test_a_key_written_as_its_character_is_bound() -> None:
    registry = Registry({"view.blocks": ("Ctrl+Y", "F8")})

    assert registry.for_key("f8")[0].id == "view.blocks"
    assert registry.for_key("ctrl+y")[0].id == "view.blocks"
