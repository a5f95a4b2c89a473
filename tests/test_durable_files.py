import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.durable_files import (
    DataDirLock,
    copy_durably,
    network_file_system,
    private_dir,
    private_file,
    remove_stumps,
    tighten,
    write_durably,
)
from kvchat.errors import DataDirInUse, NotSaving

HOLD_LOCK = """
import sys
from pathlib import Path
from kvchat.durable_files import DataDirLock
lock = DataDirLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""

LIST_DESCRIPTORS = """
import os, sys
lock = os.stat(sys.argv[1])
found = []
for number in range(256):
    try:
        if os.path.samestat(os.fstat(number), lock):
            found.append(number)
    except OSError:
        pass
print(found)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock of tmp_path."""
    root = str(Path(errors.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def fail_at(point: str, number: int) -> None:
    def hook(reached: str) -> None:
        if reached == point:
            raise OSError(number, os.strerror(number))

    errors.fault_hook = hook


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    errors.fault_hook = None


def test_a_written_file_holds_the_content_and_only_its_owner_reads_it(
    tmp_path: Path, open_umask: None
) -> None:
    write_durably(tmp_path / "x", b"one")
    write_durably(tmp_path / "x", b"two" * 1_000_000)
    assert (tmp_path / "x").read_bytes() == b"two" * 1_000_000
    assert mode(tmp_path / "x") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_steps_of_a_write_come_in_the_order_that_survives_a_crash(tmp_path: Path) -> None:
    steps: list[str] = []
    errors.fault_hook = steps.append
    write_durably(tmp_path / "x", b"one")
    assert steps == [
        "file.create", "file.write", "file.fsync", "file.rename", "file.fsync_directory",
    ]  # fmt: skip


@pytest.mark.parametrize("point", ["file.create", "file.write", "file.fsync", "file.rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failed_write_leaves_the_old_file_and_no_stump(
    tmp_path: Path, point: str, number: int
) -> None:
    write_durably(tmp_path / "x", b"old")
    fail_at(point, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_durably(tmp_path / "x", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}


def test_a_planted_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "x").symlink_to(victim)
    write_durably(tmp_path / "x", b"new")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "x").is_symlink()


def test_a_private_file_is_made_once_tightened_and_never_a_link(
    tmp_path: Path, open_umask: None
) -> None:
    private_file(tmp_path / "x")
    assert mode(tmp_path / "x") == 0o600
    (tmp_path / "x").write_bytes(b"kept")
    (tmp_path / "x").chmod(0o644)
    private_file(tmp_path / "x")
    assert mode(tmp_path / "x") == 0o600
    assert (tmp_path / "x").read_bytes() == b"kept"
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        private_file(tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        private_file(tmp_path / "fifo")


def test_a_private_directory_and_its_new_parents_are_closed_to_others(
    tmp_path: Path, open_umask: None
) -> None:
    tmp_path.chmod(0o755)
    assert private_dir(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    assert mode(tmp_path) == 0o755


def test_a_looser_directory_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    private_dir(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


@pytest.mark.parametrize("name", ["file/x", "file", "a\0b", "loop/x", "x" * 300], ids=ascii)
def test_a_directory_that_cannot_be_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotSaving, match=r"^Cannot create .*: .*\.$") as caught:
        private_dir(tmp_path / name)
    assert (caught.value.code, caught.value.exit_status) == ("cannot_create", 73)


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    fail_at("dir.create", errno.EROFS)
    with pytest.raises(NotSaving, match="read-only file system"):
        private_dir(tmp_path / "a")


def test_only_regular_stumps_of_ours_are_removed(tmp_path: Path) -> None:
    stump = ".chats.db.0123456789abcdef.tmp"
    for name in (stump, "chats.db", ".other.tmp", "x.0123456789abcdef.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".link.0123456789abcdef.tmp").symlink_to("chats.db")
    assert remove_stumps(tmp_path) == 1
    assert not (tmp_path / stump).exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_second_lock_names_the_process_that_has_the_first(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    expected = f"Already open in process {holder.pid}. Use --data-dir or --no-save."
    for _ in range(3):
        with pytest.raises(DataDirInUse) as caught:
            DataDirLock(tmp_path)
        assert caught.value.sentence == expected
    assert caught.value.exit_status == 75


def test_a_stopped_process_keeps_its_lock_and_a_killed_one_does_not(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(DataDirInUse):
        DataDirLock(tmp_path)
    holder.kill()
    holder.wait()
    with DataDirLock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_released_lock_can_be_taken_again_even_in_one_process(tmp_path: Path) -> None:
    with DataDirLock(tmp_path), pytest.raises(DataDirInUse):
        DataDirLock(tmp_path)
    lock = DataDirLock(tmp_path)
    lock.release()
    lock.release()
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_program_started_with_the_lock_held_does_not_hold_it(tmp_path: Path) -> None:
    with DataDirLock(tmp_path):
        shown = subprocess.run(
            [sys.executable, "-c", LIST_DESCRIPTORS, str(tmp_path / "lock")],
            close_fds=False,
            capture_output=True,
            check=True,
        )
    assert shown.stdout == b"[]\n"


def test_the_lock_file_is_private_and_never_a_link(tmp_path: Path, open_umask: None) -> None:
    DataDirLock(tmp_path).release()
    assert mode(tmp_path / "lock") == 0o600
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(NotSaving, match=r"Cannot lock .* Use --data-dir or --no-save"):
        DataDirLock(tmp_path)
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_failing_lock_leaves_no_descriptor_open(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with pytest.raises(DataDirInUse):
            DataDirLock(tmp_path)
    assert len(os.listdir("/dev/fd")) == before


def test_a_copy_is_whole_private_and_replaces_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 3_000_000)
    target.write_bytes(b"before")
    copy_durably(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("point", ["file.create", "file.write", "file.fsync", "file.rename"])
def test_a_copy_that_fails_leaves_the_old_file_and_no_stump(tmp_path: Path, point: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"after")
    target.write_bytes(b"before")

    def refuse(reached: str) -> None:
        if reached == point:
            raise OSError(errno.ENOSPC, "full")

    errors.fault_hook = refuse
    try:
        with pytest.raises(OSError, match="full"):
            copy_durably(source, target)
    finally:
        errors.fault_hook = None
    assert target.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_a_link_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "link").symlink_to("secret")
    with pytest.raises(OSError, match="symbolic"):
        copy_durably(tmp_path / "link", tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == ["link", "secret"]


def test_files_that_others_may_read_are_tightened_and_counted(tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("group", 0o620), ("closed", 0o600)):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(mode)
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.write_bytes(b"")
    outside.chmod(0o644)
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "folder").mkdir(mode=0o755)
    assert tighten(tmp_path) == 2
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("open", "group", "closed")}
    assert modes == {0o600}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert tighten(tmp_path) == 0


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    inner = tmp_path / "with space" / "inner"
    inner.mkdir(parents=True)
    table = tmp_path / "mountinfo"
    escaped = str(tmp_path).replace(" ", "\\040")
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        f"2 1 0:50 / {escaped}/with\\040space rw,relatime shared:1 - nfs4 server:/x rw",
        "3 1 0:51 / /elsewhere rw - cifs //server/x rw",
        "a line that makes no sense",
    ]
    table.write_text("\n".join(lines))
    assert network_file_system(inner, table) == "nfs4"
    assert network_file_system(tmp_path, table) is None
    lines.append(f"4 2 8:2 / {escaped}/with\\040space/inner rw - xfs /dev/sdb rw")
    table.write_text("\n".join(lines))
    assert network_file_system(inner, table) is None
    lines.append(f"5 4 0:52 / {escaped}/with\\040space/inner rw - fuse.sshfs host: rw")
    table.write_text("\n".join(lines))
    assert network_file_system(inner, table) == "fuse.sshfs"
    assert network_file_system(inner, tmp_path / "missing") is None
