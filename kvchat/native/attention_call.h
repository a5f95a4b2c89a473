// One call of the attention kernel: what all its pieces share, and what a thread works with.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

#include "attention_layer.h"
#include "attention_plan.h"
#include "vectors.h"

namespace kvchat {

// Keys whose scores are one vector.
constexpr int kTile = kLanes;
// Queries that one pass over keys or values serves.
constexpr int kTogether = 4;

// Aligned floats that only grow.
class Buffer {
  public:
    float* get(int64_t size) {
        if (size > size_) {
            floats_.reset(static_cast<float*>(
                ::operator new[](static_cast<size_t>(size) * sizeof(float), std::align_val_t{64})));
            size_ = size;
        }
        return floats_.get();
    }

  private:
    struct Free {
        void operator()(float* floats) const {
            ::operator delete[](floats, std::align_val_t{64});
        }
    };
    std::unique_ptr<float[], Free> floats_;
    int64_t size_ = 0;
};

// What a thread needs for a piece.
struct Scratch {
    Buffer queries, scores, keys, values;
    int64_t slots[kCell];
    float key_scales[kCell], value_scales[kCell];
};

inline int64_t padded(int64_t dim) { return (dim + kLanes - 1) / kLanes * kLanes; }

// A partial result of one member and head: largest score, sum of weights, then weighted values.
constexpr int64_t kPartHeader = kLanes;

// Trivial to copy, for threads that come late.
struct Call {
    const Plan& plan;
    const Layer layer;
    float* parts;
    std::atomic<int32_t>* num_left;  // of each token and head, pieces that are not done
    int64_t key_padded, value_padded, part_size;

    int64_t num_heads() const { return layer.num_kv_heads * layer.group; }
    float* part(int64_t place, int64_t head) const {
        return parts + (place * num_heads() + head) * part_size;
    }
};

// Where the partial results of a piece and key head go: those of a member side by side.
struct Found {
    float* first;
    int64_t member_stride;

    // In their places among all partial results.
    static Found kept(const Call& call, const Piece& piece, int64_t kv_head) {
        return {call.part(piece.first_member, kv_head * call.layer.group),
                call.num_heads() * call.part_size};
    }
};

}  // namespace kvchat
