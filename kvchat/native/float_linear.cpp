// Linear layers in float32 for few rows, over weights as they lie in their file.
//
// A number is one chain of sixteen sums over the inputs, added up in one order, so it does not
// depend on how many rows there are or which thread computes it.

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "float_linear.h"
#include "pool.h"

#define KVCHAT_INLINE inline __attribute__((always_inline))

namespace kvchat {
namespace {

constexpr int kLanes = kFloatLanes;
constexpr int64_t kMaxRows = 8;           // of a block; with three outputs 24 sums
constexpr int64_t kChunkBytes = 256 << 10;

#if defined(__AVX512F__)

struct Lanes {
    __m512 x;
};
KVCHAT_INLINE Lanes zero() { return {_mm512_setzero_ps()}; }
KVCHAT_INLINE Lanes load(const float* from) { return {_mm512_loadu_ps(from)}; }
KVCHAT_INLINE void add_product(Lanes& sum, Lanes a, Lanes b) {
    sum.x = _mm512_fmadd_ps(a.x, b.x, sum.x);
}
KVCHAT_INLINE float total(Lanes sum) { return _mm512_reduce_add_ps(sum.x); }

#elif defined(__AVX2__) && defined(__FMA__)

struct Lanes {
    __m256 x[2];
};
KVCHAT_INLINE Lanes zero() { return {{_mm256_setzero_ps(), _mm256_setzero_ps()}}; }
KVCHAT_INLINE Lanes load(const float* from) {
    return {{_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}};
}
KVCHAT_INLINE void add_product(Lanes& sum, Lanes a, Lanes b) {
    sum.x[0] = _mm256_fmadd_ps(a.x[0], b.x[0], sum.x[0]);
    sum.x[1] = _mm256_fmadd_ps(a.x[1], b.x[1], sum.x[1]);
}
KVCHAT_INLINE float total(Lanes sum) {
    const __m256 eight = _mm256_add_ps(sum.x[0], sum.x[1]);
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}

#else

struct Lanes {
    float x[kLanes];
};
KVCHAT_INLINE Lanes zero() { return {}; }
KVCHAT_INLINE Lanes load(const float* from) {
    Lanes lanes;
    std::memcpy(lanes.x, from, sizeof lanes.x);
    return lanes;
}
KVCHAT_INLINE void add_product(Lanes& sum, Lanes a, Lanes b) {
    for (int lane = 0; lane < kLanes; ++lane) sum.x[lane] += a.x[lane] * b.x[lane];
}
KVCHAT_INLINE float total(Lanes sum) {
    for (int apart = kLanes / 2; apart > 0; apart /= 2)
        for (int lane = 0; lane < apart; ++lane) sum.x[lane] += sum.x[lane + apart];
    return sum.x[0];
}

#endif

struct FloatLinear : FloatWeights {
    int64_t num_rows;
    const float* inputs;  // [blocks, num_inputs / 16, block rows, 16], zero behind the last input
    float* output;        // of the first output
    int64_t stride;       // numbers from row to row
    int64_t first_output;
};

KVCHAT_INLINE Lanes load_part(const float* from, int64_t count) {
    float part[kLanes] = {};
    std::memcpy(part, from, count * sizeof(float));
    return load(part);
}

// Multiplies neighbouring rows with neighbouring outputs.
template <int kRows, int kOutputs>
void multiply(const FloatLinear& call, int64_t first_row, int64_t first_output) {
    const float* weights[kOutputs];
    for (int output = 0; output < kOutputs; ++output)
        weights[output] = call.weights + (first_output + output) * call.num_inputs;
    const float* inputs = call.inputs + first_row * ((call.num_inputs + kLanes - 1) / kLanes * kLanes);
    Lanes sums[kRows][kOutputs];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 16
        for (int output = 0; output < kOutputs; ++output) sums[row][output] = zero();
    const int64_t whole = call.num_inputs / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
        Lanes values[kOutputs];
#pragma GCC unroll 16
        for (int output = 0; output < kOutputs; ++output) {
            values[output] = load(weights[output] + i);
            // The next outputs' weights: several short streams are more than processors foresee.
            if (kRows > 2) __builtin_prefetch(weights[output] + kOutputs * call.num_inputs + i);
        }
#pragma GCC unroll 16
        for (int row = 0; row < kRows; ++row) {
            const Lanes numbers = load(inputs + row * kLanes);
#pragma GCC unroll 16
            for (int output = 0; output < kOutputs; ++output)
                add_product(sums[row][output], values[output], numbers);
        }
        inputs += kRows * kLanes;
    }
    if (whole < call.num_inputs) {
        const int64_t rest = call.num_inputs - whole;
#pragma GCC unroll 16
        for (int output = 0; output < kOutputs; ++output) {
            const Lanes values = load_part(weights[output] + whole, rest);
#pragma GCC unroll 16
            for (int row = 0; row < kRows; ++row)
                add_product(sums[row][output], values, load(inputs + row * kLanes));
        }
    }
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 16
        for (int output = 0; output < kOutputs; ++output) {
            const int64_t place = first_output + output;
            const float sum = total(sums[row][output]);
            call.output[(first_row + row) * call.stride + place - call.first_output] =
                call.bias == nullptr ? sum : sum + call.bias[place];
        }
}

// One block of rows with the outputs first .. end - 1.
template <int kRows, int kOutputs>
void multiply_outputs(const FloatLinear& call, int64_t first_row, int64_t first, int64_t end) {
    int64_t output = first;
    for (; output + kOutputs <= end; output += kOutputs)
        multiply<kRows, kOutputs>(call, first_row, output);
    for (; output < end; ++output) multiply<kRows, 1>(call, first_row, output);
}

using Multiply = void (*)(const FloatLinear&, int64_t, int64_t, int64_t);
constexpr Multiply kMultiply[] = {
    multiply_outputs<1, 8>, multiply_outputs<2, 6>, multiply_outputs<3, 6>, multiply_outputs<4, 6>,
    multiply_outputs<5, 4>, multiply_outputs<6, 4>, multiply_outputs<7, 3>, multiply_outputs<8, 3>,
};
constexpr int64_t kOutputsAtOnce[] = {8, 6, 6, 6, 4, 4, 3, 3};

int64_t rows_of_block(int64_t num_rows) {
    const int64_t num_blocks = (num_rows + kMaxRows - 1) / kMaxRows;
    return (num_rows + num_blocks - 1) / num_blocks;
}

}  // namespace

