"""Which layers of a model see a window only, and which do not rotate, as config.json says it."""

from dataclasses import dataclass

from kvchat.errors import ModelError
from kvchat.model.config_fields import MAX_POSITION, FieldReader, shown
from kvchat.model.families import Family

_FULL, _SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True)
class LayerWindows:
    """The window of a model, None if it has none, and the layers that have it.

    `windowed_layers` are named even where the window is None, since in some families they rotate
    otherwise. `unrotated_layers` do not rotate at all.
    """

    window: int | None = None
    windowed_layers: tuple[int, ...] = ()
    unrotated_layers: tuple[int, ...] = ()


def read_layer_windows(reader: FieldReader, family: Family, num_layers: int) -> LayerWindows:
    """Return the windows that a config states, by list of layers or by the rule of its family."""
    unrotated = _unrotated_layers(reader, family, num_layers)
    rule = family.window_rule
    if rule == "none":
        return LayerWindows(unrotated_layers=unrotated)
    window = None
    may_slide = "use_sliding_window" not in family.honours or reader.flag("use_sliding_window")
    is_null = reader.is_null("sliding_window")
    if may_slide and not is_null and reader.value("sliding_window") is not None:
        window = reader.integer("sliding_window", 1, MAX_POSITION)
    named = _named_layers(reader, num_layers)
    if not may_slide:
        return LayerWindows(unrotated_layers=unrotated)
    if named is None:
        named = _implied_layers(reader, rule, num_layers, unrotated)
    elif named and window is None:
        raise ModelError(
            f"config.json: layer_types[{named[0]}] is '{_SLIDING}', but sliding_window is "
            f"{'null' if is_null else 'missing'}."
        )
    if window is None and rule != "pattern":
        named = ()
    return LayerWindows(window if named else None, named, unrotated)


def _named_layers(reader: FieldReader, num_layers: int) -> tuple[int, ...] | None:
    """Return the layers that `layer_types` calls sliding; None where it says nothing."""
    kinds = reader.value("layer_types")
    if kinds is None:
        return None
    if not isinstance(kinds, list) or len(kinds) != num_layers:
        raise ModelError(
            f"config.json: layer_types is {shown(kinds)}, expected a list of {num_layers} names."
        )
    for index, kind in enumerate(kinds):
        if kind not in (_FULL, _SLIDING):
            raise ModelError(
                f"config.json: layer_types[{index}] is {shown(kind)}, expected '{_FULL}' or "
                f"'{_SLIDING}'."
            )
    return tuple(index for index, kind in enumerate(kinds) if kind == _SLIDING)


def _implied_layers(
    reader: FieldReader, rule: str, num_layers: int, unrotated: tuple[int, ...]
) -> tuple[int, ...]:
    if rule == "upper":
        first = reader.integer("max_window_layers", 0, 1 << 16)
        return tuple(range(first, num_layers))
    if rule == "alternating":
        return tuple(range(0, num_layers, 2))
    if rule == "pattern":
        pattern = reader.integer("sliding_window_pattern", 1, 1 << 16)
        return tuple(index for index in range(num_layers) if (index + 1) % pattern)
    if rule == "unrotated":
        return unrotated
    assert rule == "all", rule
    return tuple(range(num_layers))


def _unrotated_layers(reader: FieldReader, family: Family, num_layers: int) -> tuple[int, ...]:
    if "no_rope_layers" not in family.honours:
        return ()
    flags = reader.value("no_rope_layers")
    if flags is None:
        interval = reader.integer("no_rope_layer_interval", 1, 1 << 16)
        return tuple(range(interval - 1, num_layers, interval))
    if (
        not isinstance(flags, list)
        or len(flags) != num_layers
        or set(map(repr, flags)) - {"0", "1"}
    ):
        raise ModelError(
            f"config.json: no_rope_layers is {shown(flags)}, expected a list of {num_layers} "
            "numbers 0 or 1."
        )
    return tuple(index for index, rotates in enumerate(flags) if not rotates)
