// Exact sums of products of bytes: 16 outputs at a time, four inputs a call.
//
// Weights are unsigned bytes, a code plus 128; activations are signed, in -127..127. The best
// instruction of this processor is taken; all give the same integers.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define KVCHAT_INLINE inline __attribute__((always_inline))

namespace kvchat {

constexpr int kOutputs = 16;       // outputs of a tile
constexpr int kInputs = 4;         // inputs of a tile
constexpr int kTileBytes = kOutputs * kInputs;
constexpr int32_t kWeightOffset = 128;

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

struct Sums {
    __m512i x;
};
struct Tile {
    __m512i x;
};
struct Four {
    __m512i x;
};

KVCHAT_INLINE Sums all_sums(int32_t value) { return {_mm512_set1_epi32(value)}; }
KVCHAT_INLINE Tile load_tile(const uint8_t* from) { return {_mm512_loadu_si512(from)}; }
KVCHAT_INLINE Four load_four(const int8_t* from) {
    int32_t four;
    std::memcpy(&four, from, sizeof four);
    return {_mm512_set1_epi32(four)};
}
KVCHAT_INLINE void add_products(Sums& sums, Tile weights, Four inputs) {
    sums.x = _mm512_dpbusd_epi32(sums.x, weights.x, inputs.x);
}
KVCHAT_INLINE void store_sums(int32_t* to, Sums sums) { _mm512_storeu_si512(to, sums.x); }

// For 4-bit codes, two to a byte: here they are multiplied as they are, elsewhere unpacked first.
#define KVCHAT_GROUPS 1
KVCHAT_INLINE Tile low_halves(Tile both) {
    return {_mm512_and_si512(both.x, _mm512_set1_epi8(15))};
}
KVCHAT_INLINE Tile high_halves(Tile both) {
    return {_mm512_and_si512(_mm512_srli_epi16(both.x, 4), _mm512_set1_epi8(15))};
}
KVCHAT_INLINE Sums load_steps(const int8_t* from) {
    return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))};
}
// Codes of 4 bits times the steps of their outputs, plus 128: all modulo 256, as bytes are.
KVCHAT_INLINE void store_scaled(uint8_t* to, Tile codes, Sums steps) {
    const __m512i low = _mm512_set1_epi16(255);
    const __m512i bytes = _mm512_and_si512(steps.x, _mm512_set1_epi32(255));
    const __m512i factors = _mm512_or_si512(bytes, _mm512_slli_epi32(bytes, 16));
    const __m512i even = _mm512_mullo_epi16(_mm512_and_si512(codes.x, low), factors);
    const __m512i odd = _mm512_mullo_epi16(_mm512_srli_epi16(codes.x, 8), factors);
    const __m512i products =
        _mm512_or_si512(_mm512_and_si512(even, low), _mm512_slli_epi16(odd, 8));
    const __m512i every = _mm512_or_si512(factors, _mm512_slli_epi16(factors, 8));
    const __m512i eighths = _mm512_and_si512(_mm512_slli_epi16(every, 3), _mm512_set1_epi8(-8));
    const __m512i offsets = _mm512_sub_epi8(_mm512_set1_epi8(-128), eighths);
    _mm512_storeu_si512(to, _mm512_add_epi8(products, offsets));
}
KVCHAT_INLINE void add_multiple(Sums& totals, Sums sums, Sums factors) {
    totals.x = _mm512_add_epi32(totals.x, _mm512_mullo_epi32(sums.x, factors.x));
}

#elif defined(__AVX2__)

struct Sums {
    __m256i x[2];
};
struct Tile {
    __m256i x[2];
};
struct Four {
    __m256i x;
};

KVCHAT_INLINE Sums all_sums(int32_t value) {
    const __m256i x = _mm256_set1_epi32(value);
    return {{x, x}};
}
KVCHAT_INLINE Tile load_tile(const uint8_t* from) {
    const __m256i* vectors = reinterpret_cast<const __m256i*>(from);
    return {{_mm256_loadu_si256(vectors), _mm256_loadu_si256(vectors + 1)}};
}
KVCHAT_INLINE Four load_four(const int8_t* from) {
    int32_t four;
    std::memcpy(&four, from, sizeof four);
    return {_mm256_set1_epi32(four)};
}
KVCHAT_INLINE void add_products(Sums& sums, Tile weights, Four inputs) {
    for (int half = 0; half < 2; ++half) {
#if defined(__AVXVNNI__)
        sums.x[half] = _mm256_dpbusd_avx_epi32(sums.x[half], weights.x[half], inputs.x);
#else
        // Sums of two products of 16 bits each cannot overflow 32 bits; those of 8 bits would 16.
        const __m256i low = _mm256_set1_epi16(255);
        const __m256i even = _mm256_and_si256(weights.x[half], low);
        const __m256i odd = _mm256_srli_epi16(weights.x[half], 8);
        const __m256i even_inputs = _mm256_srai_epi16(_mm256_slli_epi16(inputs.x, 8), 8);
        const __m256i odd_inputs = _mm256_srai_epi16(inputs.x, 8);
        const __m256i sum = _mm256_add_epi32(
            _mm256_madd_epi16(even, even_inputs), _mm256_madd_epi16(odd, odd_inputs));
        sums.x[half] = _mm256_add_epi32(sums.x[half], sum);
#endif
    }
}
KVCHAT_INLINE void store_sums(int32_t* to, Sums sums) {
    __m256i* vectors = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(vectors, sums.x[0]);
    _mm256_storeu_si256(vectors + 1, sums.x[1]);
}

#else

struct Sums {
    int32_t x[kOutputs];
};
struct Tile {
    uint8_t x[kTileBytes];
};
struct Four {
    int8_t x[kInputs];
};

KVCHAT_INLINE Sums all_sums(int32_t value) {
    Sums sums;
    for (int32_t& sum : sums.x) sum = value;
    return sums;
}
KVCHAT_INLINE Tile load_tile(const uint8_t* from) {
    Tile tile;
    std::memcpy(tile.x, from, sizeof tile.x);
    return tile;
}
KVCHAT_INLINE Four load_four(const int8_t* from) {
    Four four;
    std::memcpy(four.x, from, sizeof four.x);
    return four;
}
KVCHAT_INLINE void add_products(Sums& sums, Tile weights, Four inputs) {
    for (int output = 0; output < kOutputs; ++output)
        for (int input = 0; input < kInputs; ++input)
            sums.x[output] += int32_t{weights.x[output * kInputs + input]} * inputs.x[input];
}
KVCHAT_INLINE void store_sums(int32_t* to, Sums sums) { std::memcpy(to, sums.x, sizeof sums.x); }

#endif

#if !defined(KVCHAT_GROUPS)
#define KVCHAT_GROUPS 0
#endif

}  // namespace kvchat
