"""PrefixIndex: finds committed full blocks by what they hold.

A block's key chains over its parent's key, so equal keys mean equal tokens from position 0 on. The
idea is vLLM's automatic prefix caching; token ids are compared on every hit, so a collision of
hashes costs a comparison, never a wrong word. Plain Python, no tensors.
"""

from array import array
from collections.abc import Callable, KeysView, Sequence
from hashlib import blake2b

ROOT_KEY = b"\0" * 16
_COMPARED_AT_ONCE = 512
"""Tokens that are compared by one operation of the interpreter, as most of a chat are equal."""


def block_key(parent: bytes, token_ids: Sequence[int], salt: bytes) -> bytes:
    """Return the 16-byte key of a full block behind the block with key `parent`.

    `salt` names what else the block's content depends on: model, KV scheme, attention schedule.
    """
    digest = blake2b(parent, digest_size=16)
    digest.update(len(salt).to_bytes(4, "little") + salt)
    digest.update(array("q", token_ids).tobytes())
    return digest.digest()


def num_equal(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two lists have in common at their beginning."""
    start, end = 0, min(len(first), len(second))
    while start < end:
        behind = min(start + _COMPARED_AT_ONCE, end)
        piece, other = first[start:behind], second[start:behind]
        if tuple(piece) != tuple(other):
            pairs = zip(piece, other, strict=True)
            return start + next(place for place, (one, two) in enumerate(pairs) if one != two)
        start = behind
    return end


class PrefixIndex:
    """Published blocks by key. A key lists all its resident blocks until the last one goes.

    The children of a key are the blocks published behind the block that has it. Siblings often
    begin alike, as two answers to one question do, so a prompt that matches none of them to its end
    can still take over the beginning of one.
    """

    def __init__(self) -> None:
        self._blocks: dict[bytes, list[int]] = {}
        self._entries: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        self._parents: dict[int, bytes] = {}
        self._children: dict[bytes, dict[int, None]] = {}  # sets in order of publication
        self._num_twinned = 0  # keys with several blocks
        self.num_published = 0
        """How many blocks were ever published; a search that failed can be spared until it grows"""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, block: int) -> bool:
        return block in self._entries

    @property
    def published(self) -> KeysView[int]:
        """The published blocks, as a view that follows changes."""
        return self._entries.keys()

    @property
    def has_twins(self) -> bool:
        """Say whether `twin` can find anything for any block."""
        return self._num_twinned > 0

    def publish(
        self, block: int, key: bytes, token_ids: Sequence[int], parent: bytes = ROOT_KEY
    ) -> None:
        """Make a full, committed block findable; it must never be written again.

        `parent` is the key of the block before it.
        """
        assert block not in self._entries
        self._entries[block] = key, tuple(token_ids)
        self.num_published += 1
        blocks = self._blocks.setdefault(key, [])
        blocks.append(block)
        self._num_twinned += len(blocks) == 2
        self._parents[block] = parent
        self._children.setdefault(parent, {})[block] = None

    def forget(self, block: int) -> None:
        """Stop finding a block, before it is freed or written."""
        key, _ = self._entries.pop(block)
        blocks = self._blocks[key]
        blocks.remove(block)
        self._num_twinned -= len(blocks) == 1
        if not blocks:
            del self._blocks[key]
        parent = self._parents.pop(block)
        siblings = self._children[parent]
        del siblings[block]
        if not siblings:
            del self._children[parent]

    def move(self, block: int, copy: int) -> None:
        """Find `copy`, which holds the same, instead of a block that is about to be freed."""
        assert copy not in self._entries
        key, _ = self._entries[block]
        parent = self._parents.pop(block)
        self._entries[copy] = self._entries.pop(block)
        self._parents[copy] = parent
        blocks = self._blocks[key]
        blocks[blocks.index(block)] = copy
        siblings = self._children[parent]
        del siblings[block]
        siblings[copy] = None

    def twin(self, block: int) -> int | None:
        """Return another block that holds the same, or None."""
        key, tokens = self._entries[block]
        for other in self._blocks[key]:
            if other != block and self._entries[other][1] == tokens:
                return other
        return None

    def find(self, key: bytes, token_ids: Sequence[int]) -> int | None:
        """Return the oldest resident block with this key and exactly these tokens, or None."""
        for block in self._blocks.get(key, ()):
            if self._entries[block][1] == tuple(token_ids):
                return block
        return None

    def find_beginning(
        self, parent: bytes, token_ids: Sequence[int], key_of: Callable[[Sequence[int]], bytes]
    ) -> tuple[int, int] | None:
        """Return the child of `parent` that begins with most of `token_ids`, and how many tokens.

        key_of  gives the key that a child of these tokens must have, so that one whose content
                depends on something else, as another window, is passed over

        None if no child begins with the first token. Looks at every child once.
        """
        found = None
        num_common = 0
        for block in self._children.get(parent, ()):
            key, tokens = self._entries[block]
            count = num_equal(tokens, token_ids)
            if count > num_common and key == key_of(tokens):
                found, num_common = block, count
        return None if found is None else (found, num_common)

    def children(self, parent: bytes) -> tuple[int, ...]:
        """Return the published blocks behind the block with this key, oldest first."""
        return tuple(self._children.get(parent, ()))

    def entry(self, block: int) -> tuple[bytes, tuple[int, ...]]:
        """Return key and token ids of a published block."""
        return self._entries[block]
