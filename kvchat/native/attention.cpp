// Attention of packed tokens over a paged pool of keys and values, all rows of a step in one call.
//
// Per piece of keys and head: scores, their softmax, and the weighted values, in float32; pieces are
// merged by their largest score and sum (online softmax, Milakov and Gimelshein 2018), as when keys
// are split over processors (Dao 2023, FlashDecoding). The last thread that finishes a piece of a
// token merges that token, so a layer is one job without barriers.

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <type_traits>

#include "attention_call.h"
#include "attention_scores.h"
#include "pool.h"

namespace kvchat {
namespace {

// Queries whose scores exist at once; they stay in the first-level cache.
constexpr int64_t kBlock = 32;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// -- queries -----------------------------------------------------------------------------------

template <typename T>
void scale_query(const T* from, int64_t dim, float scale, float* to) {
    widen(from, dim, to);
    for (int64_t i = 0; i < dim; i += kLanes) store(to + i, load(to + i) * all(scale));
}

void load_query(const Call& call, const Piece& piece, int64_t member, int64_t head, float* to) {
    const Layer& layer = call.layer;
    const int64_t token = call.plan.tokens[static_cast<size_t>(
        call.plan.members[static_cast<size_t>(piece.first_member + member)])];
    const bool is_turned = piece.is_turned && layer.turned != nullptr;
    const void* base = is_turned ? layer.turned : layer.query;
    const int64_t offset = token * layer.query_token_stride + head * layer.query_head_stride;
    const float scale = static_cast<float>(layer.scale);
    switch (layer.query_type) {
        case kBFloat16:
            scale_query(static_cast<const BFloat16*>(base) + offset, layer.key_dim, scale, to);
            break;
        case kFloat16:
            scale_query(static_cast<const Float16*>(base) + offset, layer.key_dim, scale, to);
            break;
        default:
            scale_query(static_cast<const float*>(base) + offset, layer.key_dim, scale, to);
    }
}

// -- softmax -----------------------------------------------------------------------------------

Floats capped(Floats scores, float cap) {
    const Floats x = scores * all(1.0f / cap);
    const Ints is_negative = x < all(0.0f);
    const Floats size = is_negative ? all(0.0f) - x : x;
    const Floats t = exp_of_negative(size * all(-2.0f));
    const Floats tanh = (all(1.0f) - t) / (all(1.0f) + t);
    return (is_negative ? all(0.0f) - tanh : tanh) * all(cap);
}

// Turns scores into weights of values, in place; returns the largest score and the weights' sum.
// Keys before `first` and from `behind` on weigh nothing. For codes, scores and weights are scaled.
void softmax(float* scores, int first, int behind, const Layer& layer, const Scratch& scratch,
             float* header) {
    const bool has_scales = layer.kv_type == kInt8;
    const float cap = static_cast<float>(layer.soft_cap);
    const int first_tile = first / kTile * kTile, end = (behind + kTile - 1) / kTile * kTile;
    Floats most = all(kMinusInfinity);
    for (int i = first_tile; i < end; i += kTile) {
        Floats x = load(scores + i);
        if (has_scales) x = x * load(scratch.key_scales + i);
        if (cap > 0) x = capped(x, cap);
        if (i < first || i + kTile > behind) {
            const Ints key = lane_numbers() + i;
            x = (key < first) | (key >= behind) ? all(kMinusInfinity) : x;
        }
        most = larger(x, most);
        store(scores + i, x);
    }
    const float largest = largest_lane(most);
    Floats sum = all(0.0f);
    for (int i = first_tile; i < end; i += kTile) {
        Floats weight = exp_of_negative(load(scores + i) - all(largest));
        sum = sum + weight;
        if (has_scales) weight = weight * load(scratch.value_scales + i);
        store(scores + i, weight);
    }
    header[0] = largest;
    header[1] = sum_of_lanes(sum);
}

// -- values ------------------------------------------------------------------------------------

// Values that need converting are read for so many queries at once, where there are as many.
constexpr int kMany = 8;

// Sums kVectors vectors of values, weighted for kQueries queries.
template <int kQueries, int kVectors, typename T>
KVCHAT_INLINE void weigh_columns(const float* weights, const T* base, const int64_t* slots,
                                 int64_t stride, int first, int behind, float* const* out) {
    Floats sums[kQueries][kVectors];
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) sums[q][v] = all(0.0f);
    }
    for (int key = first; key < behind; ++key) {
        const T* const row = base + slots[key] * stride;
        Floats values[kVectors];
        for (int v = 0; v < kVectors; ++v) values[v] = load_floats(row + v * kLanes);
        for (int q = 0; q < kQueries; ++q) {
            const Floats weight = all(weights[q * kCell + key]);
            for (int v = 0; v < kVectors; ++v) sums[q][v] = fma(weight, values[v], sums[q][v]);
        }
    }
    for (int q = 0; q < kQueries; ++q) {
        for (int v = 0; v < kVectors; ++v) store(out[q] + v * kLanes, sums[q][v]);
    }
}

