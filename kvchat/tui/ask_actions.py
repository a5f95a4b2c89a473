"""What the commands of asking several branches do; whom a line of /ask means."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument
from kvchat.tui.chat_state import SessionView
from kvchat.tui.message_actions import copy_exact
from kvchat.tui.prompt_actions import run_command
from kvchat.tui.screens.ask import AskScreen
from kvchat.tui.screens.text_question import TextQuestion
from kvchat.tui.session_actions import shown_view, started_runtime

if TYPE_CHECKING:
    from kvchat.tui.command import Run
    from kvchat.tui.screens.chat import ChatScreen

DEFAULT_ANSWERS = 3
MAX_ANSWERS = 16
SETTINGS_HINT = "temperature=0.9 top_p=0.95 seed=7"


def ask(chat: "ChatScreen", args: str) -> None:
    """Open the view for one question to several branches."""
    view = shown_view(chat)
    who, _, text = args.partition(" ")
    if who.isdecimal():
        if not 1 <= int(who) <= MAX_ANSWERS:
            raise InvalidArgument(f"{who[:20]} answers at once are not 1 to {MAX_ANSWERS}.")
        ask_new(chat, view, int(who), text.strip())
        return
    family = family_of(chat, view)
    if who == "all":
        ask_these(chat, family, text.strip())
    elif not who:
        text = chat.prompt.exact_text
        chat.prompt.set_exact_text("")
        if len(family) > 1:
            ask_these(chat, family, text)
        else:
            ask_new(chat, view, DEFAULT_ANSWERS, text)
    else:
        ask_these(chat, [_named(chat, name) for name in who.split(",") if name], text.strip())


def ask_new(chat: "ChatScreen", view: SessionView, count: int, text: str) -> None:
    """Ask for several answers to one new message, each in a fork of its own."""
    chat.app.push_screen(AskScreen(started_runtime(chat), [view], text, num_new=count))


def ask_these(chat: "ChatScreen", views: list[SessionView], text: str) -> None:
    """Ask sessions that are already there."""
    chat.app.push_screen(AskScreen(started_runtime(chat), views, text))


def family_of(chat: "ChatScreen", view: SessionView) -> list[SessionView]:
    """Return the visible sessions that share messages with one, itself first."""
    tree = view.session.tree()
    ids = {session_id for node in tree.nodes.values() for session_id in node.session_ids}
    others = [each for each in chat.state.listed if each is not view and each.session.id in ids]
    return [view, *others]


def _named(chat: "ChatScreen", name: str) -> SessionView:
    wanted = name.casefold()
    for view in chat.state.listed:
        label = labels_of(view)
        if wanted in (view.session.tag.casefold(), view.session.title.casefold(), *label):
            return view
    raise InvalidArgument(
        f"There is no branch {name[:40]}; write /ask 4 TEXT, /ask all TEXT or /ask A,B TEXT."
    )


def labels_of(view: SessionView) -> list[str]:
    """Return the label of the place a session stands on, folded, if it has one."""
    if not view.session.num_messages:
        return []
    label = view.session.messages[-1].label
    return [label.casefold()] if label else []


def on_ask(act: Callable[[AskScreen], None]) -> "Run":
    """Return a command that does something in the open view."""

    def run(chat: "ChatScreen", _args: str) -> None:
        screen = chat.app.screen
        if isinstance(screen, AskScreen):
            act(screen)

    return run


def choose_by_digit(chat: "ChatScreen", key: str) -> None:
    """Choose the branch with the number of the key."""
    screen = chat.app.screen
    if isinstance(screen, AskScreen) and key.isdecimal():
        screen.choose(int(key) - 1)


def again_with(screen: AskScreen) -> None:
    """Ask for the settings of another answer."""

    def answered(words: str | None) -> None:
        if words:
            command = screen.app.registry["ask.again"]
            run_command(screen.app.chat, command, words)

    screen.app.push_screen(TextQuestion("Answer again with", placeholder=SETTINGS_HINT), answered)


def again(chat: "ChatScreen", words: str) -> None:
    """Answer again; `words` are settings, or the key that was pressed."""
    screen = chat.app.screen
    if isinstance(screen, AskScreen):
        screen.again(words if "=" in words else "")


def keep_under_label(screen: AskScreen) -> None:
    """Ask for the name of this answer."""
    branch = screen.chosen
    if branch is None or branch.reply is None:
        return

    def answered(name: str | None) -> None:
        if name is not None:
            screen.name_chosen(name)

    screen.app.push_screen(TextQuestion("Name this answer", branch.label or ""), answered)


def copy_chosen(screen: AskScreen) -> None:
    """Copy the answer of the chosen branch."""
    if screen.chosen is not None:
        copy_exact(screen.app.chat, screen.chosen.text)
