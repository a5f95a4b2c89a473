"""What the commands do to find sessions and text: in the shown chat, and in all of them."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.background import run_in_background
from kvchat.tui.cells import shorten
from kvchat.tui.chat_state import mark_of, title_of
from kvchat.tui.figures import token_count
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.picker import Choice
from kvchat.tui.screens.switcher import Place, SearchResults, Switcher
from kvchat.tui.session_actions import shown_view, started_runtime, way_back
from kvchat.tui.themes import NUM_HUES
from kvchat.tui.widgets.find_bar import FindBar

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen

TITLE_CELLS = 24


def has_find(chat: "ChatScreen", _key: str) -> bool:
    """Whether hits are marked."""
    return chat.find.is_active


def switch_session(chat: "ChatScreen", _args: str) -> None:
    """Open the switcher."""
    listed = chat.state.listed
    glyphs = chat.app.glyphs
    choices = []
    for view in chat.state.by_recency:
        session = view.session
        stats = session.stats()
        mark = mark_of(view, glyphs)[0]
        note = f"{token_count(stats.num_tokens)} tok"
        choices.append(
            Choice(
                title_of(session),
                Place(session.id),
                note=f"{mark}  {note}" if mark else note,
                style=f"hue{session.hue_index % NUM_HUES}",
                mark=f"{listed.index(view) + 1} {session.tag}",
                is_current=view is chat.view,
            )
        )

    async def search_all(words: str) -> Sequence[Choice[Place]]:
        return await search_choices(chat, words)

    chat.app.push_screen(Switcher(choices, search_all), lambda place: go_to(chat, place))


def find(chat: "ChatScreen", args: str) -> None:
    """Search the shown chat while typing, or for the text that was given."""
    shown_view(chat)
    if not args:
        chat.query_one(FindBar).open()
        return
    chat.find.look_for(args)
    if chat.find.message_id is None:
        chat.find.close()
        raise InvalidArgument("Not found in this chat; /search looks in all of them.")
    chat.stand_on(chat.find.message_id)
    chat.find.step(0)
    chat.notice(f"Hit {chat.find.count_words}; n and N go on, esc ends.", seconds=8)


def next_hit(chat: "ChatScreen", _args: str) -> None:
    """Go to the hit below."""
    _step(chat, 1)


def previous_hit(chat: "ChatScreen", _args: str) -> None:
    """Go to the hit above."""
    _step(chat, -1)


def _step(chat: "ChatScreen", step: int) -> None:
    if not chat.find.is_active:
        chat.notice("Nothing is searched for; ^f starts.")
        return
    chat.find.step(step)
    if chat.find.message_id is not None:
        chat.stand_on(chat.find.message_id)
        chat.find.step(0)
    chat.notice(f"Hit {chat.find.count_words}", seconds=8)


def search(chat: "ChatScreen", args: str) -> None:
    """List the messages of all chats that hold the words, and go to the chosen one."""
    started_runtime(chat)
    if not args:
        raise InvalidArgument("Say what to search for: /search words.")

    async def show() -> None:
        choices = await search_choices(chat, args)
        if choices:
            chat.app.push_screen(SearchResults(args, choices), lambda place: go_to(chat, place))
        else:
            chat.notice("No chat says that.")

    run_in_background(chat, show)


async def search_choices(chat: "ChatScreen", words: str) -> Sequence[Choice[Place]]:
    """Return what a search in all chats finds, the newest first; asks the store off this thread."""
    runtime = started_runtime(chat)
    try:
        hits = await asyncio.to_thread(runtime.search, words)
    except KVChatError as error:
        chat.notice(error.sentence, "error")
        return []
    choices = []
    for hit in hits:
        view = chat.state.views.get(hit.session_id)
        if view is None or hit.session_id in chat.state.deleted:
            continue
        who = "you" if hit.role == "user" else view.session.tag
        title = shorten(safe_line(hit.title).strip() or "new chat", TITLE_CELLS)
        choices.append(
            Choice(
                safe_line(hit.snippet),
                Place(hit.session_id, hit.message_id, words),
                note=title,
                style=f"hue{view.session.hue_index % NUM_HUES}" if hit.role != "user" else "",
                mark=f"{who}:",
            )
        )
    return choices


def go_to(chat: "ChatScreen", place: Place | None) -> None:
    """Show a session, and the message in it where a search found something."""
    if place is None or place.session_id not in chat.state.views:
        return
    view = chat.state.views[place.session_id]
    chat.show_session(view)
    if place.message_id is None:
        return
    session = view.session
    if all(message.id != place.message_id for message in session.messages):
        session.show_sibling(place.message_id)
        chat.sync()
        chat.notice(f"That is on another branch, shown now; {way_back(chat)}.", seconds=8)
    words = place.words.split()
    chat.find.look_for(place.words, place.message_id)
    if chat.find.message_id != place.message_id and words:  # the words stand apart
        chat.find.look_for(words[0], place.message_id)
    chat.stand_on(place.message_id)
    chat.find.step(0)
