"""PrefixIndex: finds committed full blocks by what they hold.

A block's key chains over its parent's key, so equal keys mean equal tokens from position 0 on. The
idea is vLLM's automatic prefix caching; token ids are compared on every hit, so a collision of
hashes costs a comparison, never a wrong word. Plain Python, no tensors.
"""

from array import array
from collections.abc import Sequence
from hashlib import blake2b

ROOT_KEY = b"\0" * 16


def block_key(parent: bytes, token_ids: Sequence[int], salt: bytes) -> bytes:
    """Return the 16-byte key of a full block behind the block with key `parent`.

    `salt` names what else the block's content depends on: model, KV scheme, attention schedule.
    """
    digest = blake2b(parent, digest_size=16)
    digest.update(len(salt).to_bytes(4, "little") + salt)
    digest.update(array("q", token_ids).tobytes())
    return digest.digest()


class PrefixIndex:
    """Published blocks by key. A key lists all its resident blocks until the last one goes."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, list[int]] = {}
        self._entries: dict[int, tuple[bytes, tuple[int, ...]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, block: int) -> bool:
        return block in self._entries

    def publish(self, block: int, key: bytes, token_ids: Sequence[int]) -> None:
        """Make a full, committed block findable; it must never be written again."""
        assert block not in self._entries
        self._entries[block] = key, tuple(token_ids)
        self._blocks.setdefault(key, []).append(block)

    def forget(self, block: int) -> None:
        """Stop finding a block, before it is freed or written."""
        key, _ = self._entries.pop(block)
        blocks = self._blocks[key]
        blocks.remove(block)
        if not blocks:
            del self._blocks[key]

    def find(self, key: bytes, token_ids: Sequence[int]) -> int | None:
        """Return the oldest resident block with this key and exactly these tokens, or None."""
        for block in self._blocks.get(key, ()):
            if self._entries[block][1] == tuple(token_ids):
                return block
        return None

    def entry(self, block: int) -> tuple[bytes, tuple[int, ...]]:
        """Return key and token ids of a published block."""
        return self._entries[block]
