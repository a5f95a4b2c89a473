"""BlockSearch: blocks somebody wants, from whichever of their files holds them good."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from kvchat.kv.segments import FetchedBlocks, ManifestRow, SegmentLayout
from kvchat.store.segment_reader import ReadFile, SegmentReader, WantedBlock
from kvchat.store.segment_register import SegmentRegister

_LOG = logging.getLogger(__name__)


@dataclass
class SearchResult:
    """What was found, the files that were used for it, and those that are to be forgotten."""

    fetched: FetchedBlocks = field(default_factory=lambda: FetchedBlocks({}))
    names: set[str] = field(default_factory=set)
    rejected: list[str] = field(default_factory=list)


class BlockSearch:
    """Reads what the register knows; the segment thread's.

    A file that cannot be used is hidden in the register at once, and of a file with a damaged block
    that block, so that it is looked for elsewhere, now and later.
    """

    def __init__(self, register: SegmentRegister, reader: SegmentReader) -> None:
        self._register = register
        self._reader = reader

    def find(
        self,
        layout: SegmentLayout,
        wanted: Sequence[tuple[bytes, int]],
        block_size: int,
        result: SearchResult,
    ) -> None:
        """Look for blocks, given as (key, mask of layer groups); `result` says what came of it."""
        saved = self._register.saved(block_size)
        found: dict[tuple[bytes, int], tuple[memoryview, ...]] = {}
        missing = [
            (key, group)
            for key, groups in wanted
            for group in range(len(layout.groups))
            if groups >> group & 1
        ]
        losses: list[str] = []
        while missing:
            by_file: dict[str, list[WantedBlock]] = {}
            for key, group in missing:
                for name, place in saved.places(key, group):
                    if name in self._register:
                        by_file.setdefault(name, []).append((key, group, place))
                        break
            if not by_file:
                break
            files = [(self._register.row(name), blocks) for name, blocks in by_file.items()]
            for (row, _), file in zip(files, self._reader.read(layout, files), strict=True):
                found.update(file.blocks)
                if file.reason is not None:
                    result.rejected.append(row.name)
                    self._register.hide(row.name)
                losses += self._losses(row, file)
            result.names |= by_file.keys()
            missing = [place for place in missing if place not in found]
        result.fetched = FetchedBlocks(found, losses[0] if missing and losses else None)

    def _losses(self, row: ManifestRow, file: ReadFile) -> list[str]:
        """Hide what is damaged of a file; return what people are told."""
        losses = []
        if file.reason is not None:
            _LOG.warning("saved keys and values ignored (%s): %s", row.name[:8], file.reason)
            losses.append(file.loss or file.reason)
        for _, group, place in sorted(file.damaged, key=lambda block: block[2]):
            self._register.saved(row.block_size).lose(row.name, place, group)
            number = row.index.first_block + place
            losses.append(f"cache file damaged at block {number}")
            _LOG.warning(
                "saved keys and values ignored (%s): damaged at block %d", row.name[:8], number
            )
        return losses