template <int kQueries, typename T>
void weigh_values(const float* weights, const T* base, const int64_t* slots, int64_t stride,
                  int64_t size, int first, int behind, float* const* out) {
    constexpr int kWide = kQueries > kTogether ? 2 : 4;  // as many sums as there are registers
    float* to[kQueries];
    int64_t column = 0;
    for (; column + kWide * kLanes <= size; column += kWide * kLanes) {
        for (int q = 0; q < kQueries; ++q) to[q] = out[q] + column;
        weigh_columns<kQueries, kWide>(weights, base + column, slots, stride, first, behind, to);
    }
    for (; column < size; column += kLanes) {
        for (int q = 0; q < kQueries; ++q) to[q] = out[q] + column;
        weigh_columns<kQueries, 1>(weights, base + column, slots, stride, first, behind, to);
    }
}

template <typename T>
void weigh_queries(int64_t count, const float* weights, const T* base, const int64_t* slots,
                   int64_t stride, int64_t size, int first, int behind, float* const* out) {
    switch (count) {
        case 1: weigh_values<1>(weights, base, slots, stride, size, first, behind, out); break;
        case 2: weigh_values<2>(weights, base, slots, stride, size, first, behind, out); break;
        case 3: weigh_values<3>(weights, base, slots, stride, size, first, behind, out); break;
        case 4: weigh_values<4>(weights, base, slots, stride, size, first, behind, out); break;
        default: weigh_values<kMany>(weights, base, slots, stride, size, first, behind, out);
    }
}

// -- pieces ------------------------------------------------------------------------------------

void find_slots(const Plan& plan, const Piece& piece, int64_t* slots) {
    const int32_t* block = plan.tables.data() + piece.table + piece.first_key / plan.block_size;
    int64_t offset = piece.first_key % plan.block_size;
    for (int i = 0; i < piece.num_keys; ++block, offset = 0) {
        const int64_t first = *block * plan.block_size + offset;
        const int64_t count = std::min<int64_t>(plan.block_size - offset, piece.num_keys - i);
        for (int64_t j = 0; j < count; ++j) slots[i + j] = first + j;
        i += static_cast<int>(count);
    }
}

void prefetch_scales(const Layer& layer, const Piece& piece, int64_t kv_head,
                     const int64_t* slots) {
    const int64_t head = kv_head * layer.scale_head_stride;
    for (int i = 0; i < piece.num_keys; i += kTile) {
        __builtin_prefetch(layer.key_scale + head + slots[i] * layer.scale_slot_stride);
        __builtin_prefetch(layer.value_scale + head + slots[i] * layer.scale_slot_stride);
    }
}

void load_scales(const Layer& layer, const Piece& piece, int64_t kv_head, Scratch& scratch) {
    const int64_t head = kv_head * layer.scale_head_stride;
    for (int i = 0; i < piece.num_keys; ++i) {
        const int64_t place = head + scratch.slots[i] * layer.scale_slot_stride;
        scratch.key_scales[i] = layer.key_scale[place];
        scratch.value_scales[i] = layer.value_scale[place];
    }
    // What lies behind the last key is computed with, and never used.
    for (int i = piece.num_keys; i % kTile != 0; ++i) {
        scratch.key_scales[i] = scratch.value_scales[i] = 0.0f;
    }
}

