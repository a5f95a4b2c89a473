"""The entry of the command: it can be interrupted from the first moment on.

Imports next to nothing before it is called, so that an interrupt during the imports, which take
most of the time before the first frame, is an end like any other and no traceback.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in `kvchat`, whose reason holds here
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 130
"""What shells report for a command that an interrupt ended."""


def console() -> NoReturn:
    """Be the command `kvchat`; see `kvchat.cli.console`."""
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # and not ignored
    if is_ours:
        signal.signal(signal.SIGINT, _leave)
    from kvchat import cli

    try:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.console()
    except KeyboardInterrupt:  # before `main` could take it, or while it was ending
        os._exit(INTERRUPTED)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)
