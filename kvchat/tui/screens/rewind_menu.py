"""RewindMenu: the user's messages, newest first; choosing one rewinds to before it."""

from collections.abc import Sequence

from kvchat.tui.screens.picker import Choice, Picker


class RewindMenu(Picker[str]):
    """Returns the id of a user message, to be changed and sent again."""

    def __init__(self, choices: Sequence[Choice[str]], way_back: str) -> None:
        super().__init__("Rewind to before", choices, placeholder=f"nothing is lost: {way_back}")
