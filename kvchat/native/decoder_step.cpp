// A step of a whole decoder in one call: products, norms, rotations, attention and logits.
//
// Rows pass through the layers together, in blocks where they are many. Between two products that
// threads share lie only a few operations on rows. What is rounded for several products is rounded
// once. A row's numbers depend on no other row, on no block and on no thread.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <vector>

#include "attention_plan.h"
#include "decoder.h"
#include "decoder_rows.h"
#include "float_linear.h"
#include "pool.h"

namespace kvchat {
namespace {

// Rows of a block: its gates stay in the third cache, and weights are worth reading again.
constexpr int64_t kBlockRows = 256;
// Fewer numbers than this are done by the calling thread before another could begin.
constexpr int64_t kWorthSharing = 1 << 17;
// Weights of a chunk: with few rows little, so that nobody waits long for it; else the second cache.
constexpr int64_t kFewRows = 16;
constexpr int64_t kFewChunkBytes = 48 << 10;
constexpr int64_t kManyChunkBytes = 384 << 10;
// Attention of more rows is not drafted: a thread that is held up would hold up a whole step.
constexpr Sharing kAttentionSharing{1 << 22, kFewRows};

// Floats that only grow, beginning at a cache line.
class Room {
  public:
    float* get(int64_t size) {
        if (size > size_) {
            wait_for_stragglers();  // they may still read what is freed here
            floats_.assign(static_cast<size_t>(size + kLanes), 0.0f);
            size_ = size;
        }
        const uintptr_t address = reinterpret_cast<uintptr_t>(floats_.data());
        return reinterpret_cast<float*>((address + 63) & ~uintptr_t{63});
    }

  private:
    std::vector<float> floats_;
    int64_t size_ = 0;
};

// Rows of numbers, `stride` apart.
struct Rows {
    float* numbers;
    int64_t stride;
    float* operator[](int64_t row) const { return numbers + row * stride; }
    Rows from(int64_t row) const { return {numbers + row * stride, stride}; }
};

struct Product {
    const Matrix* matrix;
    Rows output;
};

// The rows of some products, as all of them want them.
class Inputs {
  public:
    Inputs(Rows rows, int64_t num_rows, std::initializer_list<Product> products, Room& room)
        : num_rows_(num_rows),
          is_float_(products.begin()->matrix->is_float()),
          codes_(num_rows, products.begin()->matrix->num_inputs, wants_groups(num_rows, products),
                 scratch(num_rows, *products.begin()->matrix, room)) {
        const int64_t num_inputs = products.begin()->matrix->num_inputs;
        if (is_float_) {
            interleave(rows.numbers, rows.stride, num_rows, num_inputs, floats());
        } else {
            round_rows({num_rows, num_inputs, rows.numbers, rows.stride}, codes_);
        }
    }

    // Multiplies with some of the units in which the outputs of a matrix are counted; the first of
    // these outputs goes to `to`, rows are `stride` numbers apart.
    void multiply(const Matrix& matrix, int64_t first, int64_t end, float* to,
                  int64_t stride) const {
        if (is_float_) {
            const FloatWeights weights{matrix.num_inputs, matrix.num_outputs,
                                       reinterpret_cast<const float*>(matrix.tiles), matrix.bias};
            multiply_floats(weights, floats(), num_rows_, first * unit(),
                            std::min(matrix.num_outputs, end * unit()), to, stride);
        } else {
            multiply_panels(matrix, codes_, num_rows_, first, end, to, stride);
        }
    }

    int64_t num_rows() const { return num_rows_; }

    // Outputs that are multiplied together.
    int64_t unit() const { return is_float_ ? outputs_at_once(num_rows_) : kOutputs; }

    int64_t num_units(const Matrix& matrix) const {
        return (matrix.num_outputs + unit() - 1) / unit();
    }

    int64_t units_in_chunk(const Matrix& matrix) const {
        const int64_t shrunk = matrix.steps != nullptr && num_rows_ <= kFewRows ? 2 : 1;
        const int64_t bytes = is_float_ ? unit() * matrix.num_inputs * 4 : matrix.panel_bytes();
        const int64_t wanted = num_rows_ <= kFewRows ? kFewChunkBytes : kManyChunkBytes;
        const int64_t most = num_units(matrix) / (4 * num_threads()) + 1;
        // Panels are multiplied in pairs.
        return rounded_up(std::clamp<int64_t>(wanted * shrunk / bytes, 1, most), is_float_ ? 1 : 2);
    }

