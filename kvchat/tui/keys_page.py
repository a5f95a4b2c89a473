"""The page of keys and commands, from the registry: `python -m kvchat.tui.keys_page`."""

import sys
from collections.abc import Sequence

from kvchat.tui.command import Where
from kvchat.tui.commands import Registry

_PLACES: tuple[tuple[Where, str], ...] = (
    ("chat", "Everywhere"),
    ("prompt", "In the prompt"),
    ("message", "On a message"),
    ("token", "On the tokens of a message"),
    ("tree", "In the tree of branches"),
    ("ask prompt", "Asking several branches: the question"),
    ("ask", "Asking several branches: the answers"),
    ("blocks", "In the views of the pool"),
)
_BEGINNING = """\
# Keys and commands

`kvchat keys` prints this list with your own keys, `F1` shows it in the app. `kvchat keys --probe`
shows what your terminal sends for each key, and what it does. `^n` is Ctrl+N, `esc` Escape, `⏎`
Enter. Other keys go into `settings.toml`, whose place `kvchat --help` names, by the
name in the last column; an empty list takes a command its keys:

```toml
[keys]
"view.blocks" = ["f8"]
```
"""
_SLASH_NOTE = """\
Written in an empty prompt. A unique beginning is enough (`/ren`); `//` sends a text that begins
with a slash.
"""


def keys_page(registry: Registry) -> str:
    """Return the page in Markdown."""
    parts = [_BEGINNING]
    for where, title in _PLACES:
        rows = [
            (_code(command.key_text), command.title, _code(command.id))
            for command in registry.commands
            if command.where == where and command.key_text
        ]
        note = "`alt+↑` puts the cursor on a message.\n\n" if where == "message" else ""
        parts.append(f"## {title}\n\n{note}{_table(('key', 'does', 'name'), rows)}")
    slashes: list[tuple[str, ...]] = []
    for command in registry.commands:
        if command.slash:
            others = ", ".join(f"/{alias}" for alias in command.aliases)
            does = command.title + (f" (also {others})" if others else "")
            does += f"<br>{command.help}" if command.help else ""
            slashes.append((_code(f"/{command.slash} {command.args}".strip()), does))
    parts.append(f"## Slash commands\n\n{_SLASH_NOTE}\n{_table(('command', 'does'), slashes)}")
    return "\n".join(parts)


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


if __name__ == "__main__":
    sys.stdout.write(keys_page(Registry()))
