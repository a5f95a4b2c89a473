"""Commands that keep chats in files and on disk, or erase them; the verbs are `keeping_actions`."""

from kvchat.tui import keeping_actions as keeping
from kvchat.tui.command import Command
from kvchat.tui.completion import path_after

KEEPING_COMMANDS: tuple[Command, ...] = (
    Command("session.export", "Write this session to a file", keeping.export, slash="export",
            args="[md|json|html] [PATH]", complete=path_after(*keeping.FORMS),
            help="json holds the whole tree with exact token ids, for /import."),
    Command("message.export", "Write it and all below it to a file", keeping.export_from_here,
            keys=("x",), where="message", in_palette=False),
    Command("session.import", "Make a session of a file", keeping.import_file, slash="import",
            args="PATH", complete=path_after()),
    Command("session.save", "Write this session's memory to disk now", keeping.save,
            slash="save"),
    Command("session.unload", "Save this session and give its blocks to others",
            keeping.unload, slash="unload"),
    Command("session.load", "Bring its blocks back before they are needed", keeping.load,
            slash="load"),
    Command("session.close", "Put this session aside until the next start", keeping.close,
            slash="close", help="Its text stays; alt+z, or /undo, brings it back at once."),
    Command("app.purge", "Erase what is in the trash", keeping.purge, slash="purge",
            help="Asks first; this alone cannot be undone."),
)  # fmt: skip
