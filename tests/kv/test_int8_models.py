"""What int8 keys and values do to the answers of a model: figures, with bounds.

A float model's keys differ in their last bits with the shape of a step, so here nothing is equal
bit by bit; `test_quantization.py` checks what is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVDtype
from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer

CHUNKS = (16, 1, 7, 1, 1)

HELD_OUT = [
    "The bus was late again this morning, so I walked along the river instead. The water was"
    " brown after the rain, and two boys were throwing sticks from the bridge.",
    "My grandmother keeps her recipes in an old shoe box. Most of them are written on the backs of"
    " envelopes, and none of them says how much salt to use.",
    "Could you tell me how to get to the library? Go straight until you see the church, then turn"
    " left. It is the big yellow house behind the market.",
    "We planted six apple trees last spring. Four of them are doing well, but the two near the"
    " wall have hardly grown, although we gave them the same amount of water.",
    "If you want to learn to swim, do not begin in the sea. Find a warm pool, hold on to the edge,"
    " and practice breathing until it no longer frightens you.",
    "I would like to make soup from what is left in the kitchen: three carrots, an onion and a"
    " little rice. Start by cutting the onion and frying it slowly in some butter.",
    "Nobody knew who had left the window open, but by evening the whole room smelled of snow. Anna"
    " put on her coat and went to look for the cat.",
    "A good letter says one thing clearly. Write down what you want the reader to do, and leave out"
    " every sentence that does not help.",
    "Please remind me to call the dentist on Monday. Of course. What time would you like me to"
    " remind you? Any time before noon is fine, thank you.",
    "The train to the coast takes four hours, which is long enough to read half of a novel and"
    " short enough not to grow tired of the seat.",
]


@dataclass(frozen=True)
class Comparison:
    """Int8 against plain keys and values, over all tokens of some texts."""

    perplexity: float
    int8_perplexity: float
    mean_kl: float
    agreement: float
    widest_change: float
    """Log-probability by which plain preferred its best token to the one int8 chose instead."""
    num_tokens: int

    @property
    def change(self) -> float:
        """Relative change of perplexity."""
        return self.int8_perplexity / self.perplexity - 1


@torch.inference_mode()
def all_logits(model: Transformer, token_ids: Sequence[int], kv_dtype: KVDtype) -> Tensor:
    """Return the logits after every token, [T, vocab], from a prefill in chunks of many sizes."""
    cache = PagedKVCache(model.config.kv_spec(), 64, block_size=16, kv_dtype=kv_dtype)
    sequence, start = cache.open(), 0
    logits: list[Tensor] = []
    while start < len(token_ids):
        new = token_ids[start : start + CHUNKS[len(logits) % len(CHUNKS)]]
        step = cache.reserve([(sequence, len(new))], [list(new)])
        positions = torch.tensor(step.positions)
        rows = torch.arange(len(new))
        logits.append(model(torch.tensor(new), positions, cache, rows))
        step.commit()
        start += len(new)
    return torch.cat(logits).float()


def compare(model: Transformer, texts: Sequence[Sequence[int]]) -> Comparison:
    """Predict every token of every text both ways."""
    losses: dict[KVDtype, float] = {"auto": 0.0, "int8": 0.0}
    divergence, widest, num_agreed, num_tokens = 0.0, 0.0, 0, 0
    for token_ids in texts:
        plain, coded = (
            all_logits(model, token_ids, kv_dtype)[:-1].log_softmax(-1)
            for kv_dtype in ("auto", "int8")
        )
        targets = torch.tensor(token_ids[1:])[:, None]
        losses["auto"] -= float(plain.gather(1, targets).sum())
        losses["int8"] -= float(coded.gather(1, targets).sum())
        divergence += float((plain.exp() * (plain - coded)).sum())
        chosen = coded.argmax(-1, keepdim=True)
        margin = plain.amax(-1) - plain.gather(1, chosen)[:, 0]
        widest = max(widest, float(margin.max()))
        num_agreed += int((margin == 0).sum())
        num_tokens += len(targets)
    return Comparison(
        float(torch.tensor(losses["auto"] / num_tokens).exp()),
        float(torch.tensor(losses["int8"] / num_tokens).exp()),
        divergence / num_tokens,
        num_agreed / num_tokens,
        widest,
        num_tokens,
    )


def tiny_transformer(seed: int, num_kv_heads: int) -> Transformer:
    config = ModelConfig.from_json(
        {
            "model_type": "llama",
            "vocab_size": 97,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": num_kv_heads,
            "head_dim": 16,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False,
        }
    )
    model = Transformer(config)
    model.initialize(torch.Generator().manual_seed(seed))
    for parameter in model.parameters():
        # Larger than trained weights would be, so that attention is far from uniform.
        parameter.data.mul_(4 if parameter.dim() == 2 else 1)
    return model.eval()


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1], ids=["MHA", "GQA", "MQA"])
def test_a_random_model_chooses_the_same_words_in_int8(num_kv_heads: int) -> None:
    generator = torch.Generator().manual_seed(7)
    texts = [torch.randint(0, 97, (150,), generator=generator).tolist() for _ in range(2)]
    found = compare(tiny_transformer(num_kv_heads, num_kv_heads), texts)
    print(found)
    assert 0 < found.mean_kl < 1e-4
    assert found.agreement >= 0.97
    assert found.widest_change < 0.05


@pytest.mark.slow
def test_the_bundled_model_is_as_good_in_int8() -> None:
    from kvchat.model.checkpoint import load_transformer
    from kvchat.model.folder import ModelFolder
    from kvchat.paths import bundled_model_dir
    from kvchat.text.tokenizer import Tokenizer

    folder = ModelFolder.open(bundled_model_dir())
    model = load_transformer(folder, dtype=torch.float32, device="cpu")
    tokenizer = Tokenizer.load(folder.path)
    found = compare(model, [[1, *tokenizer.encode(text)] for text in HELD_OUT])
    print(found, f"change of perplexity {found.change:+.3%}")
    assert abs(found.change) < 0.005
    assert found.mean_kl < 0.01
    # Among 370 tokens a few are tossed up, and how many depends on the weights.
    assert found.agreement >= 0.97
    assert found.widest_change < 0.1
