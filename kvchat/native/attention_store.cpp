// Stores the new keys and values of a step: as they are, or as int8 codes with a scale per vector.

#include <cstring>
#include <limits>
#include <vector>

#include "attention_layer.h"
#include "vectors.h"

namespace kvchat {
namespace {

constexpr float kMaxCode = 127.0f;
constexpr float kMinPeak = 1e-6f;

// Bit by bit what quantization.py computes: the scale is the peak by 127, codes round to nearest,
// ties to even. A vector with NaN has a scale of NaN.
float round_to_codes(const float* vector, int64_t dim, int8_t* codes) {
    float peak = kMinPeak;
    bool is_number = true;
    for (int64_t i = 0; i < dim; ++i) {
        const float size = vector[i] < 0 ? -vector[i] : vector[i];
        is_number = is_number && size == size;
        peak = size > peak ? size : peak;
    }
    const float scale = is_number ? peak / kMaxCode : std::numeric_limits<float>::quiet_NaN();
    for (int64_t i = 0; i < dim; i += kLanes) {
        // Adding this number rounds to an integer, and leaves it in the low bits.
        const Floats shifted = load(vector + i) / all(scale) + all(12582912.0f);
        Ints bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        const int64_t count = dim - i < kLanes ? dim - i : kLanes;
        for (int64_t j = 0; j < count; ++j) codes[i + j] = static_cast<int8_t>(bits[j]);
    }
    return scale;
}

void widen_any(int64_t type, const void* base, int64_t offset, int64_t dim, float* to) {
    switch (type) {
        case kBFloat16: widen(static_cast<const BFloat16*>(base) + offset, dim, to); break;
        case kFloat16: widen(static_cast<const Float16*>(base) + offset, dim, to); break;
        default: widen(static_cast<const float*>(base) + offset, dim, to);
    }
}

// Where some vectors go, and where they come from.
struct Stream {
    const void* from;
    int64_t token_stride, from_head_stride;
    void* to;
    int64_t to_head_stride, slot_stride;
    float* scales;
};

void store_stream(const Layer& layer, const Stream& stream) {
    const int64_t dim = layer.key_dim;
    const size_t item = layer.query_type == kFloat32 ? 4 : 2;
    std::vector<float> widened(static_cast<size_t>((dim + kLanes - 1) / kLanes * kLanes));
    for (int64_t token = 0; token < layer.num_new; ++token) {
        const int64_t slot = layer.new_slots[token];
        for (int64_t head = 0; head < layer.num_kv_heads; ++head) {
            const int64_t from = token * stream.token_stride + head * stream.from_head_stride;
            const int64_t to = head * stream.to_head_stride + slot * stream.slot_stride;
            if (layer.kv_type == kInt8) {
                widen_any(layer.query_type, stream.from, from, dim, widened.data());
                stream.scales[head * layer.scale_head_stride + slot * layer.scale_slot_stride] =
                    round_to_codes(widened.data(), dim, static_cast<int8_t*>(stream.to) + to);
            } else {
                std::memcpy(static_cast<char*>(stream.to) + static_cast<size_t>(to) * item,
                            static_cast<const char*>(stream.from) +
                                static_cast<size_t>(from) * item,
                            static_cast<size_t>(dim) * item);
            }
        }
    }
}

}  // namespace

void store_tokens(const Layer& layer) {
    if (layer.num_new == 0) return;
    store_stream(layer, {layer.new_key, layer.new_key_token_stride, layer.new_key_head_stride,
                         layer.key, layer.key_head_stride, layer.key_slot_stride, layer.key_scale});
    if (layer.new_value == nullptr) return;
    store_stream(layer,
                 {layer.new_value, layer.new_value_token_stride, layer.new_value_head_stride,
                  layer.value, layer.value_head_stride, layer.value_slot_stride,
                  layer.value_scale});
}

}  // namespace kvchat
