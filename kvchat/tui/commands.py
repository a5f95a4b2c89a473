"""The one list of commands: keys, slash commands, palette, footer and help all come from it.

`Registry` applies the user's `[keys]` and checks it once, at start. What a command does stands in
`actions`, `session_actions` and `message_actions`; here is only its name and when it applies.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kvchat.errors import InvalidArgument
from kvchat.tui import actions
from kvchat.tui import message_actions as messages
from kvchat.tui import prompt_actions as prompt
from kvchat.tui import session_actions as sessions
from kvchat.tui.ask_commands import ASK_COMMANDS
from kvchat.tui.block_actions import show_blocks
from kvchat.tui.block_commands import BLOCK_COMMANDS
from kvchat.tui.branch_commands import BRANCH_COMMANDS
from kvchat.tui.command import NEVER_BOUND, Command, Where, display_key
from kvchat.tui.completion import path_after
from kvchat.tui.keeping_commands import KEEPING_COMMANDS
from kvchat.tui.key_names import key_named
from kvchat.tui.search_actions import switch_session
from kvchat.tui.search_commands import SEARCH_COMMANDS
from kvchat.tui.setting_commands import SETTING_COMMANDS
from kvchat.tui.terminal_commands import TERMINAL_COMMANDS
from kvchat.tui.token_commands import TOKEN_COMMANDS
from kvchat.tui.tree_commands import TREE_COMMANDS

COMMANDS: tuple[Command, ...] = (
    # -- the prompt
    Command("prompt.send", "Send; while a reply runs, wait in line", prompt.send,
            keys=("enter",), where="prompt", in_palette=False),
    Command("prompt.newline", "New line", prompt.newline,
            help="A backslash before Enter does the same in every terminal.",
            keys=("ctrl+j", "shift+enter", "alt+enter"), where="prompt", in_palette=False),
    Command("prompt.history_older", "Older prompt", prompt.history_older, keys=("up",),
            where="prompt", applies=prompt.at_first_line, in_palette=False),
    Command("prompt.history_newer", "Newer prompt", prompt.history_newer, keys=("down",),
            where="prompt", applies=prompt.at_last_line, in_palette=False),
    Command("prompt.complete", "Complete the command", prompt.complete, keys=("tab",),
            where="prompt", applies=prompt.has_hints, in_palette=False),
    Command("prompt.expand", "Show a paste as text", prompt.expand_paste, keys=("ctrl+o",),
            where="prompt", applies=prompt.has_chip, in_palette=False),
    Command("prompt.history_search", "Search the prompt history", prompt.search_history,
            keys=("ctrl+r",), where="prompt"),
    Command("prompt.editor", "Write the prompt in your editor", prompt.open_editor,
            keys=("ctrl+g",), help="It is $VISUAL or $EDITOR; replies go on meanwhile."),
    Command("prompt.paste", "Put the clipboard's text into the prompt, as a chip", prompt.paste,
            slash="paste", help="For terminals without a key for it, and for long texts."),
    Command("prompt.attach", "Put a text file into the prompt", prompt.attach, slash="attach",
            args="PATH", help="Also @ and its path anywhere in a prompt, then Tab.",
            complete=path_after()),
    # -- everywhere
    Command("app.back", "Close, leave, or stop this reply", actions.back, keys=("escape",),
            footer="stop", in_palette=False),
    Command("app.interrupt", "Copy the selection, clear the prompt, stop; twice: quit",
            actions.interrupt, keys=("ctrl+c",), in_palette=False),
    Command("session.new", "New session", sessions.new_session, keys=("ctrl+n",), slash="new",
            args="[title]", footer="new"),
    Command("session.switch", "Switch session", switch_session, keys=("ctrl+s",),
            slash="sessions", aliases=("resume",), footer="sessions"),
    Command("session.go", "Go to the n-th session", sessions.go_to_session,
            keys=tuple(f"alt+{digit}" for digit in range(1, 10)), shown_keys="alt+1…9",
            in_palette=False),
    Command("session.next_unread", "Next unread session", sessions.next_unread, keys=("alt+u",)),
    Command("session.previous", "Previous session", sessions.previous_session,
            keys=("alt+pageup",)),
    Command("session.next", "Next session", sessions.next_session, keys=("alt+pagedown",)),
    Command("session.rename", "Rename this session", sessions.rename, slash="rename",
            args="TITLE"),
    Command("session.fork", "Fork: a new session from here, sharing every block",
            sessions.fork, slash="fork", aliases=("branch",), args="[title]"),
    Command("message.rewind_menu", "Rewind to an earlier message", messages.rewind,
            help="Nothing is lost: alt+z, or /undo, brings back what followed.", slash="rewind",
            args="[n]", shown_keys="esc esc"),
    Command("session.undo", "Undo the last rewind, retry, clear, close or delete", sessions.undo,
            keys=("alt+z",), slash="undo",
            help="A message that was put into the prompt leaves it again."),
    Command("message.retry", "Another reply to the last message", messages.retry,
            slash="retry", aliases=("regenerate",), args="[name=value …]"),
    Command("session.clear", "Start again from the root; nothing is lost", sessions.clear,
            slash="clear"),
    Command("session.delete", "Delete this session", sessions.delete, slash="delete",
            help="Asks first; alt+z, or /undo, brings it back for ten seconds."),
    Command("chat.stop", "Stop this reply, keep its text", actions.stop, slash="stop"),
    Command("session.window", "How far the model looks back in this chat", sessions.window,
            slash="window", args="[N|off] [sinks=S]"),
    Command("message.copy_reply", "Copy the last reply", messages.copy_reply, slash="copy",
            args="[n] [code]"),
    Command("view.blocks", "Block panel, whole screen, off", show_blocks, keys=("f3",),
            slash="blocks", args="[map|lanes|time]", footer="blocks"),
    Command("view.sidebar", "Sidebar on, off", actions.toggle_sidebar, keys=("f4",)),
    Command("session.stats", "Figures of this session and the pool", actions.show_stats,
            slash="stats"),
    Command("app.palette", "All commands", actions.open_palette, keys=("ctrl+p",),
            footer="commands", in_palette=False),
    Command("app.help", "Help", actions.help_on, keys=("f1",), slash="help",
            args="[topic]", footer="help"),
    Command("app.help_key", "Help", actions.show_help, keys=("question_mark",),
            applies=prompt.is_prompt_empty, shown_keys="?", in_palette=False),
    Command("app.quit", "Quit; running replies are kept as interrupted", actions.quit_app,
            keys=("ctrl+q",), slash="quit", aliases=("exit", "bye")),
    Command("app.quit_if_empty", "Quit when the prompt is empty", actions.quit_app,
            keys=("ctrl+d",), where="prompt", applies=prompt.is_prompt_empty,
            in_palette=False),
    # -- reading
    Command("chat.page_up", "Scroll a page up", actions.page_up, keys=("pageup",),
            in_palette=False),
    Command("chat.page_down", "Scroll a page down", actions.page_down, keys=("pagedown",),
            in_palette=False),
    Command("chat.line_up", "Scroll a line up", actions.line_up, keys=("shift+up",),
            where="prompt", applies=prompt.is_one_line, in_palette=False),
    Command("chat.line_down", "Scroll a line down", actions.line_down, keys=("shift+down",),
            where="prompt", applies=prompt.is_one_line, in_palette=False),
    Command("chat.top", "Scroll to the first message", actions.scroll_top, keys=("ctrl+home",),
            in_palette=False),
    Command("chat.bottom", "Scroll to the end and follow", actions.follow, keys=("ctrl+end",),
            in_palette=False),
    Command("chat.follow", "Go to the end and follow", actions.follow, keys=("end",),
            where="prompt", applies=prompt.at_end_of_prompt, in_palette=False),
    Command("chat.fold", "Fold long code and pastes, or show them whole", actions.fold_long,
            keys=("ctrl+o",)),
    Command("chat.cursor", "Message cursor", messages.start_cursor, keys=("alt+up",)),
    Command("app.next_area", "Prompt or messages", actions.next_area,
            keys=("tab", "shift+tab"), in_palette=False),
    # -- on a message
    Command("message.up", "Message above", messages.cursor_up, keys=("k", "up", "alt+up"),
            where="message", shown_keys="k ↑", in_palette=False),
    Command("message.down", "Message below", messages.cursor_down,
            keys=("j", "down", "alt+down"), where="message", shown_keys="j ↓",
            in_palette=False),
    Command("message.first", "First message", messages.cursor_first, keys=("g", "home"),
            where="message", in_palette=False),
    Command("message.last", "Last message", messages.cursor_last, keys=("G", "end"),
            where="message", in_palette=False),
    Command("message.copy", "Copy", messages.copy_message, keys=("y",), where="message",
            footer="copy", in_palette=False),
    Command("message.copy_code", "Copy its next code block", messages.copy_code, keys=("c",),
            where="message", in_palette=False),
    Command("message.fork", "Fork into a new session", messages.fork_here, keys=("f",),
            where="message", footer="fork", in_palette=False),
    Command("message.rewind", "Rewind to here", messages.rewind_here, keys=("w",),
            where="message", footer="rewind", in_palette=False),
    Command("message.retry_here", "Another reply", messages.retry_here, keys=("r",),
            where="message", footer="retry", in_palette=False),
    Command("message.blocks", "Light its blocks", messages.light_blocks, keys=("b",),
            where="message", in_palette=False),
    Command("message.previous_sibling", "Previous version", messages.previous_sibling,
            keys=("left",), where="message", in_palette=False),
    Command("message.next_sibling", "Next version", messages.next_sibling, keys=("right",),
            where="message", shown_keys="→", in_palette=False),
    Command("message.undo", "Undo", sessions.undo, keys=("u",), where="message", footer="undo",
            in_palette=False),
    *KEEPING_COMMANDS,
    *SETTING_COMMANDS,
    *SEARCH_COMMANDS,
    *TERMINAL_COMMANDS,
    *BRANCH_COMMANDS,
    *TOKEN_COMMANDS,
    *TREE_COMMANDS,
    *ASK_COMMANDS,
    *BLOCK_COMMANDS,
)  # fmt: skip


class Registry:
    """The commands with the user's keys, checked: raises InvalidArgument, naming the key."""

    def __init__(
        self,
        keys: Mapping[str, Iterable[str]] | None = None,
        commands: tuple[Command, ...] = COMMANDS,
    ) -> None:
        changed = {name: _keys_of(name, value) for name, value in (keys or {}).items()}
        known = {command.id for command in commands}
        for name in changed:
            if name not in known:
                raise InvalidArgument(f"[keys]: {_no_such(name, known, 'no command')}")
        self.commands = tuple(
            replace(command, keys=changed[command.id], shown_keys="")
            if command.id in changed
            else command
            for command in commands
        )
        self._by_id = {command.id: command for command in self.commands}
        self._by_slash = {
            word: command
            for command in self.commands
            if command.slash
            for word in (command.slash, *command.aliases)
        }
        self._check_keys()
        order: dict[Where, int] = {"prompt": 1, "chat": 2}
        self._by_key: dict[str, list[Command]] = {}
        for command in sorted(self.commands, key=lambda each: order.get(each.where, 0)):
            for key in command.keys:
                self._by_key.setdefault(key, []).append(command)

    def __getitem__(self, command_id: str) -> Command:
        return self._by_id[command_id]

    def _check_keys(self) -> None:
        taken: dict[tuple[Where, str], Command] = {}
        for command in self.commands:
            for key in command.keys:
                if key in NEVER_BOUND:
                    raise InvalidArgument(
                        f"[keys]: {command.id} cannot have {key}: {NEVER_BOUND[key]}."
                    )
                other = taken.setdefault((command.where, key), command)
                if other is not command:
                    raise InvalidArgument(
                        f"[keys]: {key} is bound to {other.id} and to {command.id}."
                    )

    def for_key(self, key: str) -> list[Command]:
        """Return the commands of a key, the most local first."""
        return self._by_key.get(key, [])

    def slash_matches(self, word: str) -> list[Command]:
        """Return the commands whose slash word or alias begins with `word`, once each."""
        found: dict[str, Command] = {}
        for name, command in self._by_slash.items():
            if name.startswith(word):
                found.setdefault(command.id, command)
        return sorted(found.values(), key=lambda each: (each.slash != word, each.slash))

    def parse_slash(self, text: str) -> tuple[Command, str]:
        """Return the command of a line that begins with a slash, and its argument.

        A unique prefix is enough. Raises InvalidArgument with suggestions.
        """
        word, _, args = text[1:].partition(" ")
        if "\n" in word:
            word, _, rest = word.partition("\n")
            args = f"{rest} {args}"
        word = word.lower()
        exact = self._by_slash.get(word)
        if exact is not None:
            return exact, args.strip()
        matches = self.slash_matches(word) if word else []
        if len(matches) == 1:
            return matches[0], args.strip()
        if matches:
            names = ", ".join(f"/{command.slash}" for command in matches[:6])
            raise InvalidArgument(f"/{word} could be {names}.")
        raise InvalidArgument(
            _no_such(word, set(self._by_slash), "no command", "/") + " To send it, write //."
        )

    def palette(self) -> list[Command]:
        """Return the commands the palette offers."""
        return [command for command in self.commands if command.in_palette or command.slash]

    def footer(self, where: Where, is_running: bool) -> list[tuple[str, str]]:
        """Return keys and short words for the footer, most useful first."""
        pairs = [
            (display_key(command.keys[0]), command.footer)
            for command in self.commands
            if command.footer and command.keys and command.where in (where, "chat")
            and (command.id != "app.back" or is_running or where == "message")
            and (command.where == where or where != "message" or command.id == "app.back")
        ]  # fmt: skip
        if where == "message":
            pairs = [(key, "back" if word == "stop" else word) for key, word in pairs]
            pairs[:0] = [("j k", "move"), ("← →", "versions")]
            pairs.sort(key=lambda pair: ["move", "versions", "back"].index(pair[1])
                       if pair[1] in ("move", "versions", "back") else 3)  # fmt: skip
        return pairs

    def view_footer(self, where: Where) -> list[tuple[str, str]]:
        """Return keys and short words for the footer of a view."""
        return [
            (command.shown_keys or display_key(command.keys[0]), command.footer)
            for command in self.commands
            if command.where == where and command.footer and command.keys
        ]


def _keys_of(command_id: str, written: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(key_named(key) for key in written)
    except InvalidArgument as error:
        raise InvalidArgument(f"[keys]: {command_id[:40]}: {error.sentence}") from error


def _no_such(name: str, known: set[str], what: str, prefix: str = "") -> str:
    close = difflib.get_close_matches(name, sorted(known), n=2)
    hint = f" Did you mean {' or '.join(prefix + each for each in close)}?" if close else ""
    return f"{prefix}{name[:40]} is {what}.{hint}"
