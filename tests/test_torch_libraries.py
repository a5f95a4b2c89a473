"""The libraries of torch are loaded before it is imported, and the import then finds them."""

import subprocess
import sys

import pytest

from kvchat import torch_libraries


def test_the_libraries_are_in_the_process_before_torch_is_and_torch_works_then() -> None:
    program = (
        "import sys\n"
        "from kvchat.torch_libraries import load_torch_libraries\n"
        "loaded = load_torch_libraries()\n"
        "assert 'torch' not in sys.modules\n"
        "if sys.platform == 'linux':\n"
        "    assert loaded == ['libtorch_cpu.so', 'libtorch_python.so'], loaded\n"
        "    assert 'libtorch_cpu.so' in open('/proc/self/maps').read()\n"
        "import torch\n"
        "assert torch.ones(2).sum().item() == 2.0\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_without_dlopen_or_without_torch_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert torch_libraries.load_torch_libraries() == []
    monkeypatch.undo()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert torch_libraries.load_torch_libraries() == []