  private:
    static bool wants_groups(int64_t num_rows, std::initializer_list<Product> products) {
        return std::any_of(products.begin(), products.end(), [&](const Product& each) {
            return !each.matrix->is_float() && each.matrix->wants_groups(num_rows);
        });
    }
    static uint8_t* scratch(int64_t num_rows, const Matrix& matrix, Room& room) {
        const int64_t size = matrix.is_float() ? interleaved_size(num_rows, matrix.num_inputs)
                                               : scratch_bytes(num_rows, matrix.num_inputs) / 4 + 1;
        return reinterpret_cast<uint8_t*>(room.get(size));
    }
    float* floats() const { return reinterpret_cast<float*>(codes_.codes); }

    int64_t num_rows_;
    bool is_float_;
    Codes codes_;
};

template <typename Body>
void for_rows(int64_t num_rows, int64_t row_size, Body&& body) {
    if (num_rows > 1 && num_rows * row_size >= kWorthSharing) {
        parallel_for(num_rows, [&](int64_t row) { body(row); });
    } else {
        for (int64_t row = 0; row < num_rows; ++row) body(row);
    }
}

// Products of the same rows as one job of all threads.
class ProductJob {
  public:
    ProductJob(const Inputs& inputs, std::initializer_list<Product> products) : inputs_(inputs) {
        for (const Product& each : products) {
            const int64_t in_chunk = inputs.units_in_chunk(*each.matrix);
            const int64_t num_units = inputs.num_units(*each.matrix);
            shares_[num_shares_++] = {each, num_units, in_chunk,
                                      (num_units + in_chunk - 1) / in_chunk};
        }
    }

    void run() const {
        int64_t count = 0, most_outputs = 0;
        for (int64_t i = 0; i < num_shares_; ++i) {
            count += shares_[i].num_chunks;
            most_outputs = std::max(most_outputs, shares_[i].in_chunk * inputs_.unit());
        }
        const bool is_drafted = num_threads() > 1 && inputs_.num_rows() <= kFewRows &&
                                count <= DraftJob::kMaxChunks;
        if (!is_drafted) {
            parallel_for(count, [&](int64_t index) { compute(index); });
            return;
        }
        static_assert(std::is_trivially_copyable<ProductJob>::value, "it is copied as bytes");
        static_assert(sizeof(ProductJob) <= DraftJob::kMaxBytes, "there is room for it");
        run_drafts({count, inputs_.num_rows() * most_outputs, this, sizeof *this,
                    [](const void* job, int64_t index, float* draft) {
                        static_cast<const ProductJob*>(job)->draft(index, draft);
                    },
                    [](const void* job, int64_t index, const float* draft) {
                        static_cast<const ProductJob*>(job)->keep(index, draft);
                    }});
    }

  private:
    struct Share {
        Product product;
        int64_t num_units, in_chunk, num_chunks;
    };
    struct Chunk {
        const Share* share;
        int64_t first, end;
    };

    Chunk chunk(int64_t index) const {
        const Share* share = shares_;
        for (; index >= share->num_chunks; ++share) index -= share->num_chunks;
        const int64_t first = index * share->in_chunk;
        return {share, first, std::min(share->num_units, first + share->in_chunk)};
    }

    void compute(int64_t index) const {
        const Chunk part = chunk(index);
        const Product& product = part.share->product;
        inputs_.multiply(*product.matrix, part.first, part.end,
                         product.output.numbers + part.first * inputs_.unit(),
                         product.output.stride);
    }

    void draft(int64_t index, float* draft) const {
        const Chunk part = chunk(index);
        inputs_.multiply(*part.share->product.matrix, part.first, part.end, draft,
                         part.share->in_chunk * inputs_.unit());
    }

    void keep(int64_t index, const float* draft) const {
        const Chunk part = chunk(index);
        const Product& product = part.share->product;
        const int64_t first = part.first * inputs_.unit();
        const int64_t end = std::min(product.matrix->num_outputs, part.end * inputs_.unit());
        const Rows drafted{const_cast<float*>(draft), part.share->in_chunk * inputs_.unit()};
        for (int64_t row = 0; row < inputs_.num_rows(); ++row) {
            std::memcpy(product.output[row] + first, drafted[row],
                        static_cast<size_t>(end - first) * sizeof(float));
        }
    }

    static constexpr int64_t kMaxShares = 3;
    Inputs inputs_;
    Share shares_[kMaxShares] = {};
    int64_t num_shares_ = 0;
};

void multiply(Rows rows, int64_t num_rows, Room& room, std::initializer_list<Product> products) {
    ProductJob(Inputs(rows, num_rows, products, room), products).run();
}

// A decoder with the memory that its steps share. One step at a time.
class Program {
  public:
    explicit Program(const Decoder& decoder)
        : decoder_(decoder), layers_(decoder.layers, decoder.layers + decoder.num_layers) {}

