"""The page of keys: complete, and the same as the one in the docs."""

from pathlib import Path

import kvchat
from kvchat.tui.commands import COMMANDS, Registry
from kvchat.tui.keys_page import keys_page

PAGE = Path(kvchat.__file__).parent / "docs/keys.md"


def test_the_page_in_the_docs_is_the_one_the_registry_gives() -> None:
    wanted = keys_page(Registry())
    command = "python -m kvchat.tui.keys_page > kvchat/docs/keys.md"
    assert PAGE.read_text(encoding="utf-8") == wanted, f"write it again: {command}"


def test_every_key_and_every_slash_command_stands_on_the_page() -> None:
    page = keys_page(Registry())
    for command in COMMANDS:
        assert not command.key_text or f"`{command.id}`" in page
        assert not command.slash or f"`/{command.slash}" in page


def test_every_row_of_a_table_has_its_columns() -> None:
    rows = [line for line in keys_page(Registry()).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3, 4}


def test_the_page_shows_changed_keys() -> None:
    registry = Registry({"view.blocks": ["f8"], "app.help": []})
    page = keys_page(registry)
    assert "| `f8` | Block panel, whole screen, off |" in page
    assert "| `app.help` |" not in page and "`/help [topic]`" in page
