"""Blocks are looked for in one file after the other, until they are good or nowhere."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvchat.kv.segments import ManifestRow, Segment, encode
from kvchat.store.block_search import BlockSearch, SearchResult
from kvchat.store.segment_folder import SegmentFolder
from kvchat.store.segment_reader import SegmentReader
from kvchat.store.segment_register import SegmentRegister
from tests.store.segment_workload import LAYOUT, make_segment

SECRET = bytes(32)


class Files:
    """A folder, and what is known of it."""

    def __init__(self, directory: Path) -> None:
        self.folder = SegmentFolder(directory)
        self.register = SegmentRegister()
        self.register.open(LAYOUT, [], {})
        self.reader = SegmentReader(self.folder, SECRET)
        self.search = BlockSearch(self.register, self.reader)

    def write(self, segment: Segment) -> ManifestRow:
        row, content = encode(LAYOUT, segment, SECRET)
        self.folder.write(row.name, content)
        self.register.add(row)
        return row

    def flip(self, row: ManifestRow, place: int) -> None:
        path = self.folder.path / row.name
        content = bytearray(path.read_bytes())
        content[8 + int.from_bytes(content[:8], "little") + 64 * place + 5] ^= 1
        path.write_bytes(content)

    def find(self, keys: tuple[bytes, ...]) -> SearchResult:
        result = SearchResult()
        self.search.find(LAYOUT, [(key, 1) for key in keys], LAYOUT.block_size, result)
        return result


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = Files(tmp_path / "kv")
    yield files
    files.reader.close()


def part(segment: Segment, first: int, behind: int) -> Segment:
    """Some of a segment's blocks, as another file would hold them."""
    index = segment.index
    return Segment(
        replace(
            index,
            first_block=index.first_block + first,
            keys=index.keys[first:behind],
            stems=index.stems[first:behind],
            token_ids=index.token_ids[first:behind],
            places=(tuple(range(behind - first)),),
        ),
        ((segment.arrays[0][0][64 * first : 64 * behind],),),
    )


def test_each_block_comes_from_a_file_that_holds_it_good(files: Files) -> None:
    whole = make_segment(1, num_blocks=4)
    rows = [files.write(each) for each in (whole, part(whole, 1, 3), part(whole, 2, 4))]
    files.flip(rows[0], 1)
    files.flip(rows[0], 2)
    files.flip(rows[1], 1)
    result = files.find(whole.index.keys)
    assert len(result.fetched.blocks) == 4 and result.fetched.loss is None
    assert result.names == {row.name for row in rows} and result.rejected == []
    for place, key in enumerate(whole.index.keys):
        expected = whole.arrays[0][0][64 * place : 64 * place + 64]
        assert bytes(result.fetched.blocks[key, 0][0]) == expected


def test_the_first_damaged_block_that_is_nowhere_else_is_named(files: Files) -> None:
    whole = make_segment(1, first_block=10, num_blocks=4)
    row = files.write(whole)
    for place in (3, 1):
        files.flip(row, place)
    result = files.find(whole.index.keys)
    assert len(result.fetched.blocks) == 2
    assert result.fetched.loss == "cache file damaged at block 11"
    assert len(files.find(whole.index.keys).fetched.blocks) == 2
    assert files.register.saved(4).groups(whole.index.keys[3]) == 0


def test_a_file_that_is_lost_is_hidden_and_told(files: Files) -> None:
    whole = make_segment(1)
    row = files.write(whole)
    (files.folder.path / row.name).unlink()
    result = files.find(whole.index.keys)
    assert result.rejected == [row.name] and result.fetched.loss == "cache file missing"
    assert files.find(whole.index.keys) == SearchResult()


def test_what_nobody_has_is_no_loss(files: Files) -> None:
    assert files.find((b"?" * 16,)) == SearchResult()
