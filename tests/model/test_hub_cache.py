"""The cache of the hub's programs: found by their rules, read by their layout, not believed."""

import os
from pathlib import Path

import pytest

from kvchat.model.hub_cache import cached_snapshots, hub_cache_dir

A, B = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HOME": "~/h", "XDG_CACHE_HOME": "/c"}, "~/h/hub"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"}, "/old"),
        ({"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"}, "/new"),
        ({"HF_HUB_CACHE": "", "HF_HOME": "/h"}, "/h/hub"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], expected: str) -> None:
    assert hub_cache_dir(environ) == Path(os.path.expanduser(expected))


def test_the_rules_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra hf")
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    if any(name in os.environ for name in names):
        pytest.skip("the library has read another environment")
    assert hub_cache_dir() == Path(constants.HF_HUB_CACHE)


def snapshot(cache: Path, folder: str, commit: str, *refs: str) -> Path:
    path = cache / folder / "snapshots" / commit
    path.mkdir(parents=True)
    for ref in refs:
        file = cache / folder / "refs" / ref
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)
    return path


def test_snapshots_come_by_repository_and_what_main_means_first(tmp_path: Path) -> None:
    snapshot(tmp_path, "models--org--tiny", A)
    snapshot(tmp_path, "models--org--tiny", B, "main", "pr/1")
    snapshot(tmp_path, "models--gpt-2.x", A, "v1")
    found = list(cached_snapshots(tmp_path))
    assert [(each.repository, each.commit, each.refs, each.is_main) for each in found] == [
        ("gpt-2.x", A, ("v1",), False),
        ("org/tiny", B, ("main", "pr/1"), True),
        ("org/tiny", A, (), False),
    ]
    assert found[1].path == tmp_path / "models--org--tiny/snapshots" / B


def test_what_is_no_model_is_passed_over(tmp_path: Path) -> None:
    for name in ("datasets--org--x", "models--", "models--a--b--c", "models--a b", ".locks"):
        snapshot(tmp_path, name, A, "main")
    snapshot(tmp_path, "models--org--odd", "not a commit", "main")
    (tmp_path / "models--org--file").write_text("x")
    (tmp_path / "models--org--none").mkdir()
    assert list(cached_snapshots(tmp_path)) == []
    assert list(cached_snapshots(tmp_path / "missing")) == []


def test_damaged_refs_are_no_refs(tmp_path: Path) -> None:
    refs = snapshot(tmp_path, "models--org--tiny", A, "good").parents[1] / "refs"
    (refs / "binary").write_bytes(b"\xff\xfe")
    (refs / "long").write_text("a" * 5000)
    os.mkfifo(refs / "pipe")
    (refs / "loop").symlink_to("loop")
    (refs / "deep/er/est").mkdir(parents=True)
    (found,) = cached_snapshots(tmp_path)
    assert found.refs == ("good",)
