"""One row per model type: what a missing key means, which maths it has, how tensors are named.

Data only. A family whose arithmetic the modules of this folder already have is added by a row.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Defaults and tensor names of one `model_type`.

    `tensor_prefix` stands before every name but `lm_head.weight` in a checkpoint; without it the
    names are those of our modules. Tensors that match `ignorable` may be there and are not read.
    """

    model_type: str
    max_position: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    tensor_prefix: str = "model."
    ignorable: re.Pattern[str] = re.compile(r"(?:.*\.)?rotary_emb\.inv_freq")


FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (
        Family(
            "llama",
            max_position=2048,
            rms_norm_eps=1e-6,
            rope_theta=10_000.0,
            tie_word_embeddings=False,
        ),
    )
}
"""Every supported family by its `model_type`."""

NOT_DECODERS: frozenset[str] = frozenset({
    "albert", "bart", "bert", "clip", "convnext", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "falcon_mamba", "longformer", "longt5", "m2m_100", "mamba", "mamba2", "marian",
    "mbart", "modernbert", "mpnet", "mt5", "nomic_bert", "pegasus", "recurrent_gemma", "roberta",
    "rwkv", "siglip", "t5", "umt5", "vit", "wav2vec2", "whisper", "xlm-roberta", "xlstm",
})  # fmt: skip
"""Encoders, encoder-decoders, recurrent and vision-only models: nothing a KV cache could serve."""

FOREIGN_MATHS: Mapping[str, tuple[object, ...]] = {
    "alibi": (False,),
    "attention_multiplier": (),
    "attn_logit_softcapping": (),
    "clip_qkv": (),
    "decoder_sparse_step": (),
    "dim_model_base": (),
    "embedding_multiplier": (1,),
    "final_logit_softcapping": (),
    "is_encoder_decoder": (False,),
    "kv_lora_rank": (),
    "layer_types": (),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "moe_intermediate_size": (),
    "n_routed_experts": (0,),
    "no_rope_layers": ([],),
    "num_experts": (0,),
    "num_local_experts": (0, 1),
    "partial_rotary_factor": (1,),
    "q_lora_rank": (),
    "qkv_bias": (False,),
    "query_pre_attn_scalar": (),
    "residual_multiplier": (1,),
    "rope_interleaved": (False,),
    "rope_local_base_freq": (),
    "scale_depth": (),
    "scale_emb": (1,),
    "sliding_window": (),
    "use_bidirectional_attention": (False,),
    "use_parallel_residual": (False,),
    "use_qk_norm": (False,),
    "use_sliding_window": (False,),
}
"""Fields that change the maths of other families, with the values, besides null, that do not."""

INERT_FIELDS = re.compile(
    r"""
    _.* | .*_dropout | .*_dropout_prob | .*_pdrop | output_.* | chunk_size_.* | unsloth_.*
    | transformers.*_(?:version|config|weights) | (?:bos|eos|pad|unk|sep|cls)_token_id
    | architectures | auto_map | cache_implementation | dtype | finetuning_task | id2label
    | initializer_range | is_decoder | is_llama_config | label2id | max_window_layers
    | model_max_length | name_or_path | pretraining_tp | problem_type | return_dict
    | task_specific_params | tokenizer_class | torch_dtype | torchscript | use_bfloat16 | use_cache
    """,
    re.VERBOSE,
)
"""Names of fields that never change logits; they are ignored without a word."""
