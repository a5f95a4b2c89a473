"""SegmentStore: what residency needs of the disk; `store.segment_thread` provides it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from kvchat.kv.segments import FetchedBlocks, Segment


class SegmentStore(Protocol):
    """Where blocks are saved. Nothing here waits for a disk; for any thread.

    Lookups are among blocks of `block_size` tokens, None meaning the pool's.
    """

    @property
    def room_bytes(self) -> int:
        """Bytes that can be handed over now; the first of them may be more."""

    def other_sizes(self) -> Sequence[int]:
        """Return sizes of blocks, other than the pool's, in which something is saved."""

    def groups(self, key: bytes) -> int:
        """Return a mask of the layer groups in which a block is saved or about to be."""

    def find(self, key: bytes, token_ids: tuple[int, ...], block_size: int | None = None) -> int:
        """Return the same mask for the block with this key and exactly these tokens."""

    def find_tail(
        self, stem: bytes, token_ids: Sequence[int], block_size: int | None = None
    ) -> tuple[bytes, int, int] | None:
        """Return key, common length and groups of the saved block most like these tokens."""

    def save(
        self, owner: str, segments: Sequence[Segment], keys: Sequence[bytes]
    ) -> "Future[bool] | None":
        """Write segments of a sequence whose blocks have these keys; None: no room now.

        Without keys it uses them besides what it uses already.
        """

    def fetch(
        self,
        owner: str,
        wanted: Sequence[tuple[bytes, int]],
        on_done: Callable[[FetchedBlocks], None],
        block_size: int | None = None,
    ) -> None:
        """Read blocks by key and mask of groups; `on_done` gets those proved good, any thread."""

    def explain(self, owner: str) -> None:
        """Say in the log why what was saved of a sequence cannot be used, if anything was."""
