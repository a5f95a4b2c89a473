import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kvchat import device
from kvchat.errors import InvalidArgument

MIB, GIB = 1 << 20, 1 << 30


def test_auto_takes_the_best_device_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.choose_device("auto") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device("auto") == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.choose_device("auto") == "cpu"


def test_a_device_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "available_devices", lambda: ("cuda", "cpu"))
    assert device.choose_device("cpu") == "cpu"
    assert device.choose_device("cuda") == "cuda"


@pytest.mark.parametrize("name", ["cuda", "tpu", "", "CPU"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(device, "available_devices", lambda: ("mps", "cpu"))
    with pytest.raises(InvalidArgument) as caught:
        device.choose_device(name)
    assert caught.value.sentence == f"Device {name!r} is not here; this machine has: cpu, mps."
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("num_parameters", "available", "expected"),
    [
        (device.MAX_FP32_PARAMETERS, 10 * GIB, "fp32"),
        (device.MAX_FP32_PARAMETERS + 1, 10 * GIB, "int8"),
        (100 * MIB, 1000 * MIB, "fp32"),
        (101 * MIB, 1000 * MIB, "int8"),
    ],
)
def test_auto_weights_on_the_cpu_depend_on_size_and_memory(
    monkeypatch: pytest.MonkeyPatch, num_parameters: int, available: int, expected: str
) -> None:
    monkeypatch.setattr(device, "available_memory_bytes", lambda: available)
    assert device.choose_weights("cpu", "auto", num_parameters) == expected


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        ("int8", torch.float32),
        ("int4", torch.float32),
    ],
)
def test_named_weights_are_taken_with_their_arithmetic(name: str, dtype: torch.dtype) -> None:
    assert device.choose_weights("cpu", name, 1) == name
    assert device.compute_dtype("cpu", name) == dtype


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="one of: auto, fp32, bf16, fp16, int8, int4"):
        device.choose_weights("cpu", "fp8", 1)


@pytest.mark.parametrize(
    ("name", "device_name", "expected"),
    [
        ("fp16", "cpu", "--weights fp16 does not work on cpu; use fp32, bf16, int8 or int4."),
        ("int4", "cuda", "--weights int4 does not work on cuda; use fp32, bf16 or int8."),
        ("int8", "mps", "--weights int8 does not work on mps; use fp32 or bf16."),
    ],
)
def test_a_precision_the_device_cannot_multiply_in_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, device_name: str, expected: str
) -> None:
    monkeypatch.setattr(device, "_multiplies", lambda name, dtype: dtype != torch.float16)
    with pytest.raises(InvalidArgument) as caught:
        device.choose_weights(device_name, name, 1)
    assert caught.value.sentence == expected


def fake_files(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    monkeypatch.setattr(device, "_read_text", lambda path: files.get(str(path)))


SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@pytest.mark.parametrize(
    ("siblings", "allowed", "quota", "expected"),
    [
        (["0-1", "0-1", "2-3", "2-3"], {0, 1, 2, 3}, None, 2),
        (["0-1", "0-1", "2-3", "2-3"], {1}, None, 1),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, "max 100000", 4),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, "250000 100000", 2),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, "50000 100000", 1),
        ([str(cpu) for cpu in range(64)], set(range(64)), None, 16),
        ([], {0, 1, 2}, None, 3),
    ],
)
def test_threads_default_to_physical_cores_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
    siblings: list[str],
    allowed: set[int],
    quota: str | None,
    expected: int,
) -> None:
    files = {SIBLINGS.format(cpu): text for cpu, text in enumerate(siblings)}
    if quota is not None:
        files["/sys/fs/cgroup/cpu.max"] = quota
    fake_files(monkeypatch, files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed, raising=False)
    assert device.default_threads() == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 * GIB),
        ({"/sys/fs/cgroup/memory.max": "max", "/sys/fs/cgroup/memory.current": "5"}, 8 * GIB),
        (
            {
                "/sys/fs/cgroup/memory.max": str(GIB),
                "/sys/fs/cgroup/memory.current": str(256 * MIB),
            },
            768 * MIB,
        ),
        (
            {
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB),
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": str(2 * GIB),
            },
            0,
        ),
    ],
)
def test_available_memory_respects_the_control_group(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    meminfo = f"MemTotal: 99 kB\nMemAvailable:   {8 * GIB // 1024} kB\nCached: 1 kB"
    fake_files(monkeypatch, files | {"/proc/meminfo": meminfo})
    assert device.available_memory_bytes() == expected


def test_without_a_figure_of_the_kernel_half_of_the_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_files(monkeypatch, {})
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 100}.get)
    assert device.available_memory_bytes() == 4096 * 50


def test_this_machine_has_memory() -> None:
    assert device.available_memory_bytes() > 0
    assert device.default_threads() >= 1


@pytest.mark.parametrize(
    ("available", "context", "expected"),
    [
        (4 * GIB, MIB, GIB),
        (64 * GIB, MIB, 2 * GIB),
        (4 * GIB, 3 * GIB, 3 * GIB),
    ],
)
def test_the_default_pool_is_a_quarter_of_the_memory_within_bounds(
    available: int, context: int, expected: int
) -> None:
    found = device.pool_budget(None, context_bytes=context, available_bytes=available)
    assert found == expected


def test_a_given_pool_is_taken() -> None:
    assert device.pool_budget(5, context_bytes=MIB, available_bytes=GIB) == 5


@pytest.mark.parametrize(
    ("pool_bytes", "expected"),
    [(0, "at least 1"), (3 * GIB, "A pool of 3 GiB does not fit: 1.5 GiB of memory are")],
)
def test_an_impossible_pool_is_refused(pool_bytes: int, expected: str) -> None:
    with pytest.raises(InvalidArgument, match=expected):
        device.pool_budget(pool_bytes, context_bytes=MIB, available_bytes=3 * GIB // 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4096", 4096),
        ("512MiB", 512 * MIB),
        ("512mb", 512 * MIB),
        ("2G", 2 * GIB),
        (" 1.5 GiB ", 3 * GIB // 2),
        ("1k", 1024),
        ("10B", 10),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    assert device.parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1e9", "MiB", "1 PiB", "1.5.5G", "0.1B", "١GiB", "9" * 99, "1i", "nan"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a size; write it like 512MiB or 2GiB"):
        device.parse_size(text)


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (512 * MIB, "512 MiB"),
     (3 * GIB // 2, "1.5 GiB"), (1023 * MIB, "1023 MiB")],
)  # fmt: skip
def test_sizes_are_shown(num_bytes: int, expected: str) -> None:
    assert device.show_size(num_bytes) == expected


def test_a_size_is_read_without_torch() -> None:
    program = (
        "import sys; from kvchat.device import parse_size, default_threads;"
        "parse_size('1G'); default_threads(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parent)


@pytest.mark.cuda
def test_cuda_has_memory_and_a_precision() -> None:
    assert device.choose_device("auto") == "cuda"
    assert device.available_memory_bytes("cuda") > 0
    assert device.choose_weights("cuda", "auto", 1) in ("bf16", "fp16")
    assert device.compute_dtype("cuda", "int8") in (torch.bfloat16, torch.float16)
