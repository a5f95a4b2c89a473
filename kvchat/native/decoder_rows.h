// What a decoder does to rows between its products: norms, rotations, gates, sums.
//
// A row is one chain of operations in one order, whatever is beside it and whoever computes it.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "decoder.h"
#include "vectors.h"

namespace kvchat {

inline int64_t padded_to_lanes(int64_t size) { return (size + kLanes - 1) / kLanes * kLanes; }

KVCHAT_INLINE Floats load_first(const float* from, int64_t count) {
    if (count >= kLanes) return load(from);
    float part[kLanes] = {};
    std::memcpy(part, from, static_cast<size_t>(count) * sizeof(float));
    return load(part);
}

KVCHAT_INLINE void store_first(float* to, Floats x, int64_t count) {
    if (count >= kLanes) return store(to, x);
    float part[kLanes];
    store(part, x);
    std::memcpy(to, part, static_cast<size_t>(count) * sizeof(float));
}

// Root mean square norm, times a factor; both may be the same row.
inline void norm_row(const float* from, const float* weights, int64_t size, float eps,
                     float* to) {
    Floats sums[2] = {all(0.0f), all(0.0f)};
    int64_t i = 0;
    for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
        const Floats one = load(from + i), other = load(from + i + kLanes);
        sums[0] = fma(one, one, sums[0]);
        sums[1] = fma(other, other, sums[1]);
    }
    for (; i < size; i += kLanes) {
        const Floats rest = load_first(from + i, size - i);
        sums[0] = fma(rest, rest, sums[0]);
    }
    const float mean = sum_of_lanes(sums[0] + sums[1]) / static_cast<float>(size);
    const Floats scale = all(1.0f / std::sqrt(mean + eps));
    for (i = 0; i < size; i += kLanes) {
        const Floats x = load_first(from + i, size - i) * scale;
        store_first(to + i, x * load_first(weights + i, size - i), size - i);
    }
}

// Turns the first channels of a head, each with the one half a rotation behind it.
inline void rotate_head(const float* from, const float* cosine, const float* sine,
                        int64_t rotary_dim, float* to) {
    const int64_t half = rotary_dim / 2;
    for (int64_t i = 0; i < half; ++i) {
        const float one = from[i], other = from[i + half];
        to[i] = one * cosine[i] + other * sine[i];
        to[i + half] = other * cosine[i + half] + one * sine[i + half];
    }
}

KVCHAT_INLINE Floats absolute(Floats x) { return x < all(0.0f) ? all(0.0f) - x : x; }

KVCHAT_INLINE Floats silu(Floats x) {
    const Floats t = exp_of_negative(all(0.0f) - absolute(x));
    const Floats above = x < all(0.0f) ? t : all(1.0f);
    return x * (above / (all(1.0f) + t));
}

KVCHAT_INLINE Floats gelu_tanh(Floats x) {
    const Floats y = (x + x * x * x * all(0.044715f)) * all(0.7978845608f);
    const Floats t = exp_of_negative(absolute(y) * all(-2.0f));
    const Floats tanh = (all(1.0f) - t) / (all(1.0f) + t);
    return x * all(0.5f) * (all(1.0f) + (y < all(0.0f) ? all(0.0f) - tanh : tanh));
}

// gate = activation(gate) * up, of rows with room for a multiple of kLanes.
inline void gate_row(int64_t activation, float* gate, const float* up, int64_t size) {
    if (activation == kSilu) {
        for (int64_t i = 0; i < size; i += kLanes) store(gate + i, silu(load(gate + i)) * load(up + i));
    } else {
        for (int64_t i = 0; i < size; i += kLanes)
            store(gate + i, gelu_tanh(load(gate + i)) * load(up + i));
    }
}

inline void add_row(float* hidden, const float* branch, float scale, int64_t size) {
    if (scale == 1.0f) {
        for (int64_t i = 0; i < size; ++i) hidden[i] = hidden[i] + branch[i];
    } else {
        for (int64_t i = 0; i < size; ++i) hidden[i] = hidden[i] + branch[i] * scale;
    }
}

}  // namespace kvchat
