import json
import os
import threading
from pathlib import Path

import pytest

from kvchat.untrusted import (
    MAX_TENSORS,
    FileMissing,
    UntrustedFile,
    parse_safetensors_header,
    read_regular,
    read_safetensors_header,
    strict_json,
)

A: dict[str, object] = {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}
GOOD: dict[str, object] = {
    "__metadata__": {"format": "pt"},
    "b": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "a": A,
    "empty": {"dtype": "U8", "shape": [0, 7], "data_offsets": [32, 32]},
}


def safetensors_bytes(header: object, data: bytes = bytes(32)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def check(raw: bytes) -> object:
    return parse_safetensors_header(raw, len(raw), name="model.safetensors")


def changed(**entries: object) -> bytes:
    return safetensors_bytes(GOOD | entries)


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1000)
    assert read_regular(tmp_path / "x", 3000) == b"abc" * 1000


def test_a_file_of_one_byte_too_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(bytes(3001))
    with pytest.raises(UntrustedFile, match=r"^config\.json is too large: 3001 bytes"):
        read_regular(tmp_path / "config.json", 3000)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"^config\.json is missing\.$"):
        read_regular(tmp_path / "config.json", 10)


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(UntrustedFile, match="not a regular file"):
        read_regular(tmp_path / "config.json", 10)


def test_a_link_to_an_endless_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(UntrustedFile, match="not a regular file"):
        read_regular(tmp_path / "config.json", 10)


@pytest.mark.parametrize("name", ["", "a\0b", "loop", "x" * 300], ids=ascii)
def test_odd_paths_are_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UntrustedFile):
        read_regular(tmp_path / name, 10)


def test_a_refused_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with pytest.raises(UntrustedFile):
            read_regular(tmp_path, 10)
    assert len(os.listdir("/dev/fd")) == before


def test_a_file_cut_while_it_is_read_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path, stop = tmp_path / "x", threading.Event()
    path.write_bytes(bytes(100_000))

    def cut_and_grow() -> None:
        while not stop.is_set():
            os.truncate(path, 10)
            os.truncate(path, 100_000)

    thread = threading.Thread(target=cut_and_grow)
    thread.start()
    try:
        for _ in range(300):
            try:
                assert len(read_regular(path, 100_000)) in (10, 100_000)
            except UntrustedFile as error:
                assert "ends early" in error.sentence
    finally:
        stop.set()
        thread.join()


def test_plain_json_is_parsed() -> None:
    raw = b'{"a": [1, -2.5, true, null, "\\"[[{"], "b": {"c": "\xc3\xa4"}}'
    assert strict_json(raw) == {"a": [1, -2.5, True, None, '"[[{'], "b": {"c": "ä"}}


def test_a_byte_order_mark_before_json_is_passed_over() -> None:
    assert strict_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "line 1"),
        (b'{"a": 1,\n"a": 2}', "the key 'a' appears twice"),
        (b'{"x": {"a": 1, "b": 3, "a": 2}}', "the key 'a' appears twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a":\n\n"\xff"}', "line 3: it is not UTF-8 text"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', "line 1"),
        (b'{"a": 1,\n\n}', "line 3"),
        (b'{"a": 1} {"b": 2}', "line 1"),
        (b'{"a": "\x00"}', "line 1"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b'\n\n{"a":' * 100_000, "line 131: it is nested deeper"),
    ],
)
def test_json_that_is_not_strict_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(UntrustedFile, match=why) as caught:
        strict_json(raw, name="config.json")
    assert caught.value.sentence.startswith("config.json is damaged")
    assert len(caught.value.sentence) < 200


def test_depth_counts_nesting_and_not_text() -> None:
    assert strict_json(b'[["' + b"[" * 1000 + b'"]]', max_depth=2)
    assert strict_json(b"[" + b"[]," * 1000 + b"[]]", max_depth=2)
    with pytest.raises(UntrustedFile):
        strict_json(b'[["\\"", [1]]]', max_depth=2)


def test_an_unclosed_string_of_quotes_costs_linear_time() -> None:
    with pytest.raises(UntrustedFile):
        strict_json(b'"' + b'\\"' * 500_000)


