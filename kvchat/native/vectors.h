// Sixteen floats at a time: one register with AVX-512, several elsewhere.
//
// Numbers round alike however they are computed: sums over lanes are one fixed tree, and only `fma`
// joins a multiplication with an addition (compile with -ffp-contract=off).

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define KVCHAT_AVX512 1
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define KVCHAT_INLINE inline __attribute__((always_inline))

namespace kvchat {

constexpr int kLanes = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

struct BFloat16 {
    uint16_t bits;
};
struct Float16 {
    uint16_t bits;
};

KVCHAT_INLINE Floats all(float x) {
#if KVCHAT_AVX512
    return _mm512_set1_ps(x);
#else
    return Floats{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#endif
}

KVCHAT_INLINE Floats load(const float* from) {
    Floats x;
    std::memcpy(&x, from, sizeof x);
    return x;
}

KVCHAT_INLINE void store(float* to, Floats x) { std::memcpy(to, &x, sizeof x); }

// a * b + c, rounded once where the processor can.
KVCHAT_INLINE Floats fma(Floats a, Floats b, Floats c) {
#if KVCHAT_AVX512
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    __m256 x[2], y[2], z[2];
    std::memcpy(x, &a, sizeof a);
    std::memcpy(y, &b, sizeof b);
    std::memcpy(z, &c, sizeof c);
    for (int i = 0; i < 2; ++i) z[i] = _mm256_fmadd_ps(x[i], y[i], z[i]);
    std::memcpy(&c, z, sizeof c);
    return c;
#elif defined(__aarch64__)
    float32x4_t x[4], y[4], z[4];
    std::memcpy(x, &a, sizeof a);
    std::memcpy(y, &b, sizeof b);
    std::memcpy(z, &c, sizeof c);
    for (int i = 0; i < 4; ++i) z[i] = vfmaq_f32(z[i], x[i], y[i]);
    std::memcpy(&c, z, sizeof c);
    return c;
#else
    return a * b + c;
#endif
}

// The larger one; the second where the first is NaN.
KVCHAT_INLINE Floats larger(Floats a, Floats b) {
#if KVCHAT_AVX512
    return _mm512_max_ps(a, b);
#else
    return a > b ? a : b;
#endif
}

KVCHAT_INLINE Ints lane_numbers() {
    return Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

// One tree for all sums over lanes: 8 apart, then 4, 2, 1.
KVCHAT_INLINE float sum_of_lanes(Floats x) {
    float lanes[kLanes];
    store(lanes, x);
    for (int apart = 8; apart > 0; apart /= 2)
        for (int lane = 0; lane < apart; ++lane) lanes[lane] = lanes[lane] + lanes[lane + apart];
    return lanes[0];
}

KVCHAT_INLINE float largest_lane(Floats x) {
    float lanes[kLanes];
    store(lanes, x);
    float found = lanes[0];
    for (int lane = 1; lane < kLanes; ++lane) found = lanes[lane] > found ? lanes[lane] : found;
    return found;
}

// exp of numbers up to 0, correct to about two units in the last place; NaN stays NaN.
KVCHAT_INLINE Floats exp_of_negative(Floats x) {
    const Floats lowest = all(-87.0f);
    const Ints is_zero = x < lowest;
    x = is_zero ? lowest : x;
    // Adding this number rounds to an integer, and leaves it in the low bits.
    const Floats magic = all(12582912.0f);
    const Floats shifted = fma(x, all(1.44269504f), magic);
    const Floats n = shifted - magic;
    Floats r = fma(n, all(-0.693359375f), x);
    r = fma(n, all(2.12194440e-4f), r);
    Floats y = all(1.9875691500e-4f);
    y = fma(y, r, all(1.3981999507e-3f));
    y = fma(y, r, all(8.3334519073e-3f));
    y = fma(y, r, all(4.1665795894e-2f));
    y = fma(y, r, all(1.6666665459e-1f));
    y = fma(y, r, all(5.0000001201e-1f));
    y = fma(y * r, r, r) + all(1.0f);
    Ints bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127 << 23);
    Floats power;
    std::memcpy(&power, &bits, sizeof power);
    return is_zero ? all(0.0f) : y * power;
}

// Sixteen numbers of a stored type as floats.
KVCHAT_INLINE Floats load_floats(const float* from) { return load(from); }

KVCHAT_INLINE Floats load_floats(const BFloat16* from) {
#if KVCHAT_AVX512
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
#else
    Ints bits;
    for (int i = 0; i < kLanes; ++i) bits[i] = static_cast<int32_t>(uint32_t{from[i].bits} << 16);
    Floats x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
#endif
}

KVCHAT_INLINE float float_of(Float16 half) {
    const uint32_t sign = uint32_t{half.bits} >> 15 << 31, rest = half.bits & 0x7fffu;
    uint32_t bits;
    float x;
    if (rest >= 0x7c00u) {
        bits = 0x7f800000u | rest << 13;  // infinity and NaN
    } else if (rest >= 0x0400u) {
        bits = (rest << 13) + (112u << 23);
    } else {
        x = static_cast<float>(rest) * 5.9604644775390625e-8f;  // 2 to the -24
        std::memcpy(&bits, &x, sizeof bits);
    }
    bits |= sign;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

KVCHAT_INLINE Floats load_floats(const Float16* from) {
#if KVCHAT_AVX512
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#else
    Floats x;
    for (int i = 0; i < kLanes; ++i) x[i] = float_of(from[i]);
    return x;
#endif
}

KVCHAT_INLINE Floats load_floats(const int8_t* from) {
#if KVCHAT_AVX512
    // Left to themselves, compilers turn this into something several times slower.
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
#else
    Floats x;
    for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(from[i]);
    return x;
#endif
}

// Copies `count` numbers of a stored type to floats, with zeros up to a multiple of kLanes.
template <typename T>
KVCHAT_INLINE void widen(const T* from, int64_t count, float* to) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(to + i, load_floats(from + i));
    if (i < count) {
        T rest[kLanes] = {};
        std::memcpy(rest, from + i, static_cast<size_t>(count - i) * sizeof(T));
        store(to + i, load_floats(rest));
    }
}

KVCHAT_INLINE BFloat16 to_bfloat16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
    return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};  // ties to even
}

