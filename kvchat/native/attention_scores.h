// Scores of queries with the keys of a piece: the same bits row by row and transposed.

#pragma once

#include <algorithm>
#include <type_traits>

#include "attention_call.h"

namespace kvchat {

// What transposed keys are stored as: codes stay codes where turning and widening them is fast.
template <typename T>
using Turned = std::conditional_t<kTurnsCodes && std::is_same<T, int8_t>::value, int8_t, float>;

// So many keys are fetched before they are read.
constexpr int kAhead = 2 * kTile;

// With more queries than that, transposing the keys of a piece costs less than it saves.
template <typename T>
constexpr int64_t kFewQueries = std::is_same<Turned<T>, int8_t>::value ? 2 : 8;

// Scores of kCount queries with the keys at 16 addresses. kVectors is the number of vectors of a
// key, or 0 where only `num_vectors` says it.
template <int kCount, int kVectors, typename T>
KVCHAT_INLINE void score_tile(const float* queries, const T* const* keys, int64_t num_vectors,
                              float* scores) {
    const int64_t count = kVectors ? kVectors : num_vectors;
    const auto found = sums_of_rows<kCount>([&](int i) __attribute__((always_inline)) {
        const T* const key = keys[i];
        Several<kCount> sums;
        const Floats first = load_floats(key);
        for (int q = 0; q < kCount; ++q) {
            sums.of[q] = load(queries + q * count * kLanes) * first;
        }
        for (int64_t c = 1; c < count; ++c) {
            const Floats next = load_floats(key + c * kLanes);
            for (int q = 0; q < kCount; ++q) {
                sums.of[q] = fma(load(queries + (q * count + c) * kLanes), next, sums.of[q]);
            }
        }
        return sums;
    });
    for (int q = 0; q < kCount; ++q) store(scores + q * kCell, found.of[q]);
}

template <int kVectors, typename T>
KVCHAT_INLINE void score_tile_by_all(const float* queries, int64_t num_queries,
                                     const T* const* keys, int64_t num_vectors, float* scores) {
    const int64_t size = num_vectors * kLanes;
    int64_t q = 0;
    for (; q + 2 <= num_queries; q += 2) {
        score_tile<2, kVectors>(queries + q * size, keys, num_vectors, scores + q * kCell);
    }
    if (q < num_queries) {
        score_tile<1, kVectors>(queries + q * size, keys, num_vectors, scores + q * kCell);
    }
}

template <typename T>
KVCHAT_INLINE void prefetch_rows(const T* base, const int64_t* slots, int64_t stride, int64_t dim,
                                 int first, int behind) {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int i = first; i < behind; ++i) {
        const T* const row = base + slots[i] * stride;
        // Into the second level: a piece would push everything else out of the first.
        for (int64_t c = 0; c < dim; c += kLine) __builtin_prefetch(row + c, 0, 2);
    }
}

// The keys that are read first; the others are fetched kAhead before they are read.
template <typename T>
void prefetch_first(const Layer& layer, const T* keys, const Piece& piece, const int64_t* slots) {
    prefetch_rows(keys, slots, layer.key_slot_stride, layer.key_dim, 0,
                  std::min(kAhead, piece.num_keys));
}

// While 16 keys are scored: those kAhead of them, and their values.
template <typename T>
KVCHAT_INLINE void prefetch_next(const Layer& layer, const T* keys, const T* values,
                                 const Piece& piece, const int64_t* slots, int first) {
    prefetch_rows(keys, slots, layer.key_slot_stride, layer.key_dim, first + kAhead,
                  std::min(first + kAhead + kTile, piece.num_keys));
    prefetch_rows(values, slots, layer.value_slot_stride, layer.value_dim, first,
                  std::min(first + kTile, piece.num_keys));
}

// Scores of a few queries, row by row of the keys.
template <int kVectors, typename T>
void score_rows(const Call& call, const T* base, const T* values, const Piece& piece,
                int64_t num_queries, Scratch& scratch, const float* queries, float* scores) {
    const int64_t dim = call.layer.key_dim, size = call.key_padded;
    const int64_t stride = call.layer.key_slot_stride;
    // Keys that need converting are converted once, unless one pass reads them all.
    const bool is_direct = dim == size && (std::is_same<T, float>::value || num_queries <= 2);
    float* const tile = scratch.keys.get(kCell * size);
    for (int first = 0; first < piece.num_keys; first += kTile) {
        prefetch_next(call.layer, base, values, piece, scratch.slots, first);
        const T* keys[kTile];
        for (int i = 0; i < kTile; ++i) {
            // What lies behind the last key is read as that key, and never used.
            keys[i] = base + scratch.slots[std::min(first + i, piece.num_keys - 1)] * stride;
        }
        if (is_direct) {
            score_tile_by_all<kVectors>(queries, num_queries, keys, size / kLanes, scores + first);
            continue;
        }
        const float* rows[kTile];
        for (int i = 0; i < kTile; ++i) {
            widen(keys[i], dim, tile + i * size);
            rows[i] = tile + i * size;
        }
        score_tile_by_all<kVectors>(queries, num_queries, rows, size / kLanes, scores + first);
    }
}

