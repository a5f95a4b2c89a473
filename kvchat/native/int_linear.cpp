// Linear layers over weights of 8 or 4 bits and activations rounded to 8 bits by row.
//
// The products are exact integers, and what is done in floats is the same operations in the same
// order as in `model/row_codes.py` and `model/int8_linear.py`: equal bits for any number of rows.
// Compile with -ffp-contract=off.
//
// Weights are panels of 16 outputs, each a run of tiles of 16 outputs by 4 inputs, so that a panel
// is read from memory once and in order. Rows are rounded into blocks of up to 12, interleaved by
// four inputs, which a panel is multiplied with while it is in the cache.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "int_linear.h"
#include "pool.h"

namespace kvchat {
namespace {

constexpr int64_t kChunkBytes = 384 << 10;  // weights of a chunk stay in the second cache
constexpr int64_t kFetchedAhead = 4096;     // as far as a row's products are from memory
constexpr int64_t kGroupsFetchedAhead = 2048;
constexpr int64_t kGroupBytes = 4 * kTileBytes;  // eight tiles of 4 bits

// The rows of a product, and where its panels go.
struct IntLinear : IntWeights {
    int64_t num_rows;
    float* output;        // of the first panel's first output
    int64_t stride;       // numbers from row to row
    int64_t first_panel;
};

void write_outputs(
    const IntLinear& call, int64_t row, int64_t panel, float row_scale, const int32_t* sums) {
    const int64_t first = panel * kOutputs;
    float values[kOutputs];
    for (int i = 0; i < kOutputs; ++i)
        values[i] = static_cast<float>(sums[i]) * row_scale * call.scales[first + i];
    if (call.bias != nullptr)
        for (int i = 0; i < kOutputs; ++i) values[i] += call.bias[first + i];
    float* to = call.output + row * call.stride + first - call.first_panel * kOutputs;
    const int64_t count = std::min<int64_t>(kOutputs, call.num_outputs - first);
    if (count == kOutputs) {
        std::memcpy(to, values, sizeof values);
    } else {
        std::memcpy(to, values, count * sizeof(float));
    }
}

// Multiplies one block of rows with neighbouring panels of 8-bit tiles.
template <int kRows, int kPanels>
void multiply(
    const IntLinear& call, const Codes& codes, int64_t block, const uint8_t* tiles, int64_t panel) {
    const int64_t panel_bytes = codes.num_fours * kTileBytes;
    const int32_t* starts = codes.starts + block * kRows;
    Sums sums[kRows][kPanels];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 16
        for (int p = 0; p < kPanels; ++p) sums[row][p] = all_sums(starts[row]);
    const int8_t* inputs = codes.block(block);
    for (int64_t four = 0; four < codes.num_fours; ++four) {
        Tile weights[kPanels];
#pragma GCC unroll 16
        for (int p = 0; p < kPanels; ++p) {
            // Two streams are more than processors foresee well; the second one's next panel lies
            // behind it.
            if (kPanels > 1) __builtin_prefetch(tiles + (p + 1) * panel_bytes);
            weights[p] = load_tile(tiles + p * panel_bytes);
        }
#pragma GCC unroll 16
        for (int row = 0; row < kRows; ++row) {
            const Four values = load_four(inputs + row * kInputs);
#pragma GCC unroll 16
            for (int p = 0; p < kPanels; ++p) add_products(sums[row][p], weights[p], values);
        }
        tiles += kTileBytes;
        inputs += kRows * kInputs;
    }
    // Through memory at once: a loop that might end early would keep the sums there all along.
    int32_t found[kRows][kPanels][kOutputs];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 16
        for (int p = 0; p < kPanels; ++p) store_sums(found[row][p], sums[row][p]);
    const int64_t first = block * kRows;
    const int64_t count = std::min<int64_t>(kRows, call.num_rows - first);
    for (int64_t row = 0; row < count; ++row)
        for (int p = 0; p < kPanels; ++p)
            write_outputs(call, first + row, panel + p, codes.scales[first + row], found[row][p]);
}

// Multiplies one row with a panel of 8-bit tiles, which is a matter of reading them: one stream,
// fetched ahead, and several sums so that none waits for the last.
void multiply_row(
    const IntLinear& call, const Codes& codes, const uint8_t* tiles, int64_t panel) {
    constexpr int kChains = 4;
    Sums sums[kChains];
    sums[0] = all_sums(codes.starts[0]);
    for (int chain = 1; chain < kChains; ++chain) sums[chain] = all_sums(0);
    const int8_t* inputs = codes.codes;
    int64_t four = 0;
    for (; four + kChains <= codes.num_fours; four += kChains) {
#pragma GCC unroll 16
        for (int chain = 0; chain < kChains; ++chain) {
            __builtin_prefetch(tiles + chain * kTileBytes + kFetchedAhead);
            add_products(sums[chain], load_tile(tiles + chain * kTileBytes),
                         load_four(inputs + chain * kInputs));
        }
        tiles += kChains * kTileBytes;
        inputs += kChains * kInputs;
    }
    for (; four < codes.num_fours; ++four) {
        add_products(sums[0], load_tile(tiles), load_four(inputs));
        tiles += kTileBytes;
        inputs += kInputs;
    }
    int32_t found[kOutputs], more[kOutputs];
    store_sums(found, sums[0]);
    for (int chain = 1; chain < kChains; ++chain) {
        store_sums(more, sums[chain]);
        for (int i = 0; i < kOutputs; ++i) found[i] += more[i];
    }
    write_outputs(call, 0, panel, codes.scales[0], found);
}

using Multiply = void (*)(const IntLinear&, const Codes&, int64_t, const uint8_t*, int64_t);

template <int kPanels>
Multiply multiply_of(int64_t block_rows) {
    static constexpr Multiply kTable[] = {
        multiply<1, kPanels>, multiply<2, kPanels>,  multiply<3, kPanels>,  multiply<4, kPanels>,
        multiply<5, kPanels>, multiply<6, kPanels>,  multiply<7, kPanels>,  multiply<8, kPanels>,
        multiply<9, kPanels>, multiply<10, kPanels>, multiply<11, kPanels>, multiply<12, kPanels>,
    };
    return kTable[block_rows - 1];
}

#if KVCHAT_GROUPS

// Multiplies the only block, of few rows, with a panel of 4-bit tiles as they are.
template <int kRows>
void multiply_groups(const IntLinear& call, const Codes& codes, int64_t panel) {
    const int64_t num_groups = call.num_inputs / kGroup;
    const uint8_t* tiles = call.tiles + panel * num_groups * kGroupBytes;
    const int8_t* steps = call.steps + panel * num_groups * kOutputs;
    const int8_t* inputs = codes.codes;
    Sums totals[kRows];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) totals[row] = all_sums(0);
    for (int64_t group = 0; group < num_groups; ++group) {
        Sums sums[kRows];
#pragma GCC unroll 16
        for (int row = 0; row < kRows; ++row)
            sums[row] = all_sums(codes.group_starts[group * kRows + row]);
#pragma GCC unroll 16
        for (int64_t pair = 0; pair < 4; ++pair) {
            const uint8_t* const from = tiles + pair * kTileBytes;
            if (kRows > 3) __builtin_prefetch(from + kGroupsFetchedAhead);
            const Tile both = load_tile(from);
            const Tile low = low_halves(both), high = high_halves(both);
#pragma GCC unroll 16
            for (int row = 0; row < kRows; ++row) {
                add_products(sums[row], low, load_four(inputs + (pair * kRows + row) * kInputs));
                add_products(
                    sums[row], high, load_four(inputs + ((pair + 4) * kRows + row) * kInputs));
            }
        }
        const Sums factors = load_steps(steps);
#pragma GCC unroll 16
        for (int row = 0; row < kRows; ++row) add_multiple(totals[row], sums[row], factors);
        tiles += kGroupBytes;
        steps += kOutputs;
        inputs += kRows * kGroup;
    }
    int32_t found[kRows][kOutputs];
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) store_sums(found[row], totals[row]);
    for (int row = 0; row < kRows; ++row)
        write_outputs(call, row, panel, codes.scales[row], found[row]);
}

