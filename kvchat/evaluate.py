"""`python -m kvchat.evaluate`: how well a model predicts a text, through the paged cache.

Reads one long text as a single sequence and reports perplexity and bits per byte, for stretches of
positions too, so that a window or int8 keys and values can be compared with the whole in float.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from kvchat import paths
from kvchat.device import ROUNDED_WEIGHTS, compute_dtype, default_threads
from kvchat.errors import KVChatError
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVDtype
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer
from kvchat.text.tokenizer import Tokenizer

CHUNK_TOKENS = 256
STRETCH_TOKENS = 2000
MAX_TEXT_BYTES = 64 << 20
FLOATS = ("fp32", "bf16")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model read a text: the loss of each token in nats, and how many blocks it held."""

    losses: list[float]
    max_blocks: int
    final_blocks: int


def read_text(
    model: Transformer,
    token_ids: Sequence[int],
    *,
    window: int | None,
    sinks: int,
    kv_dtype: KVDtype,
    block_size: int = 32,
) -> Reading:
    """Predict every token of one sequence from those before it, in chunks.

    Without a window the text must fit the context. Raises KVChatError otherwise.
    """
    limit = model.config.max_position
    if window is None and len(token_ids) > limit:
        raise KVChatError(
            f"The text has {len(token_ids)} tokens and the context {limit}; give --window or a "
            "smaller --tokens."
        )
    held = len(token_ids) if window is None else window + sinks + 2 * CHUNK_TOKENS
    cache = PagedKVCache(
        model.config.kv_spec(),
        held // block_size + 4,
        block_size=block_size,
        dtype=model.norm.weight.dtype,
        kv_dtype=kv_dtype,
    )
    sequence = cache.open(window=window, sinks=sinks)
    losses: list[float] = []
    max_blocks, position = 0, 0
    with torch.inference_mode():
        while position < len(token_ids) - 1:
            count = min(CHUNK_TOKENS, len(token_ids) - 1 - position)
            count = cache.chunk_limit(sequence, count)
            chunk = list(token_ids[position : position + count])
            step = cache.reserve([(sequence, count)], [chunk])
            logits = model(torch.tensor(chunk), torch.tensor(step.positions), cache)
            step.commit()
            wanted = torch.tensor(token_ids[position + 1 : position + count + 1])
            losses += functional.cross_entropy(logits.float(), wanted, reduction="none").tolist()
            position += count
            max_blocks = max(max_blocks, cache.pools[0].num_private)
    return Reading(losses, max_blocks, cache.pools[0].num_private)


def _perplexity(losses: Sequence[float]) -> float:
    return math.exp(sum(losses) / len(losses)) if losses else math.nan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the last line of its output is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m kvchat.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=None, metavar="DIR")
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="UTF-8 text")
    parser.add_argument("--tokens", type=int, default=20_000, metavar="N", help="at most")
    parser.add_argument("--window", type=int, metavar="N")
    parser.add_argument("--sinks", type=int, default=4, metavar="S")
    parser.add_argument("--kv-dtype", choices=("auto", "int8"), default="auto")
    parser.add_argument("--weights", choices=(*FLOATS, *ROUNDED_WEIGHTS), default="fp32")
    parser.add_argument("--threads", type=int, default=default_threads(), metavar="N")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        folder = ModelFolder.open(
            paths.bundled_model_dir() if options.model is None else options.model
        )
        tokenizer = Tokenizer.load(folder.path)
        text = options.text.read_text(encoding="utf-8", errors="replace")[:MAX_TEXT_BYTES]
        ids = tokenizer.encode(text)[: options.tokens]
        if tokenizer.bos_id is not None:
            ids = [tokenizer.bos_id, *ids]
        is_rounded = options.weights in ROUNDED_WEIGHTS
        model = load_transformer(
            folder,
            dtype=compute_dtype("cpu", options.weights),
            device="cpu",
            weights=options.weights if is_rounded else "float",
        )
        reading = read_text(
            model,
            ids,
            window=options.window,
            sinks=options.sinks,
            kv_dtype=options.kv_dtype,
        )
    except OSError as error:
        print(f"Cannot read {options.text}: {error.strerror}.", file=sys.stderr)
        return 66
    except KVChatError as error:
        print(error.sentence, file=sys.stderr)
        return error.exit_status
    losses = reading.losses
    num_bytes = len(tokenizer.decode(ids).encode())
    stretches = [
        _perplexity(losses[start : start + STRETCH_TOKENS])
        for start in range(0, len(losses), STRETCH_TOKENS)
    ]
    for place, value in enumerate(stretches):
        print(f"tokens {place * STRETCH_TOKENS:6} and on: perplexity {value:9.2f}")
    report = {
        "tokens": len(losses),
        "window": options.window,
        "sinks": options.sinks if options.window else 0,
        "weights": options.weights,
        "kv_dtype": options.kv_dtype,
        "bits_per_byte": round(sum(losses) / math.log(2) / num_bytes, 4),
        "perplexity": round(_perplexity(losses), 3),
        "perplexity_first_2000": round(_perplexity(losses[:STRETCH_TOKENS]), 3),
        "perplexity_after_2000": round(_perplexity(losses[STRETCH_TOKENS:]), 3),
        "max_blocks": reading.max_blocks,
        "final_blocks": reading.final_blocks,
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
