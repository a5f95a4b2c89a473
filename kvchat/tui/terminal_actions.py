"""What the commands do with the terminal itself: draw it again, lend it the mouse; and the log."""

from typing import TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

from kvchat.log_output import log_path
from kvchat.tui.screens.log_view import LogView
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen


def redraw(chat: "ChatScreen", _args: str) -> None:
    """Draw everything again, over whatever another program has written."""
    chat.restyle()
    for screen in chat.app.screen_stack:
        for widget in screen.query(LineWidget):
            widget.notify_style_update()
        screen.refresh(layout=True)


def toggle_mouse(chat: "ChatScreen", _args: str) -> None:
    """Leave the mouse to the terminal, whose own selection then works, or take it again."""
    driver = chat.app._driver
    if not isinstance(driver, LinuxDriver):
        chat.notice("This terminal has no mouse.")
    elif driver._mouse:
        driver._disable_mouse_support()
        driver._mouse = False
        driver.flush()
        chat.notice("The mouse selects text now, as the terminal does it; f9 takes it back.")
    else:
        driver._mouse = True
        driver._enable_mouse_support()
        chat.notice("The mouse is kvchat's again: click, scroll, hover.")


def show_log(chat: "ChatScreen", _args: str) -> None:
    """Show the end of the log file."""
    chat.app.push_screen(LogView(log_path()))
