"""LlamaPeer: the same weights in llama.cpp, by the C interface that llama-cpp-python brings.

Weights are quantised by llama.cpp itself. Streams are sequences of one batch; keys and values are
float16, its default, or float32 beside float32 weights; attention is what it chooses by itself.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvchat.errors import KVChatError

HOW_TO_INSTALL = "llama.cpp is not installed, so it is left out: pip install llama-cpp-python."
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
"""The names of llama.cpp's file types, and its numbers for them."""
_KV_F32 = 0
_CHUNK = 512


def is_installed() -> bool:
    """Whether llama-cpp-python can be imported."""
    from importlib.util import find_spec

    return find_spec("llama_cpp") is not None


def quantize_file(source: Path, target: Path, file_type: str, num_threads: int) -> None:
    """Let llama.cpp write a GGUF file of float32 in another type; raises KVChatError."""
    library = _library()
    wanted = library.llama_model_quantize_default_params()
    wanted.ftype = FILE_TYPES[file_type]
    wanted.nthread = num_threads
    paths = str(source).encode(), str(target).encode()
    if library.llama_model_quantize(*paths, ctypes.byref(wanted)) != 0:
        raise KVChatError(f"llama.cpp could not write the weights as {file_type}.")


class LlamaPeer:
    """A model of llama.cpp from a GGUF file."""

    def __init__(self, path: Path, file_type: str) -> None:
        self.name = f"llama.cpp {file_type}"
        self._library = _library()
        self._file_type = file_type
        self._num_threads = 1
        wanted = self._library.llama_model_default_params()
        wanted.n_gpu_layers = 0
        self._model = self._library.llama_model_load_from_file(str(path).encode(), wanted)
        if not self._model:
            raise KVChatError(f"llama.cpp could not load {path.name}.")
        vocabulary = self._library.llama_model_get_vocab(self._model)
        self._vocab_size = self._library.llama_vocab_n_tokens(vocabulary)
        self._context: Any = None  # what the C interface returns
        self._room = 0
        self._batch = self._library.llama_batch_init(_CHUNK, 0, 1)
        self._prompts: list[list[int]] = []
        self._said: list[list[int]] = []

    @property
    def version(self) -> str:
        """Of llama-cpp-python, which pins llama.cpp."""
        import llama_cpp

        return str(llama_cpp.__version__)

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights."""
        return int(self._library.llama_model_size(self._model))

    def set_threads(self, num_threads: int) -> None:
        """Set llama.cpp's number of threads, for prompts and for single tokens."""
        self._num_threads = num_threads
        if self._context is not None:
            self._library.llama_set_n_threads(self._context, num_threads, num_threads)

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Make a context with a sequence for each prompt, and compute all but their last tokens."""
        self.end()
        self._prompts = [list(prompt) for prompt in prompts]
        length = max(len(prompt) for prompt in self._prompts)
        self._context = self._new_context(len(prompts), length)
        for number, prompt in enumerate(self._prompts):
            self._compute(self._context, prompt[:-1], number)
        self.restart()

    def restart(self) -> None:
        """Remove what was said, and compute the last tokens of the prompts again."""
        memory = self._library.llama_get_memory(self._context)
        for number, prompt in enumerate(self._prompts):
            self._library.llama_memory_seq_rm(memory, number, len(prompt) - 1, -1)
        self._said = [[] for _ in self._prompts]
        self._say([prompt[-1] for prompt in self._prompts])

    def step(self) -> None:
        """Decode one batch with the last token of each stream."""
        self._say([said[-1] for said in self._said])

    def said(self) -> list[list[int]]:
        """Return the tokens since the last restart, a list for each stream."""
        return self._said

    def end(self) -> None:
        """Free the context."""
        if self._context is not None:
            self._library.llama_free(self._context)
            self._context = None
        self._prompts = []

    def prefill(self, prompt: Sequence[int]) -> None:
        """Compute a prompt in the sequence of a context of its own, and its first token."""
        self._ready_for(prompt)
        self._compute(self._context, prompt, 0)
        self._logits(self._context, 1).argmax().item()

    def logits(self, prompt: Sequence[int]) -> list[float]:
        """Return the logits that follow a prompt."""
        self._ready_for(prompt)
        self._compute(self._context, prompt, 0)
        return self._logits(self._context, 1)[0].tolist()

    def close(self) -> None:
        """Free the model."""
        self.end()
        if self._model is not None:
            self._library.llama_batch_free(self._batch)
            self._library.llama_model_free(self._model)
            self._model = None

    def _ready_for(self, prompt: Sequence[int]) -> None:
        """Have an empty context of one sequence that holds a prompt; the last one if it does."""
        if self._context is None or self._prompts or len(prompt) > self._room:
            self.end()
            self._context = self._new_context(1, len(prompt))
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), False)

    def _new_context(self, num_sequences: int, length: int) -> Any:
        wanted = self._library.llama_context_default_params()
        wanted.n_seq_max = num_sequences
        # Each sequence gets its part, in pieces of 256.
        self._room = -(-(length + 64) // 256) * 256
        wanted.n_ctx = num_sequences * self._room
        wanted.n_batch = wanted.n_ubatch = _CHUNK
        wanted.n_threads = wanted.n_threads_batch = self._num_threads
        wanted.no_perf = True
        if self._file_type == "F32":
            wanted.type_k = wanted.type_v = _KV_F32
        context = self._library.llama_init_from_model(self._model, wanted)
        if not context:
            raise KVChatError("llama.cpp could not make room for the streams.")
        return context

    def _compute(self, context: Any, tokens: Sequence[int], sequence: int) -> None:
        """Compute tokens of one sequence from its beginning, with logits of the last one."""
        for start in range(0, len(tokens), _CHUNK):
            chunk = tokens[start : start + _CHUNK]
            for place, token in enumerate(chunk):
                self._put(place, token, start + place, sequence, place == len(chunk) - 1)
            self._decode(context, len(chunk))

    def _say(self, tokens: Sequence[int]) -> None:
        """Compute a token of each stream, and choose the likeliest that follows each."""
        pairs = zip(self._prompts, self._said, strict=True)
        for place, (prompt, said) in enumerate(pairs):
            self._put(place, tokens[place], len(prompt) - 1 + len(said), place, True)
        self._decode(self._context, len(tokens))
        chosen = self._logits(self._context, len(tokens)).argmax(-1).tolist()
        for said, token in zip(self._said, chosen, strict=True):
            said.append(token)

    def _put(self, place: int, token: int, position: int, sequence: int, wants: bool) -> None:
        batch = self._batch
        batch.token[place], batch.pos[place] = token, position
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
        batch.logits[place] = wants

    def _decode(self, context: Any, num_tokens: int) -> None:
        self._batch.n_tokens = num_tokens
        status = self._library.llama_decode(context, self._batch)
        if status != 0:
            raise KVChatError(f"llama.cpp could not compute a step (status {status}).")

    def _logits(self, context: Any, num_rows: int) -> Tensor:
        """Return a view of the logits of the last call, [num_rows, vocab_size]."""
        pointer = self._library.llama_get_logits(context)
        count = num_rows * self._vocab_size
        array = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * count)).contents
        return torch.frombuffer(array, dtype=torch.float32).view(num_rows, -1)


_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_SAY_NOTHING = _LogCallback(lambda _level, _text, _user: None)
"""Takes the lines that llama.cpp would write to standard error; must live as long as it does."""


def _library() -> Any:
    """Return the C interface, which is silent from then on."""
    from llama_cpp import llama_cpp

    llama_cpp.llama_log_set(_SAY_NOTHING, None)
    llama_cpp.llama_backend_init()
    return llama_cpp
