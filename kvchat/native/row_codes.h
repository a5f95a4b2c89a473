// Rows of floats rounded to 8 bits, each by its own largest number, as the products want them.
//
// The operations of `model/row_codes.py` in the same order: equal bits. Compile with
// -ffp-contract=off.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "int8_dot.h"
#include "pool.h"

namespace kvchat {

constexpr int64_t kGroup = 32;         // inputs that share a step of 4-bit weights
constexpr int64_t kMaxBlockRows = 12;  // with two panels 24 sums, which registers hold
constexpr int kMaxGroupRows = 8;       // with more rows 4-bit codes are unpacked first

struct FloatRows {
    int64_t num_rows, num_inputs;
    const float* numbers;  // [num_rows, num_inputs], rows `stride` numbers apart
    int64_t stride;
};

KVCHAT_INLINE int64_t rounded_up(int64_t x, int64_t multiple) {
    return (x + multiple - 1) / multiple * multiple;
}

// Rows rounded to 8 bits, as the products want them.
struct Codes {
    int64_t block_rows, num_blocks, num_fours;  // of inputs, padded
    int8_t* codes;     // [blocks, fours, block rows, 4]
    int32_t* starts;   // [blocks * block rows]: what undoes the offset of unsigned weights
    float* scales;     // [blocks * block rows]
    int32_t* group_starts;  // [groups, block rows] of few rows with 4-bit weights, else null

    Codes(int64_t num_rows, int64_t num_inputs, bool with_groups, uint8_t* scratch) {
        num_blocks = (num_rows + kMaxBlockRows - 1) / kMaxBlockRows;
        block_rows = (num_rows + num_blocks - 1) / num_blocks;
        num_blocks = (num_rows + block_rows - 1) / block_rows;
        num_fours = (num_inputs + kInputs - 1) / kInputs;
        const int64_t padded = num_blocks * block_rows;
        codes = reinterpret_cast<int8_t*>(scratch);
        scratch += rounded_up(padded * num_fours * kInputs, 64);
        starts = reinterpret_cast<int32_t*>(scratch);
        scratch += rounded_up(padded * 4, 64);
        scales = reinterpret_cast<float*>(scratch);
        scratch += rounded_up(padded * 4, 64);
        group_starts = with_groups ? reinterpret_cast<int32_t*>(scratch) : nullptr;
    }

    int8_t* block(int64_t index) const {
        return codes + index * num_fours * block_rows * kInputs;
    }
};

inline int64_t scratch_bytes(int64_t num_rows, int64_t num_inputs) {
    const int64_t padded = num_rows + kMaxBlockRows;
    return padded * rounded_up(num_inputs, kInputs) + 2 * padded * 4
        + kMaxGroupRows * (num_inputs / kGroup + 1) * 4 + 256;
}

// The largest absolute value of a row as its bits, which order NaN above infinity.
inline int32_t peak_bits(const float* row, int64_t size) {
    int32_t peak = 0;
    for (int64_t i = 0; i < size; ++i) {
        int32_t bits;
        std::memcpy(&bits, row + i, sizeof bits);
        peak = std::max(peak, bits & 0x7fffffff);
    }
    return peak;
}

// What undoes the offset of 4-bit codes, for each group of a row of the only block.
inline void sum_groups(const Codes& codes, int64_t row) {
    const int64_t num_groups = codes.num_fours * kInputs / kGroup;
    for (int64_t group = 0; group < num_groups; ++group) {
        int32_t sum = 0;
        for (int64_t four = 0; four < kGroup / kInputs; ++four) {
            const int64_t place = group * (kGroup / kInputs) + four;
            const int8_t* inputs = codes.codes + (place * codes.block_rows + row) * kInputs;
            for (int64_t i = 0; i < kInputs; ++i) sum += inputs[i];
        }
        codes.group_starts[group * codes.block_rows + row] = -8 * sum;
    }
}

inline void round_row(const FloatRows& rows, const Codes& codes, int64_t index) {
    constexpr int64_t kPiece = 512;
    int8_t piece[kPiece];
    const int64_t lane = index % codes.block_rows;
    int8_t* to = codes.block(index / codes.block_rows) + lane * kInputs;
    const float* row = rows.numbers + index * rows.stride;
    const bool is_there = index < rows.num_rows;
    const int32_t bits = is_there ? peak_bits(row, rows.num_inputs) : 0;
    float peak, factor = 0.0f, scale;
    std::memcpy(&peak, &bits, sizeof peak);
    constexpr float smallest = 0x1p-100f;
    if (!(bits < 0x7f800000)) {
        scale = NAN;
    } else if (peak < smallest) {
        scale = 0.0f;
    } else {
        factor = 127.0f / peak;
        scale = peak * static_cast<float>(1.0 / 127);
    }
    int32_t sum = 0;
    for (int64_t start = 0; start < codes.num_fours * kInputs; start += kPiece) {
        const int64_t size = std::min(kPiece, codes.num_fours * kInputs - start);
        const int64_t filled = factor == 0.0f ? 0 : std::min(size, rows.num_inputs - start);
        for (int64_t i = 0; i < filled; ++i) {
            const int32_t code = static_cast<int32_t>(std::rint(row[start + i] * factor));
            piece[i] = static_cast<int8_t>(code);
            sum += code;
        }
        for (int64_t i = filled; i < size; ++i) piece[i] = 0;
        for (int64_t i = 0; i < size; i += kInputs) {
            std::memcpy(to, piece + i, kInputs);
            to += codes.block_rows * kInputs;
        }
    }
    codes.starts[index] = -kWeightOffset * sum;
    codes.scales[index] = scale;
    if (codes.group_starts != nullptr) sum_groups(codes, index);
}

inline void round_rows(const FloatRows& rows, const Codes& codes) {
    const int64_t padded = codes.num_blocks * codes.block_rows;
    if (num_threads() > 1 && padded * rows.num_inputs > 1 << 16) {
        parallel_for(padded, [&](int64_t index) { round_row(rows, codes, index); });
        return;
    }
    for (int64_t index = 0; index < padded; ++index) round_row(rows, codes, index);
}

}  // namespace kvchat
