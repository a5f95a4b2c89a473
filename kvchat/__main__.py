"""`python -m kvchat` is the command `kvchat`."""

from kvchat.console import console

console()
