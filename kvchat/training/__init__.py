"""How the bundled model is trained: corpus, drills, trainer, export.

`python -m kvchat.train` is the front; nothing of the app needs this folder.
"""
