"""Loads the folders named on its standard input, and tells what came of each, and what it did.

Run by its file name. A line of JSON for each: the error and its sentence, CPU seconds, kilobytes of
memory beyond what was used before, and whatever an audit hook saw that no model folder may cause.
"""

import contextlib
import json
import os
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import kvchat
from kvchat.errors import KVChatError
from kvchat.model.folder import ModelFolder
from kvchat.model_report import inspect_model
from kvchat.text.chat_template import ChatTemplate, find_stop_ids
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer

_OWN = [
    os.path.realpath(path)
    for path in (sys.prefix, sys.base_prefix, str(Path(kvchat.__file__).parent), *sys.path)
    if path
]
_OWN += ["/proc/meminfo", "/sys/fs/cgroup"]  # how much memory is free
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = (
    "pickle.", "socket.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink",
    "os.truncate", "shutil.", "urllib.", "http.", "ftplib.", "ctypes.", "code.", "webbrowser.",
)  # fmt: skip


class Watch:
    """What happens while a folder is looked at."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            self._opened(arguments)
        elif event == "subprocess.Popen":
            command = list(arguments[1]) if isinstance(arguments[1], list | tuple) else []
            if command[:2] != [sys.executable, "-I"]:
                self.seen.append(f"started {command}")
        elif event.startswith(_FORBIDDEN):
            self.seen.append(f"{event} {arguments!r:.200}")

    def _opened(self, arguments: tuple[object, ...]) -> None:
        name, _, flags = arguments
        if not isinstance(name, str | bytes) or self.folder is None:
            return  # a descriptor that was opened before
        path = os.path.realpath(os.fsdecode(name))
        is_inside = _is_below(path, self.folder)
        if path == os.devnull:
            return  # the standard error of a sandbox
        if isinstance(flags, int) and flags & _WRITING:
            self.seen.append(f"opened {path} for writing")
        elif is_inside and path.endswith((".py", ".pyc", ".bin", ".pt", ".pkl")):
            self.seen.append(f"opened {path}")
        elif not is_inside and not any(_is_below(path, own) for own in _OWN):
            self.seen.append(f"opened {path}, which is outside")

    @contextlib.contextmanager
    def over(self, folder: str) -> Iterator[list[str]]:
        """Note what no folder may cause; gives the notes."""
        self.seen = []
        self.folder = os.path.realpath(folder)
        try:
            yield self.seen
        finally:
            self.folder = None
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and _is_below(os.path.realpath(file), folder):
                self.seen.append(f"imported {name}")


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def load(path: str, sandbox: Sandbox) -> None:
    """Do all that a runtime does with a folder before its first token."""
    import torch

    folder = ModelFolder.open(path)
    tokenizer = Tokenizer.load(folder.path, sandbox, folder.config.vocab_size)
    template = ChatTemplate.load(folder.path, tokenizer, sandbox)
    find_stop_ids(folder.path, tokenizer, template)
    folder.load(dtype=torch.float32, device="cpu")
    folder.digest("fp32")


def outcome(path: str, sandbox: Sandbox, watch: Watch) -> dict[str, object]:
    """Load a folder and inspect it; return what came of it."""
    error, sentence = None, ""
    before = forget_peak()
    started = time.process_time()
    with watch.over(path) as seen:
        try:
            load(path, sandbox)
        except KVChatError as refused:
            error, sentence = type(refused).__name__, refused.sentence
        except BaseException as other:  # told to the test, which fails
            error = f"untyped: {other!r}"
    seconds = time.process_time() - started
    kilobytes = memory("VmHWM") - before
    with watch.over(path) as seen_inspecting:
        try:
            problems = inspect_model(Path(path)).problems
        except KVChatError as refused:
            problems = [refused.sentence]
        except BaseException as other:
            problems, error = [], f"untyped, while inspected: {other!r}"
    return {
        "error": error,
        "sentence": sentence,
        "seconds": seconds,
        "kilobytes": kilobytes,
        "problems": problems,
        "seen": seen + seen_inspecting,
    }


def forget_peak() -> int:
    """Let the system forget the most memory there was; return what there is now, in kilobytes."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    return memory("VmRSS")


def memory(kind: str) -> int:
    """Return kilobytes of this process, 0 where the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{kind}:"))
    return 0


def main() -> None:
    """Answer until the input ends."""
    import torch

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch.load was called")

    torch.load = refuse
    pickle.load = pickle.loads = refuse
    watch = Watch()
    sys.addaudithook(watch)
    with Sandbox() as sandbox:
        for line in sys.stdin:
            print(json.dumps(outcome(json.loads(line), sandbox, watch)), flush=True)


if __name__ == "__main__":
    main()
