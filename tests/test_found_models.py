"""Names of models: where they are looked for, what they mean, and what is said otherwise."""

from pathlib import Path

import pytest

from kvchat import paths
from kvchat.errors import ModelError
from kvchat.found_models import find_models, resolve_model

COMMIT = "a" * 40


class Machine:
    """A home of its own, with models in kvchat's folder and in the hub's cache."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def own(self, name: str) -> Path:
        path = paths.models_dir() / name
        path.mkdir(parents=True)
        (path / "config.json").write_text("{}")
        return path

    def hub(self, name: str, commit: str = COMMIT, ref: str | None = "main") -> Path:
        repository = self.home / "hub" / f"models--{name.replace('/', '--')}"
        path = repository / "snapshots" / commit
        path.mkdir(parents=True)
        if ref is not None:
            (repository / "refs").mkdir(exist_ok=True)
            (repository / "refs" / ref).write_text(commit)
        return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(
        paths, "models_dir", lambda data=None: tmp_path / "own" if data is None else data / "models"
    )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path)


def test_models_are_found_in_three_places(machine: Machine) -> None:
    own, bare = machine.own("org/tiny"), machine.own("bare")
    hub = machine.hub("org/other")
    old = machine.hub("org/other", "b" * 40, ref=None)
    (paths.models_dir() / ".hidden").mkdir()
    (paths.models_dir() / "notes.txt").write_text("x")
    assert [(each.name, each.place, each.path) for each in find_models()] == [
        ("bundled", "bundled", paths.bundled_model_dir()),
        ("bare", "own", bare),
        ("org/tiny", "own", own),
        ("org/other", "hub", hub),
        ("org/other@bbbbbbbbbbbb", "hub", old),
    ]


def test_a_name_finds_its_folder_with_and_without_the_organization(machine: Machine) -> None:
    own, hub = machine.own("org/tiny"), machine.hub("org/other")
    old = machine.hub("org/other", "b" * 40, ref="v1")
    assert resolve_model("org/tiny") == resolve_model("tiny") == own
    assert resolve_model("org/other") == resolve_model("other") == hub
    assert resolve_model("org/other@v1") == resolve_model("other@v1") == old
    assert resolve_model("bundled") == paths.bundled_model_dir()


def test_the_own_folder_comes_before_the_cache(machine: Machine) -> None:
    machine.hub("org/tiny")
    own = machine.own("org/tiny")
    assert resolve_model("org/tiny") == resolve_model("tiny") == own


def test_a_name_of_several_lists_them(machine: Machine) -> None:
    machine.own("one/tiny")
    machine.hub("two/tiny")
    with pytest.raises(ModelError) as caught:
        resolve_model("tiny")
    assert caught.value.sentence == "Several models are called 'tiny': one/tiny, two/tiny."
    for index in range(20):
        machine.own(f"org{index:02}/tiny")
    with pytest.raises(ModelError, match=r"org10/tiny and 10 more\."):
        resolve_model("tiny")


def test_a_folder_of_that_name_wins(machine: Machine) -> None:
    machine.own("org/tiny")
    (machine.home / "org/tiny").mkdir(parents=True)
    assert resolve_model("org/tiny") == Path("org/tiny")


@pytest.mark.parametrize("path", ["/none", "./none", "~/none", "../none", "a/b/c", Path("none")])
def test_what_looks_like_a_path_is_left_to_the_folder(machine: Machine, path: str | Path) -> None:
    assert resolve_model(path) == Path(path).expanduser()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/none", "; kvchat models lists those there are, and kvchat models pull org/none down"),
        ("none", "There is no folder and no model 'none'; kvchat models lists those there are."),
        ("a\x1b[2Jb", "There is no folder and no model 'a\\x1b[2Jb'"),
        ("x" * 5000, "xxx...'; kvchat models lists"),
    ],
)
def test_a_name_that_means_nothing_is_one_sentence(
    machine: Machine, name: str, expected: str
) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(name)
    assert expected in caught.value.sentence and caught.value.sentence.isprintable()
