"""Paged KV memory: token ids and tensors; no model, no text.

Letters in shape comments: T tokens of the step, R rows, H query heads, K key/value heads,
G query heads per key/value head, D head size, S keys of a run."""
