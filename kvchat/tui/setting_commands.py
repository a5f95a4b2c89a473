"""Commands that change settings, of a session and of the app; the verbs are `setting_actions`."""

from kvchat.tui import setting_actions as settings
from kvchat.tui.actions import show_help
from kvchat.tui.command import Command
from kvchat.tui.completion import one_of
from kvchat.tui.themes import THEME_NAMES

SETTING_COMMANDS: tuple[Command, ...] = (
    Command("session.settings", "Title, system prompt, sampling, window", settings.show_form,
            keys=("f2",), footer="settings"),
    Command("session.sampling", "Change how this session samples", settings.set_sampling,
            slash="set", args="[NAME VALUE]", complete=settings.complete_sampling,
            help="temperature, top_k, top_p, min_p, repetition_penalty, seed, max_tokens, stop"),
    Command("session.params", "Sampling of this session", settings.show_params, slash="params"),
    Command("session.system", "System prompt of this session", settings.set_system,
            slash="system", args="[TEXT|@FILE|off]",
            help="A changed one is read before everything else, so the chat is read again."),
    Command("app.model", "Which model talks", settings.show_model, slash="model"),
    Command("app.restart", "Start the model again after it stopped working", settings.restart,
            slash="restart", help="The status line says when; all chats are stored meanwhile."),
    Command("view.theme", "Colors", settings.switch_theme, slash="theme", args="[dark|light]",
            complete=one_of(*THEME_NAMES)),
    Command("app.config", "Change settings.toml in your editor", settings.open_config,
            slash="config", help="Checked afterwards; it counts from the next start on."),
    Command("app.keys", "Every key, and the name to give it another", show_help, slash="keys"),
)  # fmt: skip
