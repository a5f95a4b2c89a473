"""Damaged and hostile folders: one typed error each, soon, cheaply, and nothing else happens."""

import json
import random
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.hostile_folders import HARMLESS, HOSTILE, HostileFolder
from tests.text.conftest import train_sentencepiece

ROOT = Path(__file__).parents[2]
MAX_SECONDS = 2.0
"""Of CPU, so that a busy machine fails no test."""
MAX_KILOBYTES = 256 << 10
PATIENCE = 60
NUM_MUTATIONS = 24
ONLY_LOADING_SHOWS = {"tokenizer beyond the embedding", "tokenizer without unk"}
"""What an inspection, which loads no tokenizer, does not tell, or tells otherwise."""
FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.model",
    "tokenizer_config.json",
    "generation_config.json",
)


class Child:
    """A process that loads folders under an audit hook."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/corpus/hostile_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
            text=True,
        )

    def load(self, path: Path) -> dict[str, Any]:
        """Return what came of a folder; fails when the child dies or does not answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        assert ready, "the child hangs"
        line = self._process.stdout.readline()
        assert line, "the child died"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def tokenizer_model() -> bytes:
    return train_sentencepiece()


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory, tokenizer_model: bytes) -> Iterator[Child]:
    """A child that has loaded good folders, so that what it imports is there."""
    child = Child()
    for name in ("as it is", "tokenizer.json instead", "template that never ends"):
        folder = HostileFolder(tmp_path_factory.mktemp("good") / "model", tokenizer_model)
        HARMLESS[name](folder)
        child.load(folder.path)
    yield child
    child.close()


@pytest.fixture
def folder(tmp_path: Path, tokenizer_model: bytes) -> HostileFolder:
    return HostileFolder(tmp_path / "model", tokenizer_model)


def check(found: dict[str, Any]) -> None:
    """Check what holds for every folder, good or bad."""
    assert found["error"] in (None, "ModelError"), found
    assert found["seen"] == []
    assert found["seconds"] < MAX_SECONDS and found["kilobytes"] < MAX_KILOBYTES


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_ends_in_one_typed_error(
    folder: HostileFolder, child: Child, name: str
) -> None:
    change, expected = HOSTILE[name]
    change(folder)
    found = child.load(folder.path)
    check(found)
    sentence = found["sentence"]
    assert found["error"] == "ModelError" and expected in sentence
    assert sentence.endswith(".") and sentence.isprintable() and len(sentence) < 700
    assert not (folder.path / "unpickled").exists()
    if name not in ONLY_LOADING_SHOWS:
        assert any(expected in each for each in found["problems"])


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_only_odd_still_loads(folder: HostileFolder, child: Child, name: str) -> None:
    HARMLESS[name](folder)
    found = child.load(folder.path)
    check(found)
    assert found["error"] is None and found["problems"] == []


def mutated(folder: HostileFolder, chance: random.Random) -> str:
    """Flip a bit, or cut a file short; return what was done."""
    name = chance.choice(FILES)
    content = bytearray((folder.path / name).read_bytes())
    place = chance.randrange(min(len(content), chance.choice((64, 4096, 1 << 30))))
    if chance.random() < 0.3:
        del content[place:]
        folder.write(name, bytes(content))
        return f"{name} cut at {place}"
    content[place] ^= 1 << chance.randrange(8)
    folder.write(name, bytes(content))
    return f"{name} flipped at {place}"


def check_mutations(tmp_path: Path, tokenizer_model: bytes, child: Child, seeds: range) -> None:
    num_errors = 0
    for seed in seeds:
        folder = HostileFolder(tmp_path / str(seed), tokenizer_model)
        done = mutated(folder, random.Random(seed))
        found = child.load(folder.path)
        try:
            check(found)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {done}: {found}") from error
        num_errors += found["error"] is not None
        shutil.rmtree(folder.path)
    assert 0 < num_errors < len(seeds)


def test_flipped_bits_and_cut_files_end_in_a_typed_error_or_a_model(
    tmp_path: Path, tokenizer_model: bytes, child: Child
) -> None:
    check_mutations(tmp_path, tokenizer_model, child, range(NUM_MUTATIONS))


@pytest.mark.slow
def test_many_flipped_bits_and_cut_files_do_too(
    tmp_path: Path, tokenizer_model: bytes, child: Child
) -> None:
    check_mutations(tmp_path, tokenizer_model, child, range(1000, 4000))


def test_the_watch_sees_what_it_is_to_see(tmp_path: Path, tokenizer_model: bytes) -> None:
    """Each thing that no folder may cause, done on purpose, is told."""
    program = """
import sys, os, pickle
sys.path.insert(0, {corpus!r})
from hostile_child import Watch
watch = Watch()
sys.addaudithook(watch)
with watch.over({folder!r}) as seen:
    open('/etc/hostname').close()
    open(os.path.join({folder!r}, 'x.bin')).close()
    open(os.path.join({folder!r}, 'new'), 'w').close()
    pickle.loads(b'cbuiltins\\nlen\\n.')
    sys.path.insert(0, {folder!r})
    import evil
expected = 'which is outside', 'x.bin', 'for writing', 'pickle.find_', 'evil.py', 'imported evil'
for part in expected:
    assert any(part in each for each in seen), (part, seen)
"""
    (tmp_path / "x.bin").write_bytes(b"")
    (tmp_path / "evil.py").write_text("")
    result = subprocess.run(
        [
            sys.executable,
            "-B",
            "-c",
            program.format(corpus=str(ROOT / "tests/corpus"), folder=str(tmp_path)),
        ],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
