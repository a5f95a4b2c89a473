"""HashFolder: a runtime around HashModel, whose replies an oracle without any cache can tell."""

from pathlib import Path

from kvchat.engine.sampler import SamplerRow, sample
from kvchat.hash_folder import HashFolder
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams

SAMPLING = SamplingParams(temperature=0.8, top_p=0.9, max_tokens=30, seed=4)


def test_a_runtime_says_what_the_model_says_of_the_plain_list(tmp_path: Path) -> None:
    folder = HashFolder.over_bundled(context_tokens=512)
    with ChatRuntime(
        folder, device="cpu", weights="fp32", data_dir=tmp_path, pool_bytes=1 << 20, block_size=8
    ) as runtime:
        assert runtime.status().model_name == "HashModel"
        chat = runtime.new_session(window=40, sinks=8)
        for text in ("hello", "tell me more"):
            chat.send(text, SAMPLING).wait(60)
        rows = runtime.host.save(lambda database: database.load_path(chat.messages[-1].id)).result()
    ids = [token_id for row in rows for token_id in row.token_ids]
    start = len(ids) - len(rows[-1].token_ids)
    model = folder.model()
    logits = model.logits(model.states(ids, 40, 8)[start - 1 : -1])
    sampler_rows = [SamplerRow(SAMPLING, 4, at, ids[:at]) for at in range(start, len(ids))]
    assert sample(logits, sampler_rows) == list(rows[-1].token_ids)
    assert len(rows[-1].token_ids) > 1


def test_another_precision_or_other_windows_are_another_model() -> None:
    folder = HashFolder.over_bundled(context_tokens=512)
    other = HashFolder.over_bundled(context_tokens=512, layer_windows=(None,))
    digests = {folder.digest("fp32"), folder.digest("bf16"), other.digest("fp32")}
    assert len(digests) == 3 and all(len(digest) == 64 for digest in digests)