KVCHAT_INLINE Float16 to_float16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    uint32_t half;
    if (rest > 0x7f800000u) {
        half = 0x7e00u;  // NaN
    } else if (rest >= 0x477ff000u) {
        half = 0x7c00u;  // rounds to infinity
    } else if (rest >= 0x38800000u) {
        half = (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1)) >> 13;
    } else {
        // Adding this number rounds to the steps of the smallest halves.
        float y;
        std::memcpy(&y, &rest, sizeof y);
        y += 0.5f;
        std::memcpy(&half, &y, sizeof half);
        half -= 0x3f000000u;
    }
    return {static_cast<uint16_t>(sign | half)};
}

#if KVCHAT_AVX512
// Steps of a tree that sums the lanes of sixteen vectors at once; see sums_of_rows.
KVCHAT_INLINE Floats fold_8_apart(Floats a, Floats b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
KVCHAT_INLINE Floats fold_4_apart(Floats a, Floats b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
KVCHAT_INLINE Floats fold_2_apart(Floats a, Floats b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
KVCHAT_INLINE Floats fold_1_apart(Floats a, Floats b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}
#endif

// Turns rows into columns: lane j of row i becomes lane i of row j.
KVCHAT_INLINE void transpose(Floats* rows) {
#if KVCHAT_AVX512
    Floats t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        rows[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        rows[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        rows[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    // Now lane 4 k + r of row 4 i + j is lane 4 k + j of what was row 4 i + r.
    for (int j = 0; j < 4; ++j) {
        const Floats a = _mm512_shuffle_f32x4(rows[j], rows[4 + j], 0x88);
        const Floats b = _mm512_shuffle_f32x4(rows[j], rows[4 + j], 0xdd);
        const Floats c = _mm512_shuffle_f32x4(rows[8 + j], rows[12 + j], 0x88);
        const Floats d = _mm512_shuffle_f32x4(rows[8 + j], rows[12 + j], 0xdd);
        t[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        t[8 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
        t[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
        t[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
    for (int i = 0; i < 16; ++i) rows[i] = t[i];
#else
    float numbers[16][16];
    for (int i = 0; i < 16; ++i) store(numbers[i], rows[i]);
    for (int i = 0; i < 16; ++i) {
        for (int j = 0; j < 16; ++j) rows[j][i] = numbers[i][j];
    }
#endif
}

// Whether codes are turned and widened by registers here.
#if KVCHAT_AVX512
constexpr bool kTurnsCodes = true;
constexpr int kCodes = 64;  // codes of a register

// A mask of the first `count` lanes; of all where there are not as many.
KVCHAT_INLINE __mmask64 first_bits(int64_t count) {
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// Turns 16 rows of 4 times 16 codes into columns, each 16 by itself: code j of row i in the same
// quarter becomes code i of row j.
KVCHAT_INLINE void transpose(__m512i* rows) {
    // Of the number of a row and that of a code, each step moves one bit to the other.
    for (int bit = 0; bit < 4; ++bit) {
        __m512i next[16];
        for (int i = 0; i < 8; ++i) {
            next[2 * i] = _mm512_unpacklo_epi8(rows[i], rows[i + 8]);
            next[2 * i + 1] = _mm512_unpackhi_epi8(rows[i], rows[i + 8]);
        }
        for (int i = 0; i < 16; ++i) rows[i] = next[i];
    }
}
#else
constexpr bool kTurnsCodes = false;
#endif

template <int kCount>
struct Several {
    Floats of[kCount];
};

// Returns in lane i of each vector the sum over the lanes of that vector of row(i), i = 0 .. 15, by
// the tree of sum_of_lanes.
template <int kCount, typename Row>
KVCHAT_INLINE Several<kCount> sums_of_rows(Row row) {
    using Found = Several<kCount>;
#if KVCHAT_AVX512
    // The folds put what comes as 4 t + i into lane 4 i + t.
    const auto pair = [&](int s) __attribute__((always_inline)) {
        Found a = row(4 * (s % 4) + s / 4), b = row(4 * ((s + 1) % 4) + (s + 1) / 4);
        for (int n = 0; n < kCount; ++n) a.of[n] = fold_8_apart(a.of[n], b.of[n]);
        return a;
    };
    const auto four = [&](int s) __attribute__((always_inline)) {
        Found a = pair(s), b = pair(s + 2);
        for (int n = 0; n < kCount; ++n) a.of[n] = fold_4_apart(a.of[n], b.of[n]);
        return a;
    };
    const auto eight = [&](int s) __attribute__((always_inline)) {
        Found a = four(s), b = four(s + 4);
        for (int n = 0; n < kCount; ++n) a.of[n] = fold_2_apart(a.of[n], b.of[n]);
        return a;
    };
    Found a = eight(0), b = eight(8);
    for (int n = 0; n < kCount; ++n) a.of[n] = fold_1_apart(a.of[n], b.of[n]);
    return a;
#else
    Found sums;
    for (int i = 0; i < kLanes; ++i) {
        const Found found = row(i);
        for (int n = 0; n < kCount; ++n) sums.of[n][i] = sum_of_lanes(found.of[n]);
    }
    return sums;
#endif
}

}  // namespace kvchat