def test_a_good_header_is_returned_with_its_places(tmp_path: Path) -> None:
    raw = safetensors_bytes(GOOD)
    (tmp_path / "m").write_bytes(raw)
    header = read_safetensors_header(tmp_path / "m")
    assert header.metadata == {"format": "pt"}
    assert header.data_start == len(raw) - 32
    entry = header.tensors["a"]
    assert (entry.dtype, entry.shape, entry.begin, entry.end) == ("BF16", (4,), 24, 32)
    assert set(header.tensors) == {"a", "b", "empty"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "ends early"),
        (b"1234567", "ends early"),
        (bytes(8), "line 1"),
        ((1 << 63).to_bytes(8, "little") + b"{}", "header too long"),
        ((99).to_bytes(8, "little") + b"{}", "inside its header"),
        (safetensors_bytes([]), "not a JSON object"),
        (safetensors_bytes(GOOD, bytes(31)), "ends early, inside 'a'"),
        (safetensors_bytes(GOOD, bytes(33)), "1 bytes at its end belong to no tensor"),
        (changed(__metadata__=3), "metadata is not a JSON object"),
        (changed(__metadata__={"n": 3}), "metadata 'n' is not text"),
        (changed(a=[1]), "does not have dtype"),
        (changed(a={"dtype": "F32", "shape": [2]}), "does not have dtype"),
        (changed(a=A | {"x": 1}), "does not have dtype"),
        (changed(a=A | {"dtype": "F4"}), "unknown dtype 'F4'"),
        (changed(a=A | {"dtype": None}), "unknown dtype"),
        (changed(a=A | {"shape": [-4]}), "impossible shape"),
        (changed(a=A | {"shape": [True]}), "impossible shape"),
        (changed(a=A | {"shape": [4.0]}), "impossible shape"),
        (changed(a=A | {"shape": [1] * 9}), "impossible shape"),
        (changed(a=A | {"shape": [2**32, 2**32]}), "does not fit its shape"),
        (changed(a=A | {"shape": [5]}), "does not fit its shape"),
        (changed(a=A | {"data_offsets": [24]}), "impossible data_offsets"),
        (changed(a=A | {"data_offsets": [32, 24]}), "does not fit its shape"),
        (changed(a=A | {"data_offsets": [2**64, 2**64 + 8]}), "impossible data_off"),
        (changed(a=A | {"data_offsets": [16, 24]}), "overlap at 'a'"),
        (changed(a=A | {"data_offsets": [0, 8]}), "overlap at 'b'"),
        (changed(a=A | {"data_offsets": [25, 33]}), "hole at"),
        (safetensors_bytes(b'{"a": 1, "a": 2}'), "appears twice"),
        (safetensors_bytes(b"[" * 5), "nested deeper than 4"),
    ],
)
def test_a_damaged_header_is_refused_with_its_reason(raw: bytes, why: str) -> None:
    with pytest.raises(UntrustedFile, match=why) as caught:
        check(raw)
    assert caught.value.sentence.startswith("model.safetensors is damaged")


def test_too_many_tensors_are_refused() -> None:
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    raw = safetensors_bytes({str(number): entry for number in range(MAX_TENSORS + 1)}, b"")
    with pytest.raises(UntrustedFile, match="20001 tensors"):
        check(raw)


def test_every_truncation_of_a_good_file_is_found() -> None:
    raw = safetensors_bytes(GOOD)
    for length in range(len(raw)):
        with pytest.raises(UntrustedFile):
            check(raw[:length])


def test_no_flipped_header_byte_raises_anything_else() -> None:
    raw = safetensors_bytes(GOOD)
    for place in range(len(raw) - 32):
        for bit in range(8):
            mutated = bytearray(raw)
            mutated[place] ^= 1 << bit
            try:
                check(bytes(mutated))
            except UntrustedFile as error:
                assert error.sentence.endswith(".")


def test_the_header_of_our_own_limit_is_not_read_beyond_it(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(safetensors_bytes(GOOD))
    with pytest.raises(UntrustedFile, match="header too long"):
        read_safetensors_header(tmp_path / "m", max_header_bytes=100)
