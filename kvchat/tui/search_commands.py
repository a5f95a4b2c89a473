"""Commands that find text in the shown chat or in all of them; the verbs are `search_actions`."""

from kvchat.tui import search_actions as search
from kvchat.tui.command import Command

SEARCH_COMMANDS: tuple[Command, ...] = (
    Command("chat.find", "Find in this chat", search.find, keys=("ctrl+f",), slash="find",
            args="[TEXT]", help="Enter goes to the last hit; n and N go on from there."),
    Command("chat.search", "Search all chats", search.search, slash="search", args="TEXT",
            help="Also ? and the words in the switcher."),
    Command("message.next_hit", "Next hit of a search", search.next_hit, keys=("n",),
            where="message", in_palette=False),
    Command("message.previous_hit", "Hit before", search.previous_hit, keys=("N",),
            where="message", in_palette=False),
    Command("message.find", "Find in this chat", search.find, keys=("slash",), where="message",
            shown_keys="/", in_palette=False),
)  # fmt: skip