template <typename T>
void attend_piece(const Call& call, const Piece& piece, int64_t kv_head, const Found& found,
                  Scratch& scratch) {
    const Layer& layer = call.layer;
    const Plan& plan = call.plan;
    const int64_t group = layer.group, size = call.key_padded;
    find_slots(plan, piece, scratch.slots);
    const T* const keys = static_cast<const T*>(layer.key) + kv_head * layer.key_head_stride;
    const T* const values = static_cast<const T*>(layer.value) + kv_head * layer.value_head_stride;
    prefetch_first(layer, keys, piece, scratch.slots);
    if (layer.kv_type == kInt8) prefetch_scales(layer, piece, kv_head, scratch.slots);
    const int64_t num_queries = piece.num_members * group;
    const bool is_transposed = num_queries > kFewQueries<T>;
    Turned<T>* const transposed = reinterpret_cast<Turned<T>*>(scratch.keys.get(kCell * size));

    // Values that several passes read are converted once, and padded where they are no vectors.
    const bool is_float = std::is_same<T, float>::value;
    const bool is_padded = layer.value_dim != call.value_padded;
    const bool is_widened = is_padded || (!is_float && num_queries > kMany);
    int64_t in_order[kCell];
    float* widened = nullptr;
    if (is_widened) {
        widened = scratch.values.get(kCell * call.value_padded);
        for (int i = 0; i < piece.num_keys; ++i) {
            in_order[i] = i;
            widen(values + scratch.slots[i] * layer.value_slot_stride, layer.value_dim,
                  widened + i * call.value_padded);
        }
    }

    float* const queries = scratch.queries.get(kBlock * size);
    float* const scores = scratch.scores.get(kBlock * kCell);
    for (int64_t first_query = 0; first_query < num_queries; first_query += kBlock) {
        const int64_t count = std::min(kBlock, num_queries - first_query);
        for (int64_t q = 0; q < count; ++q) {
            const int64_t query = first_query + q;
            load_query(call, piece, query / group, kv_head * group + query % group,
                       queries + q * size);
        }
        if (is_transposed) {
            score_transposed(call, keys, values, piece, scratch.slots, first_query == 0, transposed,
                             count, queries, scores);
        } else if (size == 4 * kLanes) {
            score_rows<4>(call, keys, values, piece, count, scratch, queries, scores);
        } else {
            score_rows<0>(call, keys, values, piece, count, scratch, queries, scores);
        }
        if (layer.kv_type == kInt8 && first_query == 0) {
            load_scales(layer, piece, kv_head, scratch);  // fetched meanwhile
        }
        for (int64_t q = 0; q < count;) {
            // Queries of one token, or of any where all see the same, are weighed together.
            const int64_t token = (first_query + q) / group;
            const int64_t same = piece.is_masked ? (token + 1) * group - first_query : count;
            const int64_t left = std::min(count, same) - q;
            const bool are_many = !is_float && !is_widened && left >= kMany;
            const int64_t together = are_many ? kMany : std::min<int64_t>(kTogether, left);
            float* out[kMany];
            const size_t member = static_cast<size_t>(piece.first_member + token);
            const int first = plan.first_seen[member], behind = plan.behind_seen[member];
            for (int64_t i = 0; i < together; ++i) {
                const int64_t query = first_query + q + i;
                float* const part = found.first + query / group * found.member_stride +
                                    query % group * call.part_size;
                softmax(scores + (q + i) * kCell, first, behind, layer, scratch, part);
                out[i] = part + kPartHeader;
            }
            const float* const weights = scores + q * kCell;
            if (is_widened) {
                weigh_queries(together, weights, widened, in_order, call.value_padded,
                              call.value_padded, first, behind, out);
            } else {
                weigh_queries(together, weights, values, scratch.slots, layer.value_slot_stride,
                              call.value_padded, first, behind, out);
            }
            q += together;
        }
    }
}

// -- merging -----------------------------------------------------------------------------------

void write_out(const Layer& layer, int64_t offset, const float* from) {
    const size_t size = static_cast<size_t>(layer.value_dim);
    if (layer.query_type == kBFloat16) {
        BFloat16* const to = static_cast<BFloat16*>(layer.out) + offset;
        for (size_t i = 0; i < size; ++i) to[i] = to_bfloat16(from[i]);
    } else if (layer.query_type == kFloat16) {
        Float16* const to = static_cast<Float16*>(layer.out) + offset;
        for (size_t i = 0; i < size; ++i) to[i] = to_float16(from[i]);
    } else {
        std::memcpy(static_cast<float*>(layer.out) + offset, from, size * sizeof(float));
    }
}

