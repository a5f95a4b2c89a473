"""Where log lines go: to stderr beside a printed answer, to a file beside the app.

Log lines never hold chat text.
"""

import logging
import logging.handlers
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvchat import paths
from kvchat.errors import KVChatError

MAX_LOG_BYTES = 1 << 20


def log_path() -> Path:
    """Return the path of the log file, whether or not it exists."""
    return paths.log_dir() / "kvchat.log"


@contextmanager
def log_to_stderr(level: str) -> Iterator[None]:
    """Log one line each, without tracebacks unless they were asked for."""

    handler = logging.StreamHandler(sys.stderr)
    form = logging.Formatter if level == "debug" else _OneLine
    handler.setFormatter(form("kvchat: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def log_to_file(level: str) -> None:
    """Log beside the app, never into its screen; without a writable folder there is no log."""
    from kvchat.durable_files import private_dir

    try:
        private_dir(paths.log_dir())
        handler = logging.handlers.RotatingFileHandler(
            log_path(), maxBytes=MAX_LOG_BYTES, backupCount=1, delay=True
        )
    except (KVChatError, OSError):
        logging.disable(logging.CRITICAL)
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _OneLine(logging.Formatter):
    """Messages without their tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return self.formatMessage(logging.makeLogRecord({"message": record.getMessage()}))
