// A small persistent pool of threads, shared by all kernels of this library.
//
// Work is cut into chunks, and each thread, the calling one as well, begins with a share of its own
// and then takes from the others': a thread that the system holds up delays at most the one chunk it
// has in hand. What a chunk computes must not depend on who computes it.

#pragma once

#include <cstdint>

#define KVCHAT_EXPORT extern "C" __attribute__((visibility("default")))

namespace kvchat {

// Computes chunk `index` of 0 .. count - 1; chunks run at the same time, in any order.
using ChunkBody = void (*)(void* context, int64_t index);

// Most chunks of one job, since a word packs their numbers; cut work more coarsely instead.
constexpr int64_t kMaxChunks = (int64_t{1} << 20) - 1;

// Runs all chunks and returns when they are done. The body must not throw, nor start another job.
// Several callers may come at once: one gets the pool, the others work alone meanwhile.
void run_chunks(int64_t count, ChunkBody body, void* context);

// How many threads run_chunks uses, the caller included.
int num_threads();

template <typename Body>
void parallel_for(int64_t count, Body&& body) {
    run_chunks(
        count, [](void* context, int64_t index) { (*static_cast<Body*>(context))(index); }, &body);
}

// A job whose chunks are first drafted in memory of the thread that computes them, then kept. Where
// a thread that took a chunk is held up by the system, the caller drafts it anew instead of waiting:
// whichever draft is done first is kept, and they are equal.
//
// The job is copied, and what it points to must live until `wait_for_stragglers` returns, since a
// thread may come late with a draft that nobody wants any more; it may read what has changed since.
struct DraftJob {
    static constexpr int64_t kMaxBytes = 512;
    static constexpr int64_t kMaxChunks = 4096;
    int64_t count;       // of chunks, up to kMaxChunks
    int64_t draft_size;  // floats of a draft
    const void* job;
    int64_t job_bytes;
    void (*draft)(const void* job, int64_t index, float* draft);
    void (*keep)(const void* job, int64_t index, const float* draft);
};
void run_drafts(const DraftJob& job);

// Returns when no thread has a draft in hand; no job may run meanwhile.
void wait_for_stragglers();

// Whether a thread may have a draft in hand, while no job runs.
bool has_stragglers();

}  // namespace kvchat
