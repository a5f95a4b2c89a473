"""Every test of kv/ runs with poisoned pools: what was freed, rewound or never written is NaN."""

import pytest


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVCHAT_POISON", "1")