// Merges what one token and head found in its pieces, in their order, into the output.
void merge_parts(const Call& call, int64_t token, int64_t head) {
    const Plan& plan = call.plan;
    const int64_t first = plan.first_place[static_cast<size_t>(token)];
    const int64_t behind = plan.first_place[static_cast<size_t>(token) + 1];
    const auto part = [&](int64_t i) { return call.part(plan.places[static_cast<size_t>(i)], head); };
    float largest = kMinusInfinity;
    for (int64_t i = first; i < behind; ++i) largest = std::max(largest, part(i)[0]);
    float* const total = part(first);
    float sum = 0.0f;
    for (int64_t i = first; i < behind; ++i) {
        const float* const next = part(i);
        const Floats weight = exp_of_negative(all(next[0] - largest));
        float weight_of_sum[kLanes];
        store(weight_of_sum, weight);
        sum = sum + weight_of_sum[0] * next[1];
        for (int64_t c = 0; c < call.value_padded; c += kLanes) {
            const Floats values = load(next + kPartHeader + c) * weight;
            float* const to = total + kPartHeader + c;
            store(to, i == first ? values : load(to) + values);
        }
    }
    const Floats share = all(1.0f / sum);
    for (int64_t c = 0; c < call.value_padded; c += kLanes) {
        float* const to = total + kPartHeader + c;
        store(to, load(to) * share);
    }
    const int64_t packed = plan.tokens[static_cast<size_t>(token)];
    write_out(call.layer,
              packed * call.layer.out_token_stride + head * call.layer.out_head_stride,
              total + kPartHeader);
}

void finish_piece(const Call& call, const Piece& piece, int64_t kv_head) {
    const Layer& layer = call.layer;
    for (int64_t i = 0; i < piece.num_members; ++i) {
        const int64_t token = call.plan.members[static_cast<size_t>(piece.first_member + i)];
        std::atomic<int32_t>& left = call.num_left[token * layer.num_kv_heads + kv_head];
        if (left.fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
        for (int64_t g = 0; g < layer.group; ++g) {
            merge_parts(call, token, kv_head * layer.group + g);
        }
    }
}

void attend(const Call& call, const Piece& piece, int64_t kv_head, const Found& found) {
    // Not an object of the thread itself: its address is a constant to compilers, which they look up
    // again in each loop that reads it, with all vector registers saved around the call.
    static thread_local const std::unique_ptr<Scratch> own = std::make_unique<Scratch>();
    Scratch& scratch = *own;
    switch (call.layer.kv_type) {
        case kBFloat16: attend_piece<BFloat16>(call, piece, kv_head, found, scratch); break;
        case kFloat16: attend_piece<Float16>(call, piece, kv_head, found, scratch); break;
        case kInt8: attend_piece<int8_t>(call, piece, kv_head, found, scratch); break;
        default: attend_piece<float>(call, piece, kv_head, found, scratch);
    }
}

// -- a layer -----------------------------------------------------------------------------------

// The pieces of a layer for every key head: one head after the other, so that neighbors in memory are
// read one after the other. Some of them are a chunk, or one where it is drafted.
class Job {
  public:
    Job(const Call& call, const Sharing& sharing) : call_(call) {
        total_ = num_pieces() * call_.layer.num_kv_heads;
        is_drafted_ = static_cast<int64_t>(call_.plan.tokens.size()) <= sharing.most_drafted &&
                      total_ <= DraftJob::kMaxChunks;
        // The caller soon loses patience with a draft, so these are short.
        at_once_ = is_drafted_ ? 1
                               : std::max(std::clamp<int64_t>(total_ / (num_threads() * 8), 1, 8),
                                          total_ / kMaxChunks + 1);
        for (const Piece& piece : call_.plan.pieces) {
            num_products_ += piece.num_keys * piece.num_members;
            most_members_ = std::max(most_members_, piece.num_members);
        }
        num_products_ *= call_.num_heads() * (call_.layer.key_dim + call_.layer.value_dim);
    }

    void run(const Sharing& sharing) const {
        const int64_t worth = is_drafted_ ? sharing.worth_drafting : sharing.worth;
        if (num_threads() == 1 || num_products_ < worth) {
            for (int64_t index = 0; index < num_chunks(); ++index) compute(index);
        } else if (is_drafted_) {
            run_as_drafts();
        } else {
            parallel_for(num_chunks(), [&](int64_t index) { compute(index); });
        }
    }

  private:
    int64_t num_pieces() const { return static_cast<int64_t>(call_.plan.pieces.size()); }
    int64_t num_chunks() const { return (total_ + at_once_ - 1) / at_once_; }

    // Numbers of a piece and head, one head after the other.
    const Piece& piece_of(int64_t i) const {
        return call_.plan.pieces[static_cast<size_t>(i % num_pieces())];
    }
    int64_t head_of(int64_t i) const { return i / num_pieces(); }
    Found place_of(int64_t i) const { return Found::kept(call_, piece_of(i), head_of(i)); }

    void compute(int64_t index) const {
        const int64_t first = index * at_once_, behind = std::min(total_, first + at_once_);
        for (int64_t i = first; i < behind; ++i) {
            attend(call_, piece_of(i), head_of(i), place_of(i));
            finish_piece(call_, piece_of(i), head_of(i));
        }
    }

    // Of a member in a draft.
    int64_t member_size() const { return call_.layer.group * call_.part_size; }

    void draft(int64_t i, float* draft) const {
        attend(call_, piece_of(i), head_of(i), {draft, member_size()});
    }

    void keep(int64_t i, const float* draft) const {
        const Found to = place_of(i);
        for (int64_t member = 0; member < piece_of(i).num_members; ++member) {
            std::memcpy(to.first + member * to.member_stride, draft + member * member_size(),
                        static_cast<size_t>(member_size()) * sizeof(float));
        }
        finish_piece(call_, piece_of(i), head_of(i));
    }

    void run_as_drafts() const {
        static_assert(std::is_trivially_copyable<Job>::value, "it is copied as bytes");
        static_assert(sizeof(Job) <= DraftJob::kMaxBytes, "there is room for it");
        run_drafts({total_, most_members_ * member_size(), this, sizeof *this,
                    [](const void* job, int64_t index, float* draft) {
                        static_cast<const Job*>(job)->draft(index, draft);
                    },
                    [](const void* job, int64_t index, const float* draft) {
                        static_cast<const Job*>(job)->keep(index, draft);
                    }});
    }

    Call call_;
    int64_t total_ = 0, at_once_ = 0, num_products_ = 0, most_members_ = 0;
    bool is_drafted_ = false;
};

}  // namespace

