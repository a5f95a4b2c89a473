"""Notifier: tells the user that a reply has ended, only while the terminal is in the background.

By a bell, or by the notification sequence a terminal understands: OSC 9, or OSC 99 as in kitty.
What a sequence holds is cleaned, so no title can end it and go on as another command.
"""

import os
from typing import TYPE_CHECKING

from kvchat.tui.cells import shorten
from kvchat.tui.chat_state import title_of

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp
    from kvchat.tui.chat_state import SessionView

TITLE_CELLS = 60
OSC_9_PROGRAMS = ("iTerm.app", "WezTerm", "ghostty", "WarpTerminal")
BELL = "\x07"


class Notifier:
    """The notifications of one app, in the way the settings ask for."""

    def __init__(self, app: "KVChatApp", mode: str) -> None:
        self._app = app
        self._mode = chosen_mode(mode)

    def tell_ended(self, view: "SessionView") -> None:
        """Tell that a reply of this session has ended, unless the user sees the terminal."""
        if self._app.app_focus or self._mode == "off":
            return
        reply = view.session.reply
        if reply is not None and reply.finish_reason == "cancelled":
            return  # the user did that
        what = "has stopped with an error" if view.state_name == "ERROR" else "has answered"
        driver = self._app._driver
        if driver is not None:
            title = shorten(title_of(view.session), TITLE_CELLS)
            driver.write(sequence(self._mode, f"{title} {what}"))
            driver.flush()


def chosen_mode(mode: str) -> str:
    """Return what `auto` means in this terminal: its own notification, else the bell."""
    if mode != "auto":
        return mode
    if os.environ.get("TMUX") or os.environ.get("STY"):
        return "bell"  # they pass on no other sequence
    if os.environ.get("KITTY_WINDOW_ID"):
        return "osc99"
    return "osc9" if os.environ.get("TERM_PROGRAM") in OSC_9_PROGRAMS else "bell"


def sequence(mode: str, text: str) -> str:
    """Return what is written for one line of cleaned text."""
    if mode == "osc9":
        return f"\x1b]9;kvchat: {text}\x1b\\"
    if mode == "osc99":
        return f"\x1b]99;;kvchat: {text}\x1b\\"
    return BELL