int64_t outputs_at_once(int64_t num_rows) { return kOutputsAtOnce[rows_of_block(num_rows) - 1]; }

void multiply_floats(const FloatWeights& weights, const float* inputs, int64_t num_rows,
                     int64_t first, int64_t end, float* output, int64_t stride) {
    const FloatLinear call{weights, num_rows, inputs, output, stride, first};
    const int64_t block_rows = rows_of_block(num_rows);
    const int64_t at_once = kOutputsAtOnce[block_rows - 1];
    // A second block of rows finds the weights in the first cache.
    for (int64_t place = first; place < end; place += at_once)
        for (int64_t row = 0; row < num_rows; row += block_rows)
            kMultiply[std::min(block_rows, num_rows - row) - 1](
                call, row, place, std::min(end, place + at_once));
}

// Rows a power of two apart would share cache lines.
void interleave(const float* rows, int64_t row_stride, int64_t num_rows, int64_t num_inputs,
                float* to) {
    const int64_t block_rows = rows_of_block(num_rows);
    for (int64_t first = 0; first < num_rows; first += block_rows) {
        const int64_t count = std::min(block_rows, num_rows - first);
        for (int64_t i = 0; i < num_inputs; i += kLanes) {
            for (int64_t row = 0; row < count; ++row) {
                const float* from = rows + (first + row) * row_stride + i;
                const int64_t size = std::min<int64_t>(kLanes, num_inputs - i);
                if (size < kLanes) std::memset(to, 0, kLanes * sizeof(float));
                std::memcpy(to, from, size * sizeof(float));
                to += kLanes;
            }
        }
    }
}

}  // namespace kvchat

// Multiplies rows of floats with a matrix of them; `scratch` is for num_rows times num_inputs
// floats, rounded up to 16 inputs.
KVCHAT_EXPORT void kvchat_float_linear(
    int64_t num_inputs, int64_t num_outputs, const float* weights, const float* bias,
    int64_t num_rows, const float* rows, int64_t row_stride, float* output, float* scratch) {
    if (num_rows == 0) return;
    using namespace kvchat;
    interleave(rows, row_stride, num_rows, num_inputs, scratch);
    const FloatWeights matrix{num_inputs, num_outputs, weights, bias};
    const int64_t at_once = outputs_at_once(num_rows);
    const int64_t wanted = kChunkBytes / 4 / num_inputs;
    const int64_t in_chunk = std::max(at_once, wanted / at_once * at_once);
    parallel_for((num_outputs + in_chunk - 1) / in_chunk, [&](int64_t index) {
        const int64_t first = index * in_chunk, end = std::min(num_outputs, first + in_chunk);
        multiply_floats(matrix, scratch, num_rows, first, end, output + first, num_outputs);
    });
}
