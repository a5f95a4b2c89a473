#include "pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace kvchat {
namespace {

// A job with its count and the next chunk in one word: a successful exchange of it claims a chunk
// of the very job that was looked at, so a thread that comes late can never touch another one.
struct Ticket {
    uint64_t job, count, next;
    explicit Ticket(uint64_t word)
        : job(word >> 40), count(word >> 20 & 0xfffff), next(word & 0xfffff) {}
    Ticket(uint64_t job, uint64_t count) : job(job), count(count), next(0) {}
    uint64_t word() const { return job << 40 | count << 20 | next; }
    bool has_work() const { return next < count; }
};

// Longer than what lies between two jobs of a layer, shorter than what others would notice.
constexpr auto kSpinTime = std::chrono::microseconds(30);

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits a moment for a condition without giving up the processor; says whether it came true.
template <typename Condition>
bool spin_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
    do {
        for (int i = 0; i < 64; ++i) {
            if (condition()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() < deadline);
    return condition();
}

class Pool {
  public:
    // Runs a job; the caller holds `owner_`.
    void run(int64_t count, ChunkBody body, void* context, int num_workers) {
        start_workers(num_workers);
        body_.store(body, std::memory_order_relaxed);
        context_.store(context, std::memory_order_relaxed);
        num_done_.store(0, std::memory_order_relaxed);
        num_wanted_.store(std::min(num_workers, num_started_), std::memory_order_relaxed);
        const uint64_t job = Ticket(ticket_.load(std::memory_order_relaxed)).job + 1;
        ticket_.store(Ticket(job & 0xffffff, count).word(), std::memory_order_seq_cst);
        if (num_asleep_.load(std::memory_order_seq_cst) > 0) {
            std::lock_guard<std::mutex> guard(mutex_);
            work_came_.notify_all();
        }
        while (work_once()) {
        }
        const auto is_done = [&] { return num_done_.load(std::memory_order_seq_cst) == count; };
        if (spin_until(is_done)) return;
        // Asleep, so that the system may run a worker that it held up on this processor.
        std::unique_lock<std::mutex> guard(mutex_);
        is_waited_for_.store(true, std::memory_order_seq_cst);
        all_done_.wait(guard, is_done);
        is_waited_for_.store(false, std::memory_order_relaxed);
    }

    std::mutex owner_;

  private:
    // Claims a chunk and computes it; false when nothing is left.
    bool work_once() {
        uint64_t word = ticket_.load(std::memory_order_acquire);
        do {
            if (!Ticket(word).has_work()) return false;
        } while (!ticket_.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel,
                                                std::memory_order_acquire));
        const Ticket ticket(word);
        // These belong to the job of the ticket: it cannot end before this chunk is done.
        const ChunkBody body = body_.load(std::memory_order_relaxed);
        void* const context = context_.load(std::memory_order_relaxed);
        body(context, static_cast<int64_t>(ticket.next));
        const uint64_t done = num_done_.fetch_add(1, std::memory_order_seq_cst) + 1;
        if (done == ticket.count && is_waited_for_.load(std::memory_order_seq_cst)) {
            std::lock_guard<std::mutex> guard(mutex_);
            all_done_.notify_all();
        }
        return true;
    }

    void work_for_ever(int number) {
        const auto is_wanted = [&] {
            // In this order: who sees the ticket of a job sees how many workers it wants.
            return Ticket(ticket_.load(std::memory_order_seq_cst)).has_work() &&
                   number < num_wanted_.load(std::memory_order_relaxed);
        };
        for (;;) {
            if (spin_until(is_wanted)) {
                while (is_wanted() && work_once()) {
                }
                continue;
            }
            std::unique_lock<std::mutex> guard(mutex_);
            num_asleep_.fetch_add(1, std::memory_order_seq_cst);
            work_came_.wait(guard, is_wanted);
            num_asleep_.fetch_sub(1, std::memory_order_relaxed);
        }
    }

    void start_workers(int wanted) {
        while (num_started_ < wanted) {
            try {
                std::thread([this, number = num_started_] { work_for_ever(number); }).detach();
            } catch (const std::system_error&) {
                return;  // fewer threads do the same work
            }
            ++num_started_;
        }
    }

    std::atomic<uint64_t> ticket_{0};
    std::atomic<ChunkBody> body_{nullptr};
    std::atomic<void*> context_{nullptr};
    std::atomic<int64_t> num_done_{0};
    std::atomic<int> num_wanted_{0};
    std::atomic<int> num_asleep_{0};
    std::atomic<bool> is_waited_for_{false};
    std::mutex mutex_;
    std::condition_variable work_came_, all_done_;
    int num_started_ = 0;
};

std::atomic<int> wanted_threads{1};

// Never destroyed: workers outlive whatever ends first at exit. A forked child has no workers and
// perhaps a locked mutex, so it begins with a pool of its own.
std::atomic<Pool*> the_pool{nullptr};

void begin_anew_in_child() { the_pool.store(new Pool, std::memory_order_release); }

Pool* pool() {
    static const bool is_ready = [] {
        the_pool.store(new Pool, std::memory_order_release);
        pthread_atfork(nullptr, nullptr, begin_anew_in_child);
        return true;
    }();
    (void)is_ready;
    return the_pool.load(std::memory_order_acquire);
}

void run_alone(int64_t count, ChunkBody body, void* context) {
    for (int64_t index = 0; index < count; ++index) body(context, index);
}

}  // namespace

int num_threads() { return wanted_threads.load(std::memory_order_relaxed); }

void run_chunks(int64_t count, ChunkBody body, void* context) {
    const int num_workers = num_threads() - 1;
    if (count < 2 || num_workers < 1 || count > kMaxChunks) {
        run_alone(count, body, context);
        return;
    }
    Pool* const shared = pool();
    std::unique_lock<std::mutex> owner(shared->owner_, std::try_to_lock);
    if (!owner.owns_lock()) {
        run_alone(count, body, context);
        return;
    }
    const int useful = static_cast<int>(std::min<int64_t>(num_workers, count - 1));
    shared->run(count, body, context, useful);
}

}  // namespace kvchat

KVCHAT_EXPORT void kvchat_set_threads(int64_t count) {
    kvchat::wanted_threads.store(static_cast<int>(std::clamp<int64_t>(count, 1, 256)),
                                 std::memory_order_relaxed);
}

KVCHAT_EXPORT int64_t kvchat_num_threads() { return kvchat::num_threads(); }

// Fills out[i] = i * i, in chunks that take unequally long; says whether the pool works.
KVCHAT_EXPORT void kvchat_square_numbers(int64_t count, int64_t* out) {
    kvchat::parallel_for(count, [&](int64_t index) {
        volatile int64_t sink = 0;
        for (int64_t i = 0; i < (index % 7) * 500; ++i) sink = sink + i;
        out[index] = index * index;
    });
}
