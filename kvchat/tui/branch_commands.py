"""Commands over one message and its versions."""

from kvchat.tui import branch_actions as branch
from kvchat.tui import context_actions as context
from kvchat.tui.command import Command

BRANCH_COMMANDS: tuple[Command, ...] = (
    Command("message.edit_last", "Change your last message and send it again",
            branch.edit_last, slash="edit",
            help="What was said stays beside it; /undo goes back."),
    Command("message.continue", "Let the last reply go on", branch.go_on, slash="continue"),
    Command("message.name", "Name this place in the tree", branch.label, slash="label",
            args="[NAME]"),
    Command("session.context", "What the model sees of this chat", context.show_context,
            slash="context"),
    Command("message.menu", "What can be done with it", branch.menu, keys=("enter",),
            where="message", in_palette=False),
    Command("message.edit", "Change its text, as a version beside it", branch.edit_here,
            keys=("e",), where="message", footer="edit", in_palette=False),
    Command("message.continue_here", "Go on at its end", branch.go_on_here,
            keys=("full_stop",), where="message", shown_keys=".", in_palette=False),
    Command("message.retry_with", "Another reply with other settings", branch.retry_with,
            keys=("R",), where="message", in_palette=False),
    Command("message.label", "Name this place", branch.label_here, keys=("l",),
            where="message", in_palette=False),
    Command("message.hide", "Hide it and all below it", branch.hide_here, keys=("d",),
            where="message", footer="hide", in_palette=False),
    Command("message.fold", "Fold it to a line, or unfold it", branch.fold_here,
            keys=("space",), where="message", in_palette=False),
    Command("message.info", "Tokens, seed, speed, reuse", branch.tell_about, keys=("i",),
            where="message", in_palette=False),
)  # fmt: skip
