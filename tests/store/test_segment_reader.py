"""Files are read, and their blocks proved good or named."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.kv.segments import ManifestRow, encode
from kvchat.store.segment_folder import SegmentFolder
from kvchat.store.segment_reader import SegmentReader, WantedBlock
from tests.store.segment_workload import LAYOUT, make_segment

SECRET = bytes(32)


@pytest.fixture
def folder(tmp_path: Path) -> SegmentFolder:
    return SegmentFolder(tmp_path / "kv")


@pytest.fixture
def reader(folder: SegmentFolder) -> Iterator[SegmentReader]:
    reader = SegmentReader(folder, SECRET)
    yield reader
    errors.fault_hook = None
    reader.close()
    assert not any("checksums" in thread.name for thread in threading.enumerate())


def write(folder: SegmentFolder, number: int, num_blocks: int = 3) -> ManifestRow:
    row, content = encode(LAYOUT, make_segment(number, 5, num_blocks), SECRET)
    folder.write(row.name, content)
    return row


def all_of(row: ManifestRow) -> list[WantedBlock]:
    return [(key, 0, place) for place, key in enumerate(row.index.keys)]


def flip(folder: SegmentFolder, row: ManifestRow, place: int) -> None:
    path = folder.path / row.name
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little") + 64 * place + 5] ^= 1
    path.write_bytes(content)


def test_many_files_are_read_at_once_and_each_gives_its_blocks(
    folder: SegmentFolder, reader: SegmentReader
) -> None:
    rows = [write(folder, number, 40) for number in range(6)]
    files = reader.read(LAYOUT, [(row, all_of(row)) for row in rows])
    for number, (row, file) in enumerate(zip(rows, files, strict=True)):
        (numbers,) = make_segment(number, 5, 40).arrays[0]
        assert file.reason is None and file.damaged == []
        assert len(file.blocks) == 40
        for place, key in enumerate(row.index.keys):
            assert bytes(file.blocks[key, 0][0]) == numbers[64 * place : 64 * place + 64]


def test_a_damaged_block_is_named_and_the_others_come(
    folder: SegmentFolder, reader: SegmentReader
) -> None:
    row = write(folder, 1)
    flip(folder, row, 1)
    (file,) = reader.read(LAYOUT, [(row, all_of(row))])
    assert file.reason is None
    assert file.damaged == [(row.index.keys[1], 0, 1)]
    assert set(file.blocks) == {(row.index.keys[0], 0), (row.index.keys[2], 0)}


@pytest.mark.parametrize(
    ("damage", "loss"),
    [("cut", "damaged"), ("missing", "missing"), ("directory", "unreadable"), ("memory", "read")],
)
def test_a_file_that_cannot_be_used_says_why_and_harms_no_other(
    folder: SegmentFolder, reader: SegmentReader, damage: str, loss: str
) -> None:
    bad, good = write(folder, 1), write(folder, 2)
    path = folder.path / bad.name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "memory":
        hits: list[str] = []

        def hook(point: str) -> None:
            hits.append(point)
            if len(hits) == 1:
                raise MemoryError

        errors.fault_hook = hook
    else:
        path.unlink()
        if damage == "directory":
            path.mkdir()
    files = reader.read(LAYOUT, [(bad, all_of(bad)), (good, all_of(good))])
    assert files[0].blocks == {} and files[0].reason is not None
    assert files[0].loss is not None and loss in files[0].loss
    assert len(files[1].blocks) == 3
