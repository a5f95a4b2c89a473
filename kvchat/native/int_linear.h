// Products of rows rounded to 8 bits with weights of 8 or 4 bits, some panels at a time.

#pragma once

#include <cstdint>

#include "row_codes.h"

namespace kvchat {

// A weight matrix; mirrored in native/int_linear.py.
struct IntWeights {
    int64_t num_inputs, num_outputs;
    const uint8_t* tiles;    // 8 bits: [panels, fours, 16, 4], code + 128
                             // 4 bits: [panels, groups, 4, 16, 4], two codes + 8 a byte
    const int8_t* steps;     // 4 bits: [panels, groups, 16]; null for 8 bits
    const float* scales;     // [panels * 16], of any value behind the last output
    const float* bias;       // [panels * 16], or null

    int64_t num_panels() const { return (num_outputs + kOutputs - 1) / kOutputs; }
    // What a panel is where it is multiplied.
    int64_t panel_bytes() const { return rounded_up(num_inputs, kInputs) * kOutputs; }
    // Whether codes of so many rows need their sums of groups.
    bool wants_groups(int64_t num_rows) const {
        return KVCHAT_GROUPS && steps != nullptr && num_rows <= kMaxGroupRows;
    }
};

// Multiplies all rows with the panels first .. end - 1. The first of their outputs goes to `output`,
// rows are `stride` numbers apart. A number has the same bits for any rows and panels beside it.
void multiply_panels(const IntWeights& weights, const Codes& codes, int64_t num_rows, int64_t first,
                     int64_t end, float* output, int64_t stride);

}  // namespace kvchat
