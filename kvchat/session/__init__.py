"""Conversations: message trees, sessions, replies, prompts."""
