// Products of a few rows of floats with matrices of floats, some outputs at a time.

#pragma once

#include <cstdint>

namespace kvchat {

constexpr int64_t kFloatLanes = 16;

// A weight matrix as it lies in its file.
struct FloatWeights {
    int64_t num_inputs, num_outputs;
    const float* weights;  // [num_outputs, num_inputs]
    const float* bias;     // [num_outputs], or null
};

// How many floats the interleaved inputs of some rows take.
inline int64_t interleaved_size(int64_t num_rows, int64_t num_inputs) {
    return num_rows * ((num_inputs + kFloatLanes - 1) / kFloatLanes * kFloatLanes);
}

// Puts rows side by side as the product wants them: [blocks, inputs / 16, block rows, 16].
void interleave(const float* rows, int64_t row_stride, int64_t num_rows, int64_t num_inputs,
                float* to);

// Outputs that are multiplied together; chunks are best cut at multiples of it.
int64_t outputs_at_once(int64_t num_rows);

// Multiplies interleaved rows with the outputs first .. end - 1. The first of them goes to `output`,
// rows are `stride` numbers apart. A number has the same bits for any rows and outputs beside it.
void multiply_floats(const FloatWeights& weights, const float* inputs, int64_t num_rows,
                     int64_t first, int64_t end, float* output, int64_t stride);

}  // namespace kvchat
