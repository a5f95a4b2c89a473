"""HashFolder: a model folder whose words come from HashModel, for `kvchat simulate` and tests.

Tokenizer, template and files are those of a real folder, so everything around the model is real:
prompts, stop strings, streaming, saving. Only the answers are exact integers, which an oracle
without any cache can tell. Imports torch where the model is loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from kvchat.kv.spec import KVCacheSpec
from kvchat.model.folder import GenerationDefaults, ModelFolder
from kvchat.paths import bundled_model_dir

if TYPE_CHECKING:
    import torch

    from kvchat.hash_model import HashModel
    from kvchat.native.kernels import Kernels

LAYER_WINDOWS = (None, 33, None)
"""Two layer groups, one of them with a window of its own."""


@dataclass(frozen=True, slots=True)
class HashFolder(ModelFolder):
    """A checked folder of a real model, with another model in its place."""

    layer_windows: tuple[int | None, ...] = LAYER_WINDOWS

    @classmethod
    def over_bundled(
        cls, *, context_tokens: int, layer_windows: Sequence[int | None] = LAYER_WINDOWS
    ) -> "HashFolder":
        """Take tokenizer and template of the bundled model, and a context of so many tokens."""
        folder = ModelFolder.open(bundled_model_dir())
        config = replace(folder.config, max_position=context_tokens)
        return cls(
            folder.path, config, GenerationDefaults(), (), layer_windows=tuple(layer_windows)
        )

    @property
    def name(self) -> str:
        """The name that is stored with messages."""
        return "HashModel"

    def model(self) -> "HashModel":
        """Return the model, which is its own oracle, too; imports torch."""
        from kvchat.hash_model import HashModel

        return HashModel(self.config.vocab_size, self.layer_windows)

    def kv_spec(self) -> KVCacheSpec:
        """Return what a token stores; imports torch."""
        return self.model().spec

    def load(
        self,
        *,
        dtype: "torch.dtype",
        device: str,
        weights: str = "float",
        kernels: "Kernels | None" = None,
        progress: Callable[[float], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> "HashModel":
        """Return the model; there are no weights."""
        return self.model()

    def digest(self, precision: str) -> str:
        """Return 64 hexadecimal digits that name the model and its precision."""
        text = f"HashModel {self.config.vocab_size} {self.layer_windows} {precision}"
        return blake2b(text.encode(), digest_size=32).hexdigest()