void multiply_few(const IntLinear& call, const Codes& codes, int64_t panel) {
    switch (codes.block_rows) {
        case 1: return multiply_groups<1>(call, codes, panel);
        case 2: return multiply_groups<2>(call, codes, panel);
        case 3: return multiply_groups<3>(call, codes, panel);
        case 4: return multiply_groups<4>(call, codes, panel);
        case 5: return multiply_groups<5>(call, codes, panel);
        case 6: return multiply_groups<6>(call, codes, panel);
        case 7: return multiply_groups<7>(call, codes, panel);
        default: return multiply_groups<8>(call, codes, panel);
    }
}

#endif

// Writes a panel of 4-bit tiles as one of 8-bit tiles: step times code, plus 128.
void unpack(const IntLinear& call, int64_t panel, uint8_t* to) {
    const int64_t num_groups = call.num_inputs / kGroup;
    const uint8_t* tiles = call.tiles + panel * num_groups * kGroupBytes;
    const int8_t* steps = call.steps + panel * num_groups * kOutputs;
    for (int64_t group = 0; group < num_groups; ++group) {
#if KVCHAT_GROUPS
        const Sums factors = load_steps(steps);
        for (int pair = 0; pair < 4; ++pair) {
            const Tile both = load_tile(tiles);
            store_scaled(to, low_halves(both), factors);
            store_scaled(to + 4 * kTileBytes, high_halves(both), factors);
            tiles += kTileBytes;
            to += kTileBytes;
        }
#else
        uint8_t factors[kTileBytes], offsets[kTileBytes];
        for (int i = 0; i < kTileBytes; ++i) {
            factors[i] = static_cast<uint8_t>(steps[i / kInputs]);
            offsets[i] = static_cast<uint8_t>(kWeightOffset - 8 * steps[i / kInputs]);
        }
        for (int pair = 0; pair < 4; ++pair) {
            for (int i = 0; i < kTileBytes; ++i) {
                // All in bytes, whose overflow is meant.
                to[i] = static_cast<uint8_t>((tiles[i] & 15) * factors[i] + offsets[i]);
                to[i + 4 * kTileBytes] =
                    static_cast<uint8_t>((tiles[i] >> 4) * factors[i] + offsets[i]);
            }
            tiles += kTileBytes;
            to += kTileBytes;
        }
#endif
        to += 4 * kTileBytes;
        steps += kOutputs;
    }
}

