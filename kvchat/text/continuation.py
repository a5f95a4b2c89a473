"""extend(): how much of a conversation's token ids still stands after it was rendered again.

Ids are the truth: those of a generated reply need not be what encoding its text would give, so
they are kept as long as the new text agrees with the old, up to a place where text and ids are
known to meet. Pure functions; knows neither sessions nor caches.
"""

from collections.abc import Sequence

from kvchat.text.tokenizer import Tokenizer


def extend(
    tokenizer: Tokenizer,
    old_ids: Sequence[int],
    old_text: str,
    new_text: str,
    reply_ends: Sequence[tuple[int, int]] = (),
) -> tuple[int, list[int]]:
    """Return (number of old ids to keep, ids that follow them) for a newly rendered text.

    `old_text` is the exact text of `old_ids`: rendered prompts with their private characters and
    raw replies (`Tokenizer.decode_raw`). `reply_ends` lists (position in the text, number of ids)
    of replies that no control token ends, such as interrupted ones. Text and ids surely meet
    there and at control tokens; the last such place inside the common text is the border. The
    text behind it is encoded as a continuation, and further ids are kept while both agree.
    """
    common = _common_length(old_text, new_text)
    border, num_kept = 0, 0
    positions = (
        index for index, token_id in enumerate(old_ids) if token_id in tokenizer.control_ids
    )
    for (start, end, token_id), index in zip(
        tokenizer.control_spans(old_text), positions, strict=False
    ):
        if old_ids[index] != token_id or start > common:
            break
        border, num_kept = start, index
        if end > common:
            break
        border, num_kept = end, index + 1
    for text_end, num_ids in reply_ends:
        if border < text_end <= common:
            border, num_kept = text_end, num_ids
    if num_kept:
        new_ids = tokenizer.encode_continuation(new_text[border:], old_ids[num_kept - 1])
    else:
        new_ids = tokenizer.encode_rendered(new_text)
    agreed = 0
    for old_id, new_id in zip(old_ids[num_kept:], new_ids, strict=False):
        if old_id != new_id:
            break
        agreed += 1
    return num_kept + agreed, new_ids[agreed:]


def text_of_reply(
    tokenizer: Tokenizer, prompt_text: str, reply_ids: Sequence[int], new_text: str
) -> str:
    """Return the text that the ids of a reply stand for behind their prompt, to be compared.

    The blank that a model puts before its first word is no part of the reply's content, and most
    templates do not write it. That makes no other reply of it, so it is left out where the new
    text has none.
    """
    raw = tokenizer.decode_raw(reply_ids)
    if not tokenizer.begins_with_prefix(reply_ids) or not new_text.startswith(prompt_text):
        return raw
    return raw if new_text.startswith(" ", len(prompt_text)) else raw.removeprefix(" ")


def _common_length(first: str, second: str) -> int:
    """Return the length of the common prefix, by comparing ever smaller halves."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
