"""Where compiled kernels are kept: one build for two processes, and none that others wrote."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat.native import toolchain
from kvchat.native.build_folder import MAX_BUILDS, BuildFolder
from kvchat.native.toolchain import BuildFailed, Toolchain

PROVIDE = """
import sys
from pathlib import Path
from kvchat.native.build_folder import BuildFolder
print(BuildFolder(Path(sys.argv[1])).provide(print))
"""
# A compiler that is quick, and says on a file of its own each time it makes a library.
QUICK_COMPILER = """\
#!/bin/sh
case "$*" in *--version*) echo quick 1.0; exit 0;; esac
case "$*" in *-shared*) echo compiled >> "$COMPILED";; esac
while [ $# -gt 1 ]; do shift; done
echo library > "$1"
"""


@pytest.fixture
def quick_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a compiler that writes a line to the returned file for each library it makes."""
    path = tmp_path / "quick++"
    path.write_text(QUICK_COMPILER)
    path.chmod(0o700)
    compiled = tmp_path / "compiled"
    compiled.touch()
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.setenv("COMPILED", str(compiled))
    return compiled


def test_a_library_is_compiled_once_and_found_again(tmp_path: Path, quick_compiler: Path) -> None:
    folder, told = BuildFolder(tmp_path / "kernels"), list[str]()
    assert folder.find() is None
    first = folder.provide(told.append)
    assert folder.provide(told.append) == folder.find() == first
    assert len(told) == 1 and "once" in told[0]
    assert quick_compiler.read_text().count("compiled") == 1


def test_a_library_is_on_disk_before_it_has_its_name(
    tmp_path: Path, quick_compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, object]] = []
    sync, rename = os.fsync, os.rename

    def note_sync(descriptor: int) -> None:
        done.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def note_rename(source: Path, target: Path) -> None:
        done.append(("name", source.stat().st_ino))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    library = BuildFolder(tmp_path / "kernels").provide(lambda _: None)
    number, folder = library.stat().st_ino, library.parent.stat().st_ino
    assert done[-3:] == [("sync", number), ("name", number), ("sync", folder)]


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def _zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def _without_digest(path: Path) -> None:
    path.rename(path.with_name(path.name.rpartition("-")[0] + ".so"))


@pytest.mark.parametrize(
    "damage", [_cut_short, _cut_to_nothing, _zeroed, _flipped, _without_digest]
)
def test_a_damaged_library_is_compiled_again_with_one_line_in_the_log(
    tmp_path: Path,
    quick_compiler: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    folder, told = BuildFolder(tmp_path / "kernels"), list[str]()
    made = folder.provide(told.append)
    sound = made.read_bytes()
    damage(made)
    assert folder.find() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    again = folder.provide(told.append)
    assert again.read_bytes() == sound and folder.find() == again
    assert len(told) == 2 and quick_compiler.read_text().count("compiled") == 2
    assert len(caplog.records) == 1 and "compiled again" in caplog.text
    assert [path.name for path in (tmp_path / "kernels").glob("*.so")] == [again.name]


def test_an_older_sound_library_is_taken_where_the_newest_is_damaged(
    tmp_path: Path, quick_compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BuildFolder(tmp_path / "kernels")
    older = folder.provide(lambda _: None)
    monkeypatch.setenv("CXX", f"{os.environ['CXX']} -O1")
    newer = folder.provide(lambda _: None)
    os.utime(older, (1, 1))
    assert newer != older and folder.find() == newer
    _zeroed(newer)
    assert folder.find() == older
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert folder.provide(lambda _: None) == older


@pytest.mark.parametrize("is_damaged", [False, True])
def test_processes_compile_a_missing_or_damaged_library_once(
    tmp_path: Path, quick_compiler: Path, is_damaged: bool
) -> None:
    folder = BuildFolder(tmp_path / "kernels")
    if is_damaged:
        _cut_short(folder.provide(lambda _: None))
    words = [sys.executable, "-c", PROVIDE, str(tmp_path / "kernels")]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].split()[-1] for process in started]
    assert len(set(said)) == 1 and Path(said[0]) == folder.find()
    assert quick_compiler.read_text().count("compiled") == 1 + is_damaged