// Transposes 16 keys: [channel % 16][channel / 16][16 keys].
template <typename T>
KVCHAT_INLINE void transpose_tile(const T* const* keys, int64_t dim, int64_t size, float* to) {
    for (int64_t channel = 0; channel < dim; channel += kLanes) {
        Floats rows[kTile];
        for (int i = 0; i < kTile; ++i) {
            if (channel + kLanes <= dim) {
                rows[i] = load_floats(keys[i] + channel);
            } else {
                float rest[kLanes];
                widen(keys[i] + channel, dim - channel, rest);
                rows[i] = load(rest);
            }
        }
        transpose(rows);
        for (int lane = 0; lane < kLanes; ++lane) store(to + lane * size + channel, rows[lane]);
    }
}

#if KVCHAT_AVX512
KVCHAT_INLINE void transpose_tile(const int8_t* const* keys, int64_t dim, int64_t size,
                                  int8_t* to) {
    for (int64_t channel = 0; channel < size; channel += kCodes) {
        // Channels behind the last one are zeros.
        const __mmask64 is_read = first_bits(dim - channel);
        const __mmask16 is_stored = static_cast<__mmask16>(first_bits((size - channel) / 4));
        __m512i rows[kTile];
        for (int i = 0; i < kTile; ++i) {
            rows[i] = _mm512_maskz_loadu_epi8(is_read, keys[i] + channel);
        }
        transpose(rows);
        for (int lane = 0; lane < kLanes; ++lane) {
            int8_t* const row = to + lane * size + channel;
            if (size - channel >= kCodes) {
                _mm512_storeu_si512(row, rows[lane]);  // what is read soon, without a mask
            } else {
                _mm512_mask_storeu_epi32(row, is_stored, rows[lane]);
            }
        }
    }
}
#endif

// Scores of kCount queries with 16 transposed keys: what score_tile computes, bit by bit, since it
// adds channels of equal number modulo 16 first, and these by the same tree.
template <int kCount, int kVectors, typename Key>
struct TransposedTile {
    using Found = Several<kCount>;
    const Key* keys;
    const float* queries;
    int64_t num_vectors;

    // The sum of channels lane, lane + 16, ...
    KVCHAT_INLINE Found channels(int lane) const {
        const int64_t size = (kVectors ? kVectors : num_vectors) * kLanes;
        const Key* const turned = keys + lane * size;
        const float* const query = queries + lane;
        Found sums;
        const Floats key = load_floats(turned);
        for (int q = 0; q < kCount; ++q) sums.of[q] = all(query[q * size]) * key;
        for (int64_t c = kLanes; c < size; c += kLanes) {
            const Floats next = load_floats(turned + c);
            for (int q = 0; q < kCount; ++q) {
                sums.of[q] = fma(all(query[q * size + c]), next, sums.of[q]);
            }
        }
        return sums;
    }

    KVCHAT_INLINE static Found sum(const Found& one, const Found& other) {
        Found sums;
        for (int q = 0; q < kCount; ++q) sums.of[q] = one.of[q] + other.of[q];
        return sums;
    }

    KVCHAT_INLINE Found scores() const {
        Found found[4];
        // A loop: with all of the tree at once compilers run out of registers.
        #pragma GCC unroll 1
        for (int lane = 0; lane < 4; ++lane) {
            found[lane] = sum(sum(channels(lane), channels(lane + 8)),
                              sum(channels(lane + 4), channels(lane + 12)));
        }
        return sum(sum(found[0], found[2]), sum(found[1], found[3]));
    }
};

template <int kCount, typename Key>
KVCHAT_INLINE void score_transposed_tile(const Key* keys, int64_t num_vectors,
                                         const float* queries, float* scores) {
    const Several<kCount> found =
        num_vectors == 4 ? TransposedTile<kCount, 4, Key>{keys, queries, 4}.scores()
                         : TransposedTile<kCount, 0, Key>{keys, queries, num_vectors}.scores();
    for (int q = 0; q < kCount; ++q) store(scores + q * kCell, found.of[q]);
}

template <typename Key>
void score_transposed_tile_by_all(const float* queries, int64_t num_queries, const Key* keys,
                                  int64_t num_vectors, float* scores) {
    for (int64_t q = 0; q < num_queries; q += kTogether) {
        const float* const from = queries + q * num_vectors * kLanes;
        float* const to = scores + q * kCell;
        switch (num_queries - q) {
            case 1: score_transposed_tile<1>(keys, num_vectors, from, to); break;
            case 2: score_transposed_tile<2>(keys, num_vectors, from, to); break;
            case 3: score_transposed_tile<3>(keys, num_vectors, from, to); break;
            default: score_transposed_tile<kTogether>(keys, num_vectors, from, to);
        }
    }
}

// Scores of many queries. The first of them transpose the keys, tile by tile, so that the next keys
// are on their way meanwhile.
template <typename T>
void score_transposed(const Call& call, const T* base, const T* values, const Piece& piece,
                      const int64_t* slots, bool are_first, Turned<T>* transposed,
                      int64_t num_queries, const float* queries, float* scores) {
    const int64_t dim = call.layer.key_dim, size = call.key_padded;
    const int64_t stride = call.layer.key_slot_stride;
    for (int first = 0; first < piece.num_keys; first += kTile) {
        Turned<T>* const tile = transposed + first * size;
        if (are_first) {
            prefetch_next(call.layer, base, values, piece, slots, first);
            const T* keys[kTile];
            for (int i = 0; i < kTile; ++i) {
                keys[i] = base + slots[std::min(first + i, piece.num_keys - 1)] * stride;
            }
            transpose_tile(keys, dim, size, tile);
        }
        score_transposed_tile_by_all(queries, num_queries, tile, size / kLanes, scores + first);
    }
}

}  // namespace kvchat
