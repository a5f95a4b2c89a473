"""Proving that token ids out of a file are what this model would have made of the text beside them.

Ids are part of a prompt without being seen, so a file could say anything with them: another text
than it shows, or control tokens. So a user message's ids must be exactly those that the template
gives for its place in the conversation, and a reply's ids must give exactly its text, with no
control token but the one that ends it. Everything else is encoded again from its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageNode, node_of
from kvchat.session.prompt_thread import PromptThread, Voice
from kvchat.store.rows import MessageRow, SessionRow, system_key


def prove_token_ids(
    prompts: PromptThread,
    model_name: str,
    session: SessionRow,
    messages: Sequence[MessageRow],
    claimed: Mapping[str, tuple[int, ...]],
) -> dict[str, bool]:
    """Say for messages of one tree whether the ids a file claims for them are proved.

    messages  all messages of the tree, parents first, without the claimed ids
    claimed   ids by message; those of another model or system prompt are not judged

    A message below one whose ids are not proved is not proved either. On the prompts thread.
    """
    voice = prompts.voice()
    nodes: dict[str, MessageNode] = {}
    verdicts: dict[str, bool] = {}
    for row in messages:
        node = nodes[row.id] = node_of(row)
        ids = claimed.get(row.id)
        if ids is None or row.model_name != model_name:
            continue
        if row.role == "user" and row.system_key != system_key(session.system):
            continue
        if row.role == "assistant":
            is_proved = gives_text(voice, session, ids, row.text)
        else:
            path = [node]
            while path[-1].parent_id is not None:
                path.append(nodes[path[-1].parent_id])
            is_proved = tuple(prompts.write(session, path[::-1]).stored_ids) == ids
        verdicts[row.id] = is_proved
        if is_proved:
            nodes[row.id] = node_of(replace(row, token_ids=ids))
    return verdicts


def gives_text(voice: Voice, session: SessionRow, ids: Sequence[int], text: str) -> bool:
    """Say whether the ids of a reply give exactly this text, and hide nothing."""
    tokenizer = voice.writer.tokenizer
    inner = ids[:-1] if ids and ids[-1] in voice.stop_ids else ids
    if not all(0 <= each < tokenizer.vocab_size for each in ids):
        return False
    if not tokenizer.control_ids.isdisjoint(inner):
        return False
    for stop in ((), SamplingParams().with_values(session.sampling).stop):
        stream = voice.text_stream(stop)
        if "".join(map(stream.push, ids)) + stream.flush() == text:
            return True
    return False
