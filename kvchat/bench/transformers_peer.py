"""TransformersPeer: the same model in Hugging Face transformers, at its reasonable best.

Prompts of one length need no padding, so a step is one forward pass of the whole batch over its
DynamicCache, with torch's fused attention and the last tokens' logits only; no `generate` around.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HOW_TO_INSTALL = "transformers is not installed, so it is left out: pip install transformers."


def is_installed() -> bool:
    """Whether transformers can be imported."""
    from importlib.util import find_spec

    return find_spec("transformers") is not None


class TransformersPeer:
    """A causal language model of transformers, over weights it may share with us.

    weights  tensors by the names of the checkpoint; those of the folder where there are none
    """

    def __init__(
        self, folder: Path, dtype: torch.dtype, weights: dict[str, Tensor] | None = None
    ) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.name = f"transformers {'fp32' if dtype == torch.float32 else 'bf16'}"
        self.version = transformers.__version__
        self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="sdpa"
        ).eval()  # Any: transformers has no types
        if weights is not None:
            self._model.load_state_dict(weights, strict=True, assign=True)
        self._new_cache = transformers.DynamicCache
        self._cache: Any = None
        self._last: Tensor | None = None
        self._prompt_length = 0
        self._prompts: Tensor | None = None
        self._said: list[Tensor] = []
        self.num_bytes = sum(each.nbytes for each in self._model.parameters())

    def set_threads(self, num_threads: int) -> None:
        """Set torch's number of threads."""
        torch.set_num_threads(num_threads)

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute all prompts in one batch, 512 tokens of them at a time."""
        self.end()
        self._prompts = torch.tensor(prompts)
        self._prompt_length = self._prompts.shape[1]
        self._cache = self._new_cache()
        if self._prompt_length > 1:
            for piece in torch.split(self._prompts[:, :-1], 512, 1):
                self._forward(piece)
        self.restart()

    def restart(self) -> None:
        """Crop the cache to the prompts and compute their last tokens again."""
        assert self._prompts is not None
        surplus = self._cache.get_seq_length() - (self._prompt_length - 1)
        if surplus > 0:
            self._cache.crop(-surplus)
        self._said = []
        self._say(self._forward(self._prompts[:, -1:]))

    def step(self) -> None:
        """Run the last tokens through the model."""
        self._say(self._forward(self._said[-1]))

    def said(self) -> list[list[int]]:
        """Return the tokens since the last restart, a list for each stream."""
        return torch.cat(self._said, 1).tolist()

    def end(self) -> None:
        """Free the cache."""
        self._cache, self._prompts, self._said = None, None, []

    def prefill(self, prompt: Sequence[int]) -> None:
        """Run a prompt over a new cache in one pass."""
        kept, self._cache = self._cache, self._new_cache()
        self._forward(torch.tensor([prompt])).argmax(-1).tolist()
        self._cache = kept

    def logits(self, prompt: Sequence[int]) -> list[float]:
        """Return the logits that follow a prompt."""
        kept, self._cache = self._cache, self._new_cache()
        found = self._forward(torch.tensor([prompt]))[0]
        self._cache = kept
        return found.float().tolist()

    def close(self) -> None:
        """Free the model."""
        self.end()
        self._model = None

    def _forward(self, token_ids: Tensor) -> Tensor:
        """Return the logits of the last tokens, [B, vocab_size]."""
        with torch.inference_mode():
            found = self._model(
                input_ids=token_ids,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return found.logits[:, -1]  # type: ignore[no-any-return]

    def _say(self, logits: Tensor) -> None:
        self._said.append(logits.argmax(-1, keepdim=True))
