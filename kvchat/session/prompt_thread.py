"""PromptThread: the thread that loads tokenizer and template, and writes prompts in order.

It owns nothing of the engine or the store. Templates run in another process, whose answer is waited
for here and nowhere else.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from kvchat.engine.request import WindowChange
from kvchat.session.message import MessageNode
from kvchat.session.path_windows import need_system, with_sinks
from kvchat.session.prompt import Prompt, PromptWriter
from kvchat.store.rows import SessionRow
from kvchat.text.chat_template import ChatTemplate, find_stop_ids
from kvchat.text.detokenizer import StreamDetokenizer
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer

Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Voice:
    """What turns messages into token ids and back, once it is loaded."""

    writer: PromptWriter
    stop_ids: frozenset[int]

    def text_stream(self, stop: Sequence[str]) -> StreamDetokenizer:
        """Return what turns a reply's ids into text, which ends before any of these strings."""
        return self.writer.tokenizer.detokenizer((*stop, *self.writer.template.stop_strings))


class PromptThread:
    """Loads the voice of a model folder, then runs what writes prompts, one job at a time."""

    def __init__(self, folder: Path, model_name: str, num_rows: int | None = None) -> None:
        """`num_rows` is how many token ids the model knows."""
        self._folder = folder
        self._num_rows = num_rows
        self._model_name = model_name
        self._fixed: dict[str | None, int] = {}
        self._sandbox = Sandbox()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kvchat-prompts")
        self._voice: Future[Voice] = self._thread.submit(self._load)

    def submit(self, job: Callable[[], Result]) -> "Future[Result]":
        """Run a job after those before it; raises RuntimeError after `close`."""
        return self._thread.submit(job)

    def voice(self) -> Voice:
        """Return the voice; waits until it is loaded, and raises what loading raised."""
        return self._voice.result()

    @property
    def num_token_ids(self) -> int | None:
        """How many ids the tokenizer has; None before it is loaded, or where it cannot be."""
        is_loaded = self._voice.done() and not self._voice.cancelled()
        if not is_loaded or self._voice.exception() is not None:
            return None
        return self.voice().writer.tokenizer.vocab_size

    def num_fixed_tokens(self, system: str | None) -> int | None:
        """Return how many tokens every prompt with this system text begins with, if known yet."""
        return self._fixed.get(system)

    def write(self, row: SessionRow, path: Sequence[MessageNode]) -> Prompt:
        """Return the prompt of a path that ends in a new user message. This thread only."""
        return self.voice().writer.write(path, row.system, _date_of(row))

    def learn_fixed_tokens(self, row: SessionRow) -> None:
        """Count what every prompt of a session begins with. This thread only."""
        if row.system not in self._fixed:
            writer = self.voice().writer
            self._fixed[row.system] = writer.num_fixed_tokens(row.system, _date_of(row))

    def windows(
        self, row: SessionRow, windows: Sequence[WindowChange]
    ) -> tuple[WindowChange, ...] | None:
        """Return windows of a session's path with numbers of sinks; None while not known yet."""
        num_fixed = self._fixed.get(row.system)
        if num_fixed is None and need_system(windows):
            return None
        return with_sinks(windows, num_fixed or 0)

    def learn_windows(
        self, row: SessionRow, windows: Sequence[WindowChange]
    ) -> tuple[WindowChange, ...]:
        """Return windows of a session's path with numbers of sinks. This thread only."""
        if need_system(windows):
            self.learn_fixed_tokens(row)
        return with_sinks(windows, self._fixed.get(row.system, 0))

    def shutdown(self) -> None:
        """End the thread after the job that runs; those that wait are dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """End the process that renders templates."""
        self._sandbox.close()

    def _load(self) -> Voice:
        self._sandbox.start()
        tokenizer = Tokenizer.load(self._folder, self._sandbox, self._num_rows)
        template = ChatTemplate.load(self._folder, tokenizer, self._sandbox)
        if template.notice is not None:
            log.info("%s", template.notice)  # no warning: the first reply says it to the user
        stop_ids = find_stop_ids(self._folder, tokenizer, template)
        return Voice(PromptWriter(tokenizer, template, self._model_name), stop_ids)


def _date_of(row: SessionRow) -> str:
    return row.template_date or date.today().isoformat()
