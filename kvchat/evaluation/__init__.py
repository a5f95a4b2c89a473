"""How well a model chats and reads: fixed prompts, checks of the answers, figures, reports.

`python -m kvchat.evaluate` is the front; nothing of the app needs this folder.
"""
