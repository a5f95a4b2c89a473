import os
from pathlib import Path

import pytest

from kvchat.errors import DataDirInUse, NotSaving
from kvchat.store.data_dir import DataDir


def test_a_data_directory_is_made_locked_and_cleared_of_stumps(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data"
    DataDir(path).release()
    (path / ".chats.db.0123456789abcdef.tmp").write_bytes(b"half")
    with DataDir(path) as directory:
        assert directory.notices == ()
        assert directory.database_path == path / "chats.db"
        assert os.listdir(path) == ["lock"]
        with pytest.raises(DataDirInUse, match=f"Already open in process {os.getpid()}"):
            DataDir(path)
    DataDir(path).release()


def test_files_that_others_could_read_are_announced(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "chats.db").write_bytes(b"")
    (tmp_path / "chats.db").chmod(0o644)
    with DataDir(tmp_path) as directory:
        assert directory.notices == (
            f"Other users could read 1 file in {tmp_path}; now only you can read them.",
        )
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    with DataDir(tmp_path) as directory:
        assert directory.notices == ()


def test_a_directory_that_cannot_be_cleared_is_released_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("kvchat.store.data_dir.remove_stumps", refuse)
    with pytest.raises(NotSaving, match=r"Cannot use .*: input/output error"):
        DataDir(tmp_path)
    monkeypatch.undo()
    DataDir(tmp_path).release()