    ~Program() { wait_for_stragglers(); }

    void run(const DecoderStep& step, int64_t first_layer, int64_t end_layer) {
        for (int64_t i = first_layer; i < end_layer; ++i) {
            run_layer(layers_[static_cast<size_t>(i)], step);
        }
        if (end_layer == decoder_.num_layers) compute_logits(step);
    }

  private:
    Rows rows_of(Room& room, int64_t num_rows, int64_t size) {
        const int64_t stride = padded_to_lanes(size);
        return {room.get(num_rows * stride), stride};
    }

    Rows hidden_of(const DecoderStep& step) const {
        return {step.hidden, decoder_.hidden_size};
    }

    void run_layer(const DecoderLayer& layer, const DecoderStep& step) {
        const int64_t num_tokens = step.num_tokens, head_dim = decoder_.head_dim;
        const Rows query = rows_of(query_, num_tokens, decoder_.num_heads * head_dim);
        const Rows key = rows_of(key_, num_tokens, decoder_.num_kv_heads * head_dim);
        const Rows value = rows_of(value_, num_tokens, decoder_.num_kv_heads * head_dim);
        const Rows attended = rows_of(attended_, num_tokens, decoder_.num_heads * head_dim);
        const StepKind& kind = step.kinds[layer.kind];
        const bool is_turned = kind.turned_cosines != nullptr && kind.rotary_dim > 0;
        const Rows turned =
            is_turned ? rows_of(turned_, num_tokens, decoder_.num_heads * head_dim) : query;
        for (int64_t first = 0; first < num_tokens; first += kBlockRows) {
            const int64_t count = std::min(kBlockRows, num_tokens - first);
            project(layer, step, first, count, query, key, value);
            for_rows(count, query.stride, [&](int64_t row) {
                const int64_t token = first + row;
                rotate_heads(layer, kind, token, query[token], key[token]);
                if (is_turned) turn_heads(kind, token, query[token], turned[token]);
            });
        }
        attend(layer, kind, num_tokens, query, is_turned ? turned.numbers : nullptr, key, value,
               attended);
        for (int64_t first = 0; first < num_tokens; first += kBlockRows) {
            const int64_t count = std::min(kBlockRows, num_tokens - first);
            finish_layer(layer, hidden_of(step).from(first), count, attended.from(first));
        }
    }

    void project(const DecoderLayer& layer, const DecoderStep& step, int64_t first, int64_t count,
                 Rows query, Rows key, Rows value) {
        const Rows normed = norm_rows(layer.before_attention, hidden_of(step).from(first), count);
        multiply(normed, count, inputs_,
                 {{&layer.query, query.from(first)},
                  {&layer.key, key.from(first)},
                  {&layer.value, value.from(first)}});
    }

    // Returns normed rows, or the rows themselves where there is no norm.
    Rows norm_rows(const float* weights, Rows rows, int64_t count) {
        if (weights == nullptr) return rows;
        const Rows normed = rows_of(normed_, count, decoder_.hidden_size);
        for_rows(count, normed.stride, [&](int64_t row) { norm(weights, rows[row], normed[row]); });
        return normed;
    }

    void norm(const float* weights, const float* from, float* to) const {
        norm_row(from, weights, decoder_.hidden_size, static_cast<float>(decoder_.eps), to);
    }

    void norm_heads(const float* weights, float* heads, int64_t num_heads) const {
        if (weights == nullptr) return;
        const int64_t dim = decoder_.head_dim;
        const int64_t count = decoder_.has_head_norms ? num_heads : 1;
        const int64_t size = num_heads * dim / count;
        for (int64_t i = 0; i < count; ++i) {
            float* const head = heads + i * size;
            norm_row(head, weights, size, static_cast<float>(decoder_.eps), head);
        }
    }

    void rotate_heads(const DecoderLayer& layer, const StepKind& kind, int64_t token, float* query,
                      float* key) const {
        norm_heads(layer.query_norm, query, decoder_.num_heads);
        norm_heads(layer.key_norm, key, decoder_.num_kv_heads);
        if (kind.rotary_dim == 0) return;
        const int64_t place = kind.places == nullptr ? token : kind.places[token];
        const float* const cosine = kind.cosines + place * kind.rotary_dim;
        const float* const sine = kind.sines + place * kind.rotary_dim;
        for (int64_t head = 0; head < decoder_.num_heads; ++head) {
            float* const at = query + head * decoder_.head_dim;
            rotate_head(at, cosine, sine, kind.rotary_dim, at);
        }
        for (int64_t head = 0; head < decoder_.num_kv_heads; ++head) {
            float* const at = key + head * decoder_.head_dim;
            rotate_head(at, cosine, sine, kind.rotary_dim, at);
        }
    }