void attend_layer(const Plan& plan, const Layer& layer, const Sharing& sharing) {
    store_tokens(layer);
    static thread_local Buffer parts;
    static thread_local std::vector<std::atomic<int32_t>> counters;
    const int64_t num_tokens = static_cast<int64_t>(plan.tokens.size());
    const int64_t value_padded = padded(layer.value_dim);
    const int64_t part_size = kPartHeader + value_padded;
    const int64_t num_parts = static_cast<int64_t>(plan.members.size());
    const int64_t num_heads = layer.num_kv_heads * layer.group;
    if (static_cast<int64_t>(counters.size()) < num_tokens * layer.num_kv_heads) {
        counters = std::vector<std::atomic<int32_t>>(
            static_cast<size_t>(num_tokens * layer.num_kv_heads));
    }
    for (int64_t token = 0; token < num_tokens; ++token) {
        const size_t place = static_cast<size_t>(token);
        const int64_t count = plan.first_place[place + 1] - plan.first_place[place];
        for (int64_t head = 0; head < layer.num_kv_heads; ++head) {
            counters[static_cast<size_t>(token * layer.num_kv_heads + head)].store(
                static_cast<int32_t>(count), std::memory_order_relaxed);
        }
    }
    const Call call{plan,
                    layer,
                    parts.get(num_parts * num_heads * part_size),
                    counters.data(),
                    padded(layer.key_dim),
                    value_padded,
                    part_size};
    Job(call, sharing).run(sharing);
}

}  // namespace kvchat

// Whether sixteen numbers are one register here, so that also large chunks are worth it.
KVCHAT_EXPORT int64_t kvchat_is_wide() {
#if KVCHAT_AVX512
    return 1;
#else
    return 0;
#endif
}

// Stores and attends in one layer; the caller keeps everything alive until this returns.
KVCHAT_EXPORT void kvchat_attend(const void* plans, const void* layer) {
    kvchat::attend_layer(static_cast<const kvchat::Plans*>(plans)->current(),
                         *static_cast<const kvchat::Layer*>(layer));
}
