// One layer of a step as the caller describes it: where its numbers lie, and of what type they are.

#pragma once

#include <cstdint>

namespace kvchat {

enum Type : int64_t { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kInt8 = 3 };

// Strides count elements, the last axis of everything is dense.
struct Layer {
    int64_t kv_type, query_type;
    int64_t num_kv_heads, group, key_dim, value_dim;
    void* key;
    void* value;  // for latents the same as `key`
    int64_t key_head_stride, key_slot_stride, value_head_stride, value_slot_stride;
    float* key_scale;  // of int8 codes, else null
    float* value_scale;
    int64_t scale_head_stride, scale_slot_stride;
    double scale, soft_cap;  // no cap where it is 0
    const void* query;
    const void* turned;  // queries for sinks, or null where the same serve
    int64_t query_token_stride, query_head_stride;
    void* out;
    int64_t out_token_stride, out_head_stride;
    // Keys and values to be stored first, of the query's type: none where num_new is 0, and no
    // values for latents.
    int64_t num_new;
    const int64_t* new_slots;
    const void* new_key;
    const void* new_value;
    int64_t new_key_token_stride, new_key_head_stride, new_value_token_stride,
        new_value_head_stride;
};

// Writes the new keys and values to their slots.
void store_tokens(const Layer& layer);

struct Plan;

// How a layer is shared between threads.
struct Sharing {
    // Fewer multiplications are done by the caller alone, sooner than another could be waited for.
    int64_t worth = 1 << 19;
    // Up to so many tokens nobody is waited for, if everything the layer names outlives stragglers:
    // then even few keys, which lie in memory, take longer than to tell another thread.
    int64_t most_drafted = 0;
    int64_t worth_drafting = 1 << 14;
};

// Stores the new tokens of a step, if there are any, attends the tokens of a plan and writes their
// outputs. Touches only slots that the layer and the plan name.
void attend_layer(const Plan& plan, const Layer& layer, const Sharing& sharing = {});

}  // namespace kvchat
