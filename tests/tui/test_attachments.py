import os
from pathlib import Path

import pytest

from kvchat.errors import KVChatError
from kvchat.tui.attachments import MAX_FILE_BYTES, complete_path, fenced, read_attachment


def test_a_text_file_is_read_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_bytes(b"\xef\xbb\xbfh\xc3\xa9llo\n")

    assert read_attachment(str(tmp_path / "notes.md")) == ("notes.md", "héllo\n")


def test_the_home_folder_is_written_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("x")

    assert read_attachment("~/a.txt") == ("a.txt", "x")
    assert complete_path("~/") == ["~/a.txt"]


def test_the_home_of_nobody_is_a_missing_file_and_completes_to_nothing() -> None:
    with pytest.raises(KVChatError, match="missing"):
        read_attachment("~nobody-has-this-name/a.txt")
    assert complete_path("~nobody-has-this-name/a") == []


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\xff\xfe\x00", "not UTF-8 text"), (b"a\0b", "not a text file"), (b" \n", "is empty")],
)
def test_what_is_no_text_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)

    with pytest.raises(KVChatError, match=why):
        read_attachment(str(tmp_path / "f"))


def test_a_file_over_the_limit_is_refused_and_one_at_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * MAX_FILE_BYTES)
    (tmp_path / "longer").write_bytes(b"x" * (MAX_FILE_BYTES + 1))

    assert len(read_attachment(str(tmp_path / "long"))[1]) == MAX_FILE_BYTES
    with pytest.raises(KVChatError, match="too large"):
        read_attachment(str(tmp_path / "longer"))


@pytest.mark.parametrize("name", ["", "missing", "folder", "pipe", "nul\0"])
def test_only_regular_files_are_attached(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(KVChatError):
        read_attachment(str(tmp_path / name) if name else "")


def test_no_line_of_a_file_ends_its_fence() -> None:
    text = "```py\nx\n```\n````"
    lines = fenced("a.md", text).split("\n")

    assert lines[0] == "a.md"
    assert lines[1] == lines[-2] == "`````"
    assert "\n".join(lines[2:-2]) == text


def test_folders_come_first_and_hidden_names_only_after_a_dot(tmp_path: Path) -> None:
    for name in ("beta.txt", "Alpha.txt", ".hidden"):
        (tmp_path / name).write_text("x")
    (tmp_path / "zoo").mkdir()

    assert complete_path(f"{tmp_path}/") == [
        f"{tmp_path}/zoo/", f"{tmp_path}/Alpha.txt", f"{tmp_path}/beta.txt",
    ]  # fmt: skip
    assert complete_path(f"{tmp_path}/al") == [f"{tmp_path}/Alpha.txt"]
    assert complete_path(f"{tmp_path}/.h") == [f"{tmp_path}/.hidden"]


def test_names_a_terminal_would_obey_are_not_offered(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J").write_text("x")
    (tmp_path / "a\u202eb").write_text("x")

    assert complete_path(f"{tmp_path}/a") == []
