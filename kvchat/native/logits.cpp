// What choosing a token asks of a row of logits: the largest of them, in order, and how much they
// weigh together. One pass for maxima of neighbours, one for the weights; only groups that may hold
// one of the largest are looked at again.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "pool.h"
#include "vectors.h"

namespace kvchat {
namespace {

constexpr int64_t kNeighbours = 4 * kLanes;
// Fewer rows are done sooner than a thread that is held up would come back.
constexpr int64_t kRowsWorthSharing = 32;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Logit {
    float value;
    int64_t id;
};

bool is_likelier(const Logit& a, const Logit& b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
}

// What a thread needs for a row.
struct Scratch {
    std::vector<float> maxima, ordered;
    std::vector<Logit> found;
};

struct Logits {
    const float* numbers;
    int64_t width;

    int64_t num_groups() const { return (width + kNeighbours - 1) / kNeighbours; }
    int64_t first(int64_t group) const { return group * kNeighbours; }
    int64_t end(int64_t group) const { return std::min(width, first(group) + kNeighbours); }

    // Calls the body with sixteen numbers at a time; what lies behind the last is `filled`.
    template <typename Body>
    KVCHAT_INLINE void for_vectors(int64_t from, int64_t to, float filled, Body&& body) const {
        int64_t i = from;
        for (; i + kLanes <= to; i += kLanes) body(load(numbers + i));
        if (i < to) {
            float rest[kLanes];
            std::fill(rest, rest + kLanes, filled);
            std::copy(numbers + i, numbers + to, rest);
            body(load(rest));
        }
    }
};

// Fills in the maximum of each group; says whether a number is NaN.
bool find_maxima(const Logits& row, std::vector<float>& maxima) {
    Ints is_nan = {};
    maxima.resize(static_cast<size_t>(row.num_groups()));
    for (int64_t group = 0; group < row.num_groups(); ++group) {
        Floats most = all(-kInfinity);
        row.for_vectors(row.first(group), row.end(group), -kInfinity,
                        [&](Floats x) __attribute__((always_inline)) {
                            is_nan |= x != x;
                            most = larger(x, most);
                        });
        maxima[static_cast<size_t>(group)] = largest_lane(most);
    }
    for (int lane = 0; lane < kLanes; ++lane) {
        if (is_nan[lane] != 0) return true;
    }
    return false;
}

// The sum of exp(x - largest), in four chains of sixteen.
float weight_of(const Logits& row, float largest) {
    if (largest == -kInfinity) return 0.0f;
    if (largest == kInfinity) return 1.0f;
    Floats sums[4] = {all(0.0f), all(0.0f), all(0.0f), all(0.0f)};
    int chain = 0;
    row.for_vectors(0, row.width, -kInfinity, [&](Floats x) __attribute__((always_inline)) {
        sums[chain] = sums[chain] + exp_of_negative(x - all(largest));
        chain = (chain + 1) % 4;
    });
    return sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Finds the `count` likeliest, of equals those of the lowest ids.
void find_top(const Logits& row, int64_t count, Scratch& scratch, float* top, int64_t* ids) {
    const std::vector<float>& maxima = scratch.maxima;
    float lowest = -kInfinity;
    if (count < row.num_groups()) {
        // So many groups reach it, so as many numbers do.
        scratch.ordered = maxima;
        const auto last = scratch.ordered.begin() + (count - 1);
        std::nth_element(scratch.ordered.begin(), last, scratch.ordered.end(),
                         [](float a, float b) { return a > b; });
        lowest = *last;
    }
    scratch.found.clear();
    for (int64_t group = 0; group < row.num_groups(); ++group) {
        if (maxima[static_cast<size_t>(group)] < lowest) continue;
        for (int64_t id = row.first(group); id < row.end(group); ++id) {
            if (row.numbers[id] >= lowest) scratch.found.push_back({row.numbers[id], id});
        }
    }
    std::partial_sort(scratch.found.begin(), scratch.found.begin() + count, scratch.found.end(),
                      is_likelier);
    for (int64_t i = 0; i < count; ++i) {
        top[i] = scratch.found[static_cast<size_t>(i)].value;
        ids[i] = scratch.found[static_cast<size_t>(i)].id;
    }
}

bool is_finite(const Logits& row) {
    // A difference to itself is 0, but not that of what is infinite or no number.
    Ints is_odd = {};
    row.for_vectors(0, row.width, 0.0f, [&](Floats x) __attribute__((always_inline)) {
        is_odd |= x - x != all(0.0f);
    });
    for (int lane = 0; lane < kLanes; ++lane) {
        if (is_odd[lane] != 0) return false;
    }
    return true;
}

template <typename Body>
void for_rows(int64_t num_rows, Body&& body) {
    if (num_rows >= kRowsWorthSharing) {
        parallel_for(num_rows, [&](int64_t row) { body(row); });
    } else {
        for (int64_t row = 0; row < num_rows; ++row) body(row);
    }
}

}  // namespace
}  // namespace kvchat

// Says of rows of floats, `stride` apart, whether all their numbers are finite.
KVCHAT_EXPORT void kvchat_rows_are_finite(int64_t num_rows, int64_t width, int64_t stride,
                                          const float* logits, bool* are_finite) {
    using namespace kvchat;
    for_rows(num_rows, [&](int64_t row) {
        are_finite[row] = is_finite({logits + row * stride, width});
    });
}

// Finds in each row of floats the `count` <= width largest, likeliest first, with their places, and
// the sum of exp(x - largest). A row with a NaN gets a sum of NaN, and nothing else.
KVCHAT_EXPORT void kvchat_read_logits(int64_t num_rows, int64_t width, int64_t stride,
                                      const float* logits, int64_t count, float* top, int64_t* ids,
                                      float* sums) {
    using namespace kvchat;
    for_rows(num_rows, [&](int64_t index) {
        static thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
        const Logits row{logits + index * stride, width};
        if (find_maxima(row, scratch->maxima)) {
            sums[index] = std::numeric_limits<float>::quiet_NaN();
            return;
        }
        find_top(row, count, *scratch, top + index * count, ids + index * count);
        sums[index] = weight_of(row, top[index * count]);
    });
}
