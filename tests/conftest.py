"""Settings every test shares: one torch thread, printed seeds, no network."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A made-up corpus, and a work folder with its tokenizer and token caches."""
    from kvchat.train import SMOKE, Trainer

    corpus, work = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("work")
    names = ["Anna", "Ben", "Clara", "Dora", "Emil", "Fritz"]
    things = ["apple", "river", "window", "garden", "kitchen", "mountain", "letter", "bicycle"]
    texts: list[dict[str, object]] = []
    chats: list[dict[str, object]] = []
    for number in range(120):
        name, thing = names[number % 6], things[number % 8]
        text = f"{name} saw the {thing} at {number} o'clock.\nIt was a fine {thing}."
        texts.append({"text": text, "source": "tatoeba"})
        messages = [("user", f"hi, I am {name}"), ("assistant", f"Hello {name}!")]
        if number % 3 == 0:
            messages += [("user", f"where is the {thing}?"), ("assistant", f"{number} steps away.")]
        chat = [{"role": role, "content": content} for role, content in messages]
        chats.append({"messages": chat, "source": "kvchat-templates"})
    for stem, records in (("pretrain_text", texts), ("sft_chat", chats)):
        for split, chosen in (("train", records), ("val", records[:6])):
            lines = "".join(json.dumps(record) + "\n" for record in chosen)
            (corpus / f"{stem}.{split}.jsonl").write_text(lines, encoding="utf-8")
    Trainer(SMOKE, corpus, work).close()
    return corpus, work