def test_another_version_of_the_sources_is_another_library(
    tmp_path: Path, quick_compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BuildFolder(tmp_path / "kernels")
    old = folder.provide(lambda _: None)
    sources = tmp_path / "sources"
    shutil.copytree(toolchain.SOURCE_DIR, sources)
    (sources / "pool.h").write_text((sources / "pool.h").read_text() + "// changed\n")
    monkeypatch.setattr(toolchain, "SOURCE_DIR", sources)
    assert folder.find() is None
    assert folder.provide(lambda _: None) != old


def test_old_libraries_are_deleted_when_a_new_one_is_made(
    tmp_path: Path, quick_compiler: Path
) -> None:
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o700)
    for number in range(MAX_BUILDS + 3):
        old = folder / f"{number}.so"
        old.touch(mode=0o700)
        os.utime(old, (number, number))
    stump = folder / ".x.so.0123456789abcdef.tmp"
    stump.touch()
    made = BuildFolder(folder).provide(lambda _: None)
    left = sorted(path.name for path in folder.glob("*.so"))
    assert left == sorted([made.name, *(f"{number}.so" for number in (4, 5, 6))])
    assert not stump.exists()


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_library_that_others_can_write_is_never_loaded(
    tmp_path: Path, quick_compiler: Path, mode: int
) -> None:
    folder = BuildFolder(tmp_path / "kernels")
    folder.provide(lambda _: None).chmod(mode)
    assert folder.find() is None


def test_a_link_in_the_folder_is_no_library(tmp_path: Path, quick_compiler: Path) -> None:
    folder = BuildFolder(tmp_path / "kernels")
    made = folder.provide(lambda _: None)
    elsewhere = made.rename(tmp_path / "elsewhere.so")
    made.symlink_to(elsewhere)
    assert folder.find() is None


def test_without_a_compiler_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match=r"install g\+\+ or clang\+\+"):
        BuildFolder(tmp_path / "kernels").provide(lambda _: None)


def test_a_library_is_used_although_its_compiler_is_gone(
    tmp_path: Path, quick_compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BuildFolder(tmp_path / "kernels")
    made = folder.provide(lambda _: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert folder.provide(lambda _: None) == made


def test_a_compiler_that_fails_leaves_nothing_behind(
    tmp_path: Path, quick_compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Path(os.environ["CXX"])
    said = "kernel.cpp:1: error: no such thing"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\necho "{said}" >&2; exit 1\n'
    )
    folder = tmp_path / "kernels"
    with pytest.raises(BuildFailed, match="no such thing"):
        BuildFolder(folder).provide(lambda _: None)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_folder_that_cannot_be_made_is_a_failed_build(
    tmp_path: Path, quick_compiler: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuildFailed, match="cannot be stored"):
        BuildFolder(tmp_path / "file" / "kernels").provide(lambda _: None)


def test_flags_that_a_compiler_does_not_know_are_left_out(
    tmp_path: Path, quick_compiler: Path
) -> None:
    compiler = Path(os.environ["CXX"])
    compiler.write_text(
        QUICK_COMPILER.replace("echo compiled", 'echo "$*"').replace(
            "#!/bin/sh\n", '#!/bin/sh\ncase "$*" in *=native*) exit 1;; esac\n'
        )
    )
    target = tmp_path / "library.so"
    Toolchain.find().compile(target)
    assert target.read_text() == "library\n"
    (linked,) = quick_compiler.read_text().splitlines()
    assert all(f"{source.stem}.o" in linked for source in toolchain.source_files())


def test_nothing_is_left_of_what_was_compiled_before_the_link(
    tmp_path: Path, quick_compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    Toolchain.find().compile(tmp_path / "library.so")
    assert list(temporary.iterdir()) == []


def test_the_name_of_a_library_depends_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    here = toolchain.source_key()
    monkeypatch.setattr(toolchain, "_cpu_features", lambda: "another one")
    assert toolchain.source_key() != here
