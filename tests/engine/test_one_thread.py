"""Torch on one thread, for a while."""

import pytest
import torch

from kvchat.engine.one_thread import one_thread


def test_torch_has_one_thread_inside_and_as_many_as_before_behind_it() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="inside"), one_thread():
            raise ValueError("inside")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
