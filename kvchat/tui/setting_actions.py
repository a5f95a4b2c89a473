"""What the commands do to settings: of the shown session, of the app, and of their file."""

import asyncio
from typing import TYPE_CHECKING

from kvchat import paths
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.settings import load_settings, save_setting
from kvchat.settings_file import create_settings_file
from kvchat.tui.attachments import read_attachment
from kvchat.tui.background import run_in_background
from kvchat.tui.external_editor import edit_file
from kvchat.tui.figures import count_of, token_count
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.confirm import ask_first
from kvchat.tui.screens.help import Help
from kvchat.tui.screens.picker import Choice
from kvchat.tui.screens.settings_form import SAMPLING, SessionSettings, SettingsForm
from kvchat.tui.screens.theme_picker import ThemePicker
from kvchat.tui.session_actions import shown_view, started_runtime
from kvchat.tui.themes import THEME_NAMES
from kvchat.tui.typed_values import list_of_texts, parse_value, text_of_value

if TYPE_CHECKING:
    from kvchat.session.session import Session
    from kvchat.tui.screens.chat import ChatScreen


# -- of the session ------------------------------------------------------------------------


def show_form(chat: "ChatScreen", _args: str) -> None:
    """Show and change everything that belongs to the session."""
    session = shown_view(chat).session

    def chosen(wanted: SessionSettings | None) -> None:
        if wanted is not None:
            try:
                apply_settings(session, wanted)
            except KVChatError as error:
                chat.notice(error.sentence, "error")
            chat.sync()

    chat.app.push_screen(SettingsForm(session, lambda: cost_words(session)), chosen)


def apply_settings(session: "Session", wanted: SessionSettings) -> None:
    """Change what differs; raises KVChatError for what cannot be, before anything else changes."""
    sinks = wanted.sinks if wanted.window is not None else None
    same_sinks = sinks is None or (session.window is not None and sinks == session.sinks)
    if wanted.window != session.window or not same_sinks:
        session.set_window(wanted.window, None if same_sinks else sinks)
    if wanted.system != session.system:
        session.set_system(wanted.system)
    if wanted.sampling != session.sampling:
        session.set_sampling(wanted.sampling)
    if wanted.title and wanted.title != session.title:
        session.rename(wanted.title)


def cost_words(session: "Session") -> str:
    """Return what reading the whole chat again takes, in tokens and, where known, seconds."""
    stats = session.stats()
    words = f"The next message reads this chat again: {count_of(stats.num_tokens, 'token')}"
    speed = stats.prefill_tokens_per_second
    return f"{words}, about {stats.num_tokens / speed:.1f} s." if speed else f"{words}."


def set_sampling(chat: "ChatScreen", args: str) -> None:
    """Change one sampling setting, or show all of them."""
    session = shown_view(chat).session
    if not args:
        show_params(chat, "")
        return
    name, _, value = args.replace("=", " ", 1).partition(" ")
    value = value.strip()
    parsed = parse_value(value)
    if name == "stop":
        parsed = tuple(text.strip("\"'") for text in list_of_texts(value)) if parsed else ()
    session.set_sampling(session.sampling.with_values({name: parsed}))
    chat.notice(f"{name} is {value or 'off'} from the next reply on.")


def show_params(chat: "ChatScreen", _args: str) -> None:
    """Show the sampling settings of the session."""
    session = shown_view(chat).session
    lines = [
        f"  {name:<20} {text_of_value(getattr(session.sampling, name)) or '-':<10} {hint}"
        for name, _, hint in SAMPLING
    ]
    lines += ["", "  /set NAME VALUE changes one, F2 shows a form."]
    chat.app.push_screen(Help("Sampling of this session", [safe_line(line) for line in lines]))


def complete_sampling(typed: str) -> list[str]:
    """Return the names of sampling settings that begin so."""
    return [f"{name} " for name, _, _ in SAMPLING if name.startswith(typed.lower())]


def set_system(chat: "ChatScreen", args: str) -> None:
    """Show the system prompt, or change it: a text, `@file`, or `off`; the cost is asked first."""
    session = shown_view(chat).session
    if not args:
        lines = (session.system or "This session has no system prompt.").split("\n")
        chat.app.push_screen(Help("System prompt", lines))
        return
    text = read_attachment(args[1:].strip())[1] if args.startswith("@") else args
    wanted = None if text.strip().lower() == "off" else text

    def change(agreed: bool | None) -> None:
        if not agreed:
            return
        session.set_system(wanted)
        chat.sync()
        chat.notice("From the next message on the model is told that." if wanted else "No more.")

    if session.num_messages:
        ask_first(chat, f"{cost_words(session)} Change it?", "change", change)
    else:
        change(True)


def restart(chat: "ChatScreen", _args: str) -> None:
    """Start a stopped engine again; the model is loaded while everything else goes on."""
    runtime = started_runtime(chat)

    async def start() -> None:
        try:
            await asyncio.to_thread(runtime.restart)  # waits until the old one is gone
        except KVChatError as error:
            chat.notice(error.sentence, "error")
            return
        chat.notice("The model is being loaded again; replies that stopped: /retry or /continue.")
        chat.sync()

    run_in_background(chat, start)


def show_model(chat: "ChatScreen", args: str) -> None:
    """Say which model talks, where and in which precision; it is chosen at start."""
    if args:
        raise InvalidArgument("The model is chosen at start: kvchat --model DIR, or in /config.")
    status = started_runtime(chat).status()
    words = f"{status.model_name}: {status.weights} weights on {status.device}, {status.kernel}"
    chat.notice(f"{words}, {token_count(status.context_tokens)} tokens of context.", seconds=8)


# -- of the app ----------------------------------------------------------------------------


def switch_theme(chat: "ChatScreen", args: str) -> None:
    """Take the named theme and keep it; without a name choose one, seeing each as it is."""
    before = chat.app.theme
    names = {theme: name for name, theme in THEME_NAMES.items()}
    if args:
        if args not in THEME_NAMES:
            raise InvalidArgument(f"{args[:40]} is no theme; there are {', '.join(THEME_NAMES)}.")
        _keep_theme(chat, args)
        return

    def chosen(name: str | None) -> None:
        chat.app.theme = before
        if name is not None:
            _keep_theme(chat, name)

    choices = [Choice(name, name, is_current=theme == before) for theme, name in names.items()]
    chat.app.push_screen(ThemePicker(choices, names[before]), chosen)


def _keep_theme(chat: "ChatScreen", name: str) -> None:
    chat.app.theme = THEME_NAMES[name]
    try:
        save_setting(paths.settings_path(), "theme", name)
    except (KVChatError, OSError):
        chat.notice(f"The theme is {name} now; settings.toml cannot be written.", "error")
    else:
        chat.notice(f"The theme is {name}, also next time.")


def open_config(chat: "ChatScreen", _args: str) -> None:
    """Change settings.toml in the user's editor, and check it; it counts from the next start."""
    from kvchat.tui.commands import Registry

    path = paths.settings_path()
    create_settings_file()
    if not edit_file(chat.app, path):
        raise KVChatError("The editor ended with an error.")
    Registry(load_settings(path).keys)
    chat.notice(f"{path.name} is fine; it counts from the next start on.", seconds=8)
