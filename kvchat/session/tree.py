"""Tree: the whole family of a session: all messages, their names, and standing anywhere in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from kvchat.errors import InvalidArgument
from kvchat.session.alternatives import Alternatives
from kvchat.session.branching import Branching
from kvchat.session.message import Message, MessageNode


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One message of a tree, with what hangs on it."""

    message: Message
    children: tuple[str, ...]
    """Ids of the messages below it, oldest first."""
    label: str | None
    session_ids: tuple[str, ...]
    """The sessions that stand on it."""


@dataclass(frozen=True, slots=True)
class MessageTree:
    """All messages that belong together, at the moment they were asked for; hidden ones left out.

    A hidden message is there where a session stands on it or below it.
    """

    roots: tuple[str, ...]
    """Ids of the first messages, oldest first."""
    nodes: Mapping[str, TreeNode]


class Tree(Branching, Alternatives):
    """A conversation that knows its family; a part of Session."""

    def tree(self) -> MessageTree:
        """Return all messages of this session and of every session it shares messages with.

            tree = chat.tree()
            for root in tree.roots:
                print(tree.nodes[root].message.text, len(tree.nodes[root].children))

        The tree does not change afterwards; ask again for a newer one.
        """
        tree_id = self.tree_id
        # Read without the lock, so that nobody waits for a large tree.
        rows = self._host.save(lambda database: database.load_tree(tree_id)).result()
        with self._host.lock:
            self._check_open()
            nodes = {node.id: node for node in self._host.adopt(rows)}
            standing: dict[str, list[str]] = {}
            kept: set[str] = set()
            for session in self._host.sessions_of_tree(tree_id):
                # A reply that is about to begin has no row yet.
                nodes |= {node.id: node for node in session._path or ()}
                tip_id = session._path[-1].id if session._path else session._row.tip_id
                if tip_id is not None:
                    standing.setdefault(tip_id, []).append(session.id)
                while tip_id is not None and tip_id not in kept:
                    kept.add(tip_id)
                    tip_id = nodes[tip_id].parent_id
            shown = _shown(nodes, kept)
            children: dict[str | None, list[str]] = {}
            for node in shown:
                children.setdefault(node.parent_id, []).append(node.id)
            return MessageTree(
                tuple(children.get(None, ())),
                {
                    node.id: TreeNode(
                        node.message(),
                        tuple(children.get(node.id, ())),
                        node.label,
                        tuple(standing.get(node.id, ())),
                    )
                    for node in shown
                },
            )

    def label(self, name: str | None, message_id: str | None = None) -> None:
        """Name a place in the tree, by default where the session stands; None takes it away.

        All sessions that share the message see the name. Raises InvalidArgument for a message of
        another chat, or where there is none yet.
        """
        label = " ".join(self._host.storable(name).split()) if name is not None else ""
        with self._host.lock:
            self._check_open()
            path = self._nodes() if message_id is None else self._find(message_id)
            if not path:
                raise InvalidArgument("There is no message to name yet.")
            node = path[-1]
            node.label = label or None
            self._host.save(lambda database: database.set_label(node.id, label or None))

    def visit(self, message_id: str) -> None:
        """Stand on the last tip visited below a message, else on the newest one there; see `undo`.

        Does nothing where the session stands below that message already. Cancels a running reply.
        Raises InvalidArgument for a message of another chat.
        """
        with self._host.lock:
            self._check_open()
            if any(node.id == message_id for node in self._nodes()):
                return
            node, session_id = self._find(message_id)[-1], self.id
            self._stop_and_detach()
            row = node.row()
            tip_id = self._host.save(
                lambda database: database.last_tip_below(session_id, row)
            ).result()
            self._go_to(self._find(tip_id))

    def hide(self, message_id: str) -> None:
        """Hide a message and all below it; `undo` brings it back.

        A session that stands on it or below it moves to its parent, and its running reply is
        cancelled; other sessions stay where they are. Raises InvalidArgument for a message of
        another chat.
        """
        with self._host.lock:
            self._check_open()
            path = self._find(message_id)
            node, session_id, nodes = path[-1], self.id, path[:-1]
            is_on_path = node in self._nodes()
            if is_on_path:
                self._stop_and_detach()
            tip_id = nodes[-1].id if nodes else None
            node.is_hidden = True
            # Elsewhere the tip stays: it may be a reply whose row the store does not have yet.
            self._host.save(
                lambda database: database.hide_message(
                    session_id, node.id, tip_id, moves_tip=is_on_path
                )
            ).result()
            if is_on_path:
                self._stand_on(nodes)
                self._host.rewind(self._row, self._reading(nodes))


def _shown(nodes: Mapping[str, MessageNode], kept: set[str]) -> list[MessageNode]:
    """Return the nodes that are not hidden, nor below a hidden one; those in `kept` always are."""
    shown: dict[str, MessageNode] = {}
    for node in nodes.values():  # parents come first
        is_below_shown = node.parent_id is None or node.parent_id in shown
        if node.id in kept or (is_below_shown and not node.is_hidden):
            shown[node.id] = node
    return list(shown.values())
