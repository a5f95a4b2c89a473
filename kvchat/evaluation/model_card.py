"""The place of the report in a model card: between two comments that Markdown does not show."""

from collections.abc import Iterable
from pathlib import Path

from kvchat.durable_files import write_durably
from kvchat.errors import InvalidArgument

BEGIN = "<!-- python -m kvchat.evaluate begins -->"
END = "<!-- python -m kvchat.evaluate ends -->"


def write_into_card(path: Path, lines: Iterable[str]) -> None:
    """Replace what stands between the markers of a card; the rest stays as it is.

    Raises InvalidArgument when the file cannot be read or written, or has not each marker once.
    """
    before, after = check_card(path)
    mode = path.stat().st_mode
    text = before + "\n".join([BEGIN, "", *lines, "", END]) + after
    try:
        write_durably(path, text.encode())
        path.chmod(mode)  # a card is for everybody, unlike files of chats
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {_reason(error)}.") from error


def check_card(path: Path) -> tuple[str, str]:
    """Return what stands before and behind the markers of a card; raises InvalidArgument."""
    try:
        card = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} cannot be read: {_reason(error)}.") from error
    before, begins, rest = card.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends or BEGIN in rest or END in after:
        raise InvalidArgument(f"{path} needs a line '{BEGIN}' and, below it, a line '{END}'.")
    return before, after


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
