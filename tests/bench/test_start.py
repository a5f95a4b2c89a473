import json
from pathlib import Path

import pytest

from kvchat.bench.result import read_document
from kvchat.bench.start import main, make_chats
from kvchat.cli import main as kvchat
from kvchat.errors import InvalidArgument
from kvchat.store.open_database import open_database


def test_chats_are_made_as_they_are_after_use(tmp_path: Path) -> None:
    make_chats(tmp_path / "data", num_sessions=3, num_messages=5)
    database = open_database(tmp_path / "data" / "chats.db")
    rows = database.list_sessions()
    assert [row.num_messages for row in rows] == [5, 5, 5]
    assert database.num_gaps == 0
    assert all(message.token_ids for message in database.load_path(rows[0].tip_id))
    assert database.search("e", 5).hits
    database.close()


def test_starts_after_crashes_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--sessions", "3", "--messages", "2", "--rounds", "2"]
    assert main([*sizes, "--json", "--out", str(tmp_path / "found.json")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert read_document(tmp_path / "found.json") == document
    assert (document["num_sessions"], document["num_messages"]) == (3, 6)
    seconds = document["seconds"]
    assert len(seconds["listed"]) == 2
    for listed, read, stored in zip(*seconds.values(), strict=True):
        assert 0 < listed <= read <= stored


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        main(["--sessions", "0"])
    assert kvchat(["bench", "nothing"]) == 2
