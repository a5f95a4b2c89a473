"""one_thread(): keeps torch on the calling thread for work that is too small to share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch's operators compute on the calling thread alone inside, then as before.

    Its threads meet at the end of each operator, and where another program keeps a processor busy
    the one waits for the other: a step of two threads took two to three times as long as one's.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
