import subprocess
import sys

_INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, {handler})
sys.meta_path.insert(0, Interrupting())
sys.argv = ["kvchat", "--version"]
from kvchat.console import console
console()
"""


def run(name: str, handler: str) -> subprocess.CompletedProcess[str]:
    program = _INTERRUPTED.format(name=name, handler=handler)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_interrupt_during_the_imports_ends_quietly_with_130() -> None:
    ended = run("kvchat.cli_options", "signal.default_int_handler")

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    ended = run("kvchat.cli_options", "signal.SIG_IGN")

    assert (ended.returncode, ended.stderr) == (0, "") and "kvchat" in ended.stdout


def test_a_command_that_is_not_interrupted_ends_as_it_should() -> None:
    ended = run("nothing", "signal.default_int_handler")

    assert (ended.returncode, ended.stderr) == (0, "") and "kvchat" in ended.stdout
