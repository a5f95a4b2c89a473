// A decoder as the caller describes it: where its weights lie, and what a step brings.
//
// Mirrored in native/decoder.py.

#pragma once

#include <cstdint>

#include "attention_layer.h"
#include "int_linear.h"

namespace kvchat {

// Rounded weights, or floats [num_outputs, num_inputs] in the place of tiles where there are no
// scales.
struct Matrix : IntWeights {
    bool is_float() const { return scales == nullptr; }
};

enum Activation : int64_t { kSilu = 0, kGeluTanh = 1 };

// Norms are weights of as many channels as they see, or null where there is none.
struct DecoderLayer {
    const float *before_attention, *after_attention, *before_mlp, *after_mlp;
    const float *query_norm, *key_norm;  // of each head, or of all heads together
    Matrix query, key, value, output, gate, up, down;
    int64_t kind;     // which of the step's kinds of layers it is
    Layer attention;  // all but what a step brings
};

struct Decoder {
    int64_t num_layers, hidden_size, intermediate_size, num_heads, num_kv_heads, head_dim;
    int64_t has_head_norms;  // whether query and key norms are those of each head
    int64_t activation;
    double eps, residual_scale, logit_scale;
    const DecoderLayer* layers;
    const float* norm;
    Matrix head;
};

// What layers of one kind have in common in a step: what they attend to, and how they rotate.
struct StepKind {
    const void* plan;
    const int64_t* slots;   // [num_tokens], of the new tokens
    int64_t rotary_dim;     // 0 where heads do not rotate
    const float* cosines;   // [places, rotary_dim], the first half of the sines negated
    const float* sines;
    const int64_t* places;  // [num_tokens], or null where that is the number of the token
    const float* turned_cosines;  // [num_tokens, rotary_dim] of the second rotation of queries that
    const float* turned_sines;    // ask the sinks, or null
};

struct DecoderStep {
    int64_t num_tokens;
    float* hidden;  // [num_tokens, hidden_size], changed by each layer
    const StepKind* kinds;
    int64_t num_asked;
    const int64_t* asked;  // tokens that get logits
    float* logits;         // [num_asked, outputs of the head]
};

}  // namespace kvchat
