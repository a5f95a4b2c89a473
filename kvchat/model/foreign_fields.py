"""Fields of config.json by what they mean to a family that does not read them.

A field that changes the maths of some family is an error elsewhere, unless its value is one that
changes nothing; a field that never changes logits is ignored; what is left nobody knows, and it is
worth one warning.
"""

import re
from collections.abc import Mapping

NOT_DECODERS: frozenset[str] = frozenset({
    "albert", "bart", "bert", "clip", "convnext", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "falcon_mamba", "longformer", "longt5", "m2m_100", "mamba", "mamba2", "marian",
    "mbart", "modernbert", "mpnet", "mt5", "nomic_bert", "pegasus", "recurrent_gemma", "roberta",
    "rwkv", "siglip", "t5", "umt5", "vit", "wav2vec2", "whisper", "xlm-roberta", "xlstm",
})  # fmt: skip
"""Encoders, encoder-decoders, recurrent and vision-only models: nothing a KV cache could serve."""

FOREIGN_MATHS: Mapping[str, tuple[object, ...]] = {
    "alibi": (False,),
    "attention_bias": (False,),
    "attention_multiplier": (),
    "attn_logit_softcapping": (),
    "clip_qkv": (),
    "decoder_sparse_step": (),
    "dim_model_base": (),
    "embedding_multiplier": (1,),
    "final_logit_softcapping": (),
    "first_k_dense_replace": (0,),
    "is_encoder_decoder": (False,),
    "kv_lora_rank": (),
    "layer_types": (),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "mlp_bias": (False,),
    "moe_intermediate_size": (),
    "moe_layer_freq": (1,),
    "n_routed_experts": (0,),
    "n_shared_experts": (0,),
    "no_rope_layer_interval": (),
    "no_rope_layers": ([],),
    "norm_topk_prob": (False,),
    "num_experts": (0,),
    "num_experts_per_tok": (),
    "num_local_experts": (0, 1),
    "partial_rotary_factor": (1,),
    "q_lora_rank": (),
    "qk_nope_head_dim": (),
    "qk_rope_head_dim": (),
    "qkv_bias": (False,),
    "query_pre_attn_scalar": (),
    "residual_multiplier": (1,),
    "rope_interleaved": (False,),
    "rope_local_base_freq": (),
    "routed_scaling_factor": (1,),
    "scale_depth": (),
    "scale_emb": (1,),
    "scoring_func": ("softmax",),
    "sliding_window": (),
    "sliding_window_pattern": (),
    "topk_method": (),
    "use_bidirectional_attention": (False,),
    "use_parallel_residual": (False,),
    "use_qk_norm": (False,),
    "use_sliding_window": (False,),
    "v_head_dim": (),
}
"""Fields that change the maths of some family, with the values, besides null, that do not."""

INERT_FIELDS = re.compile(
    r"""
    _.* | .*_dropout | .*_dropout_prob | .*_pdrop | output_.* | chunk_size_.* | unsloth_.*
    | transformers.*_(?:version|config|weights) | (?:bos|eos|pad|unk|sep|cls)_token_id
    | (?:boi|eoi|image)_token_(?:id|index) | architectures | auto_map | aux_loss_alpha
    | cache_implementation | dtype | ep_size | finetuning_task | id2label
    | initializer_range | is_decoder | is_llama_config | label2id | max_window_layers
    | mm_tokens_per_image | model_max_length | name_or_path | pretraining_tp | problem_type
    | qk_head_dim | return_dict | router_aux_loss_coef | router_jitter_noise | seq_aux
    | task_specific_params | tokenizer_class | torch_dtype | torchscript | use_bfloat16 | use_cache
    | vision_config
    """,
    re.VERBOSE,
)
"""Names of fields that never change logits; they are ignored without a word."""
