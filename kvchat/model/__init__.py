"""Packed token ids and positions in, logits out; no sessions, no text."""