// How many panels a chunk has: an even number that fits the cache and leaves all threads work.
int64_t chunk_panels(int64_t num_panels, int64_t panel_bytes) {
    int64_t count = std::max<int64_t>(1, kChunkBytes / panel_bytes);
    if (num_threads() > 1) count = std::min(count, num_panels / (4 * num_threads()) + 1);
    return rounded_up(count, 2);
}

// Multiplies all rows with the panels first .. end - 1, whose 8-bit tiles are given.
void multiply_tiles(
    const IntLinear& call, const Codes& codes, const uint8_t* tiles, int64_t first, int64_t end) {
    const int64_t panel_bytes = call.panel_bytes();
    if (codes.block_rows == 1 && codes.num_blocks == 1) {
        for (int64_t panel = first; panel < end; ++panel)
            multiply_row(call, codes, tiles + (panel - first) * panel_bytes, panel);
        return;
    }
    const Multiply pair = multiply_of<2>(codes.block_rows);
    const Multiply single = multiply_of<1>(codes.block_rows);
    for (int64_t block = 0; block < codes.num_blocks; ++block)
        for (int64_t panel = first; panel < end; panel += 2)
            (panel + 1 < end ? pair : single)(
                call, codes, block, tiles + (panel - first) * panel_bytes, panel);
}

}  // namespace

void multiply_panels(const IntWeights& weights, const Codes& codes, int64_t num_rows, int64_t first,
                     int64_t end, float* output, int64_t stride) {
    const IntLinear call{weights, num_rows, output, stride, first};
    const int64_t panel_bytes = weights.panel_bytes();
    if (weights.steps == nullptr) {
        multiply_tiles(call, codes, weights.tiles + first * panel_bytes, first, end);
        return;
    }
#if KVCHAT_GROUPS
    if (codes.group_starts != nullptr) {
        for (int64_t panel = first; panel < end; ++panel) multiply_few(call, codes, panel);
        return;
    }
#endif
    static thread_local std::vector<uint8_t> unpacked;
    unpacked.resize(static_cast<size_t>((end - first) * panel_bytes));
    for (int64_t panel = first; panel < end; ++panel)
        unpack(call, panel, unpacked.data() + (panel - first) * panel_bytes);
    multiply_tiles(call, codes, unpacked.data(), first, end);
}

}  // namespace kvchat

KVCHAT_EXPORT int64_t kvchat_int_linear_scratch(int64_t num_rows, int64_t num_inputs) {
    return kvchat::scratch_bytes(num_rows, num_inputs);
}

// Multiplies `num_rows` rows of floats with a matrix; `scratch` has kvchat_int_linear_scratch bytes.
KVCHAT_EXPORT void kvchat_int_linear(
    const kvchat::IntWeights* weights, int64_t num_rows, const float* rows, int64_t row_stride,
    float* output, uint8_t* scratch) {
    if (num_rows == 0) return;
    using namespace kvchat;
    const Codes codes(num_rows, weights->num_inputs, weights->wants_groups(num_rows), scratch);
    round_rows({num_rows, weights->num_inputs, rows, row_stride}, codes);
    const int64_t num_panels = weights->num_panels();
    const int64_t in_chunk = chunk_panels(num_panels, weights->panel_bytes());
    parallel_for((num_panels + in_chunk - 1) / in_chunk, [&](int64_t index) {
        const int64_t first = index * in_chunk, end = std::min(num_panels, first + in_chunk);
        multiply_panels(*weights, codes, num_rows, first, end, output + first * kOutputs,
                        weights->num_outputs);
    });
}
