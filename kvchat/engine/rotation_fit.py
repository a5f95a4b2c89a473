"""RotationFit: where a model's rotation depends on length, keys are rotated for their session's.

With LongRoPE a session that outgrows the length of training, or is cut back to it, has to be read
again once: keys that are stored are never rewritten. Decided before a prompt is read, and between
two steps for a reply that grows; blocks of both kinds are kept apart by their keys.
"""

from typing import TYPE_CHECKING

from kvchat.engine.lineup import Lineup
from kvchat.engine.sequence import Sequence

if TYPE_CHECKING:
    from kvchat.engine.residency import Residency
    from kvchat.kv.paged_cache import PagedKVCache

NOTICE = "The chat crossed the length the model was first trained for; it was read again once."


class RotationFit:
    """Looks after the sequences of one lineup; does nothing for models without such a rotation."""

    def __init__(self, cache: "PagedKVCache", lineup: Lineup) -> None:
        self.residency: Residency | None = None
        self._cache = cache
        self._lineup = lineup

    def is_fit(self, sequence: Sequence, num_tokens: int) -> bool:
        """Say whether the keys of a sequence are rotated as those of so many tokens are."""
        cache, cache_id = self._cache, sequence.cache_id
        if not cache.spec.depends_on_length or not num_tokens:
            return True
        length = cache.scheme_length(cache_id, num_tokens)
        return length == cache.schedule(cache_id).scheme_length

    def prepare(self, sequence: Sequence, num_tokens: int) -> None:
        """Have a sequence rotated for so many tokens; it lets go of keys rotated otherwise."""
        if self.is_fit(sequence, num_tokens):
            return
        cache, cache_id = self._cache, sequence.cache_id
        length = cache.scheme_length(cache_id, num_tokens)
        if cache.length(cache_id) and sequence.request is not None:
            sequence.notice = NOTICE
        if self.residency is not None:
            self.residency.forget(sequence)
            self.residency.will_cut(sequence, 0)
        cache.rotate_for(cache_id, length)
        sequence.looked_at = None

    def requeue_outgrown(self) -> None:
        """Put running sequences back in line whose next token crosses a length."""
        if not self._cache.spec.depends_on_length:
            return
        for sequence in list(self._lineup.running):
            before = self._cache.length(sequence.cache_id)
            self.prepare(sequence, len(sequence.token_ids))
            if self._cache.length(sequence.cache_id) < before:
                self._lineup.running.remove(sequence)
                self._lineup.wait(sequence)
