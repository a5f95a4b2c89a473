"""ExpertsConfig: which layers choose among experts, and how."""

from dataclasses import dataclass
from typing import Literal

from kvchat.errors import ModelError
from kvchat.model.config_fields import MAX_SCALE, FieldReader, shown


@dataclass(frozen=True, slots=True)
class ExpertsConfig:
    """A mixture of experts (Shazeer et al. 2017) in place of the feed-forward layer.

    num_experts         experts to choose from, `num_chosen` for each token
    intermediate_size   channels inside one expert
    shared_size         channels inside the experts that every token has, together; 0 is none
    first_layer         layers before it are dense
    is_normalized       weights of the chosen experts add up to one
    scale               what multiplies the weights then
    num_groups, num_chosen_groups   experts outside the best groups are not chosen; 1 and 1 is all
    """

    num_experts: int
    num_chosen: int
    intermediate_size: int
    shared_size: int = 0
    first_layer: int = 0
    is_normalized: bool = True
    scale: float = 1.0
    num_groups: int = 1
    num_chosen_groups: int = 1

    def num_parameters(self, hidden_size: int, *, has_bias: bool) -> int:
        """Return how many numbers a layer of experts has, its router included."""
        count = self.num_experts * hidden_size * (1 + 3 * self.intermediate_size)
        if self.shared_size:
            count += 3 * hidden_size * self.shared_size
            if has_bias:
                count += 2 * self.shared_size + hidden_size
        return count


def read_experts(
    reader: FieldReader, style: Literal["mixtral", "deepseek"], intermediate_size: int
) -> ExpertsConfig:
    """Return the experts that a config states, in the words of either style."""
    name = "num_local_experts" if style == "mixtral" else "n_routed_experts"
    num_experts = reader.size(name)
    num_chosen = reader.size("num_experts_per_tok")
    if num_chosen > num_experts:
        raise ModelError(
            f"config.json: num_experts_per_tok is {num_chosen}, but there are {num_experts} "
            "experts."
        )
    if style == "mixtral":
        return ExpertsConfig(num_experts, num_chosen, intermediate_size)
    width = reader.size("moe_intermediate_size")
    num_groups, num_chosen_groups = _groups(reader, num_experts, num_chosen)
    return ExpertsConfig(
        num_experts,
        num_chosen,
        width,
        shared_size=width * reader.size("n_shared_experts"),
        first_layer=reader.integer("first_k_dense_replace", 0, 1 << 16),
        is_normalized=False,
        scale=reader.number("routed_scaling_factor", 1e-6, MAX_SCALE),
        num_groups=num_groups,
        num_chosen_groups=num_chosen_groups,
    )


def _groups(reader: FieldReader, num_experts: int, num_chosen: int) -> tuple[int, int]:
    method = reader.value("topk_method")
    if method == "greedy":
        return 1, 1
    if method != "group_limited_greedy":
        raise ModelError(
            f"config.json: topk_method is {shown(method)}, expected 'greedy' or "
            "'group_limited_greedy'."
        )
    num_groups = reader.integer("n_group", 1, num_experts)
    num_chosen_groups = reader.integer("topk_group", 1, num_groups)
    if num_experts % num_groups or num_chosen > num_chosen_groups * (num_experts // num_groups):
        raise ModelError(
            f"config.json: {num_experts} experts in n_group {num_groups}, of which topk_group is "
            f"{num_chosen_groups}, cannot give num_experts_per_tok {num_chosen}."
        )
    return num_groups, num_chosen_groups
