"""What a corpus file may hold, and how what is no record is told."""

from pathlib import Path

import pytest
import zstandard

from kvchat.errors import InvalidArgument
from kvchat.training.record import Message, Record, read_records

GOOD = b'{"source": "s", "text": "one"}'


def test_empty_lines_line_ends_of_windows_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n" + GOOD + b"\n\n")
    assert list(read_records(path)) == [Record("s", "one", ())] * 2
    path.write_bytes(b'{"source": "s", "messages": [{"role": "user", "content": "Hi"}]}')
    assert list(read_records(path)) == [Record("s", "", (Message("user", "Hi"),))]
    path.write_bytes(b"")
    assert list(read_records(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"source": "s", "te',
        b"[1]",
        b"7",
        b'{"text": "without a source"}',
        b'{"source": "s", "text": 5}',
        b'{"source": "s", "messages": {}}',
        b'{"source": "s", "messages": ["Hi"]}',
        b'{"source": "s", "messages": [{"role": "user", "content": null}]}',
        b'{"source": "s", "text": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_told_with_file_and_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n" + line + b"\n" + GOOD)
    with pytest.raises(InvalidArgument, match=r"a\.jsonl, line 2, is no record: .*; mend or"):
        list(read_records(path))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    latin, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.zst"
    latin.write_bytes(GOOD.replace(b"one", b"caf\xe9"))
    with pytest.raises(InvalidArgument, match=r"a\.jsonl is not UTF-8"):
        list(read_records(latin))
    packed.write_bytes(b"no archive")
    with pytest.raises(InvalidArgument, match=r"zst cannot be read: it is damaged"):
        list(read_records(packed))
    packed.write_bytes(zstandard.compress(GOOD * 50)[:-9])
    with pytest.raises(InvalidArgument, match="cut off"):
        list(read_records(packed))
    with pytest.raises(InvalidArgument, match="No such file"):
        list(read_records(tmp_path / "none.jsonl"))
