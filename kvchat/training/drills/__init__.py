"""Chats made by rule, which the bundled model is trained on beside its corpus."""
