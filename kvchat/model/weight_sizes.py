"""weight_sizes(): what the weights of a model take in memory, by the names of `--weights`.

Arithmetic on the configuration alone, free of torch; tests compare it with what loading takes.
"""

import math

from kvchat.model.config import ModelConfig

_FLOATS = {"fp32": 4, "bf16": 2, "fp16": 2}
_ROUNDED = {"int8": 1.0, "int4": 0.5 + 1 / 32}
"""Bytes per number of a rounded matrix; int4 has a step for each 32 numbers."""


def weight_sizes(config: ModelConfig, stored_itemsize: int = 2) -> dict[str, int]:
    """Return bytes of all weights by precision; within three percent where they are rounded.

    stored_itemsize  bytes per number in the model's files, in which a rounded model's table stays
    """
    sizes = {name: size * config.num_parameters for name, size in _FLOATS.items()}
    table = config.vocab_size * config.hidden_size
    matrices = config.num_parameters - table * (1 if config.tie_word_embeddings else 2)
    for name, size in _ROUNDED.items():
        # The head, tied or not, has 8 bits.
        sizes[name] = math.ceil(table * (stored_itemsize + 1) + matrices * size)
    return sizes
