"""`python -m kvchat` is the command `kvchat`."""

from kvchat.cli import console

console()