    void turn_heads(const StepKind& kind, int64_t token, const float* query, float* to) const {
        const int64_t dim = decoder_.head_dim;
        std::memcpy(to, query, static_cast<size_t>(decoder_.num_heads * dim) * sizeof(float));
        for (int64_t head = 0; head < decoder_.num_heads; ++head) {
            rotate_head(query + head * dim, kind.turned_cosines + token * kind.rotary_dim,
                        kind.turned_sines + token * kind.rotary_dim, kind.rotary_dim,
                        to + head * dim);
        }
    }

    void attend(const DecoderLayer& layer, const StepKind& kind, int64_t num_tokens, Rows query,
                const float* turned, Rows key, Rows value, Rows attended) const {
        Layer call = layer.attention;
        call.query_type = kFloat32;
        call.query = query.numbers;
        call.turned = turned;
        call.query_token_stride = query.stride;
        call.out = attended.numbers;
        call.out_token_stride = attended.stride;
        call.num_new = num_tokens;
        call.new_slots = kind.slots;
        call.new_key = key.numbers;
        call.new_value = value.numbers;
        call.new_key_token_stride = key.stride;
        call.new_value_token_stride = value.stride;
        call.query_head_stride = call.out_head_stride = decoder_.head_dim;
        call.new_key_head_stride = call.new_value_head_stride = decoder_.head_dim;
        attend_layer(static_cast<const Plans*>(kind.plan)->current(), call, kAttentionSharing);
    }

    // What follows attention, for a block of rows.
    void finish_layer(const DecoderLayer& layer, Rows hidden, int64_t count, Rows attended) {
        const Rows branch = rows_of(branch_, count, decoder_.hidden_size);
        multiply(attended, count, inputs_, {{&layer.output, branch}});
        add_branch(layer.after_attention, branch, hidden, count);
        const Rows gate = rows_of(gate_, count, decoder_.intermediate_size);
        const Rows up = rows_of(up_, count, decoder_.intermediate_size);
        multiply(norm_rows(layer.before_mlp, hidden, count), count, inputs_,
                 {{&layer.gate, gate}, {&layer.up, up}});
        for_rows(count, gate.stride, [&](int64_t row) {
            gate_row(decoder_.activation, gate[row], up[row], decoder_.intermediate_size);
        });
        multiply(gate, count, inputs_, {{&layer.down, branch}});
        add_branch(layer.after_mlp, branch, hidden, count);
    }

    void add_branch(const float* weights, Rows branch, Rows hidden, int64_t count) const {
        const float scale = static_cast<float>(decoder_.residual_scale);
        for_rows(count, branch.stride, [&](int64_t row) {
            if (weights != nullptr) norm(weights, branch[row], branch[row]);
            add_row(hidden[row], branch[row], scale, decoder_.hidden_size);
        });
    }

    void compute_logits(const DecoderStep& step) {
        const Rows hidden = hidden_of(step);
        const Rows logits{step.logits, decoder_.head.num_outputs};
        const float scale = static_cast<float>(decoder_.logit_scale);
        for (int64_t first = 0; first < step.num_asked; first += kBlockRows) {
            const int64_t count = std::min(kBlockRows, step.num_asked - first);
            const Rows normed = rows_of(normed_, count, decoder_.hidden_size);
            for_rows(count, normed.stride, [&](int64_t row) {
                norm(decoder_.norm, hidden[step.asked[first + row]], normed[row]);
                if (scale == 1.0f) return;
                for (int64_t i = 0; i < decoder_.hidden_size; ++i) normed[row][i] *= scale;
            });
            multiply(normed, count, inputs_, {{&decoder_.head, logits.from(first)}});
        }
    }

    const Decoder decoder_;
    const std::vector<DecoderLayer> layers_;
    Room normed_, inputs_, query_, turned_, key_, value_, attended_, branch_, gate_, up_;
};

}  // namespace
}  // namespace kvchat

KVCHAT_EXPORT void* kvchat_decoder_new(const kvchat::Decoder* decoder) {
    return new kvchat::Program(*decoder);
}

KVCHAT_EXPORT void kvchat_decoder_free(void* program) {
    delete static_cast<kvchat::Program*>(program);
}

// Runs the layers first .. end - 1 of a step, and computes its logits behind the last one. The
// caller keeps what the step names alive until this returns, and weights, keys and values until the
// decoder is freed.
KVCHAT_EXPORT void kvchat_decoder_run(void* program, const kvchat::DecoderStep* step,
                                      int64_t first_layer, int64_t end_layer) {
    static_cast<kvchat::Program*>(program)->run(*step, first_layer, end_layer);
}
