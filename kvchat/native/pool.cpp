#include "pool.h"

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace kvchat {
namespace {

// Chunks that one thread begins with, in one word with their job: a successful exchange of it claims
// a chunk of the very job that was looked at, so a thread that comes late can never touch another one.
struct Ticket {
    uint64_t job, is_draft, end, next;
    explicit Ticket(uint64_t word)
        : job(word >> 41),
          is_draft(word >> 40 & 1),
          end(word >> 20 & 0xfffff),
          next(word & 0xfffff) {}
    Ticket(uint64_t its_job, bool of_drafts, int64_t first, int64_t behind)
        : job(its_job & 0x7fffff),
          is_draft(of_drafts),
          end(static_cast<uint64_t>(behind)),
          next(static_cast<uint64_t>(first)) {}
    uint64_t word() const { return job << 41 | is_draft << 40 | end << 20 | next; }
    bool has_work() const { return next < end; }
    // The owner goes forward, so that it reads memory in order; thieves come from the other end.
    Ticket without_first() const { return {job, is_draft != 0, int64_t(next) + 1, int64_t(end)}; }
    Ticket without_last() const { return {job, is_draft != 0, int64_t(next), int64_t(end) - 1}; }
};

// For the last chunks of others: longer than most take, shorter than what others would notice.
constexpr auto kSpinTime = std::chrono::microseconds(30);
// Longer than what lies between two calls of a step.
constexpr auto kIdleTime = std::chrono::microseconds(200);

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits a moment for a condition without giving up the processor; says whether it came true.
template <typename Condition>
bool spin_until(Condition condition, std::chrono::microseconds time = kSpinTime) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    do {
        for (int i = 0; i < 64; ++i) {
            if (condition()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() < deadline);
    return condition();
}

// Longer than a chunk takes that nobody holds up.
constexpr auto kPatience = std::chrono::microseconds(20);

// What a chunk of drafts is: its job in the high bits, then how far it is.
enum Stage : uint64_t { kOpen = 0, kBeingKept = 1, kKept = 2 };
constexpr uint64_t stage_word(uint64_t job, Stage stage) { return job << 2 | stage; }

// A copy of a job of drafts, in the hands of one thread.
struct DraftCopy {
    DraftJob job{};
    alignas(16) unsigned char bytes[DraftJob::kMaxBytes];
    std::vector<float> draft;
    uint64_t number = 0;  // counts jobs of drafts

    void fill(const DraftJob& from, const void* content, uint64_t its_number) {
        number = its_number;
        job = from;
        std::memcpy(bytes, content, static_cast<size_t>(from.job_bytes));
        job.job = bytes;
        if (static_cast<int64_t>(draft.size()) < job.draft_size) {
            draft.resize(static_cast<size_t>(job.draft_size));
        }
    }
};

class Pool {
  public:
    // Runs a job of drafts; the caller holds `owner_`.
    void run_drafts(const DraftJob& job, int num_workers) {
        start_workers(num_workers);
        // Nothing is left of the last job, so nobody who looks at this now can take a chunk of it.
        std::memcpy(draft_bytes_, job.job, static_cast<size_t>(job.job_bytes));
        draft_job_ = job;
        const uint64_t number = ++num_draft_jobs_;
        draft_number_.store(number, std::memory_order_release);
        num_wanted_.store(std::min(num_workers, num_started_), std::memory_order_relaxed);
        for (int64_t i = 0; i < job.count; ++i) {
            stages_[i].store(stage_word(number, kOpen), std::memory_order_relaxed);
        }
        publish(job.count, true);
        DraftCopy& copy = callers_copy();
        copy.fill(job, job.job, number);
        while (work_once(kCaller, copy)) {
        }
        finish_drafts(copy);
    }

    bool has_stragglers() const { return num_inside_.load(std::memory_order_seq_cst) > 0; }

    // Runs a job; the caller holds `owner_`.
    void run(int64_t count, ChunkBody body, void* context, int num_workers) {
        start_workers(num_workers);
        body_.store(body, std::memory_order_relaxed);
        context_.store(context, std::memory_order_relaxed);
        num_chunks_.store(count, std::memory_order_relaxed);
        num_done_.store(0, std::memory_order_relaxed);
        num_wanted_.store(std::min(num_workers, num_started_), std::memory_order_relaxed);
        publish(count, false);
        while (work_once(kCaller, callers_copy())) {
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
    static DraftCopy& callers_copy() {
        static thread_local DraftCopy copy;
        return copy;
    }

    // Gives each thread chunks to begin with, and wakes who sleeps.
    void publish(int64_t count, bool of_drafts) {
        ++num_jobs_;
        const int64_t num_shares = std::min<int64_t>(num_wanted_ + 1, kMaxShares);
        num_shares_.store(num_shares, std::memory_order_relaxed);
        for (int64_t i = 0; i < num_shares; ++i) {
            const Ticket ticket(num_jobs_, of_drafts, count * i / num_shares,
                                count * (i + 1) / num_shares);
            shares_[i].ticket.store(ticket.word(), std::memory_order_release);
        }
        news_.store(num_jobs_, std::memory_order_seq_cst);
        if (num_asleep_.load(std::memory_order_seq_cst) > 0) {
            std::lock_guard<std::mutex> guard(mutex_);
            work_came_.notify_all();
        }
    }

    // Claims a chunk, of the thread's own share if there is one left, and computes it; false when
    // nothing is left.
    bool work_once(int64_t thread, DraftCopy& copy) {
        // Where this is out of date, what is found is still a chunk that nobody has, or none.
        const int64_t num_shares = num_shares_.load(std::memory_order_relaxed);
        for (int64_t i = 0; i < num_shares; ++i) {
            const int64_t share = (thread + i) % num_shares;
            if (work_on_share(shares_[share].ticket, i == 0, copy)) return true;
        }
        return false;
    }

    bool work_on_share(std::atomic<uint64_t>& share, bool is_own, DraftCopy& copy) {
        uint64_t word = share.load(std::memory_order_acquire), without;
        do {
            const Ticket ticket(word);
            if (!ticket.has_work()) return false;
            if (ticket.is_draft) {
                // What is read here is the ticket's if the exchange succeeds: till then no other
                // job was begun.
                const uint64_t number = draft_number_.load(std::memory_order_acquire);
                if (copy.number != number) copy.fill(draft_job_, draft_bytes_, number);
            }
            without = (is_own ? ticket.without_first() : ticket.without_last()).word();
        } while (!share.compare_exchange_weak(word, without, std::memory_order_acq_rel,
                                              std::memory_order_acquire));
        const Ticket ticket(word);
        const int64_t index = static_cast<int64_t>(is_own ? ticket.next : ticket.end - 1);
        if (ticket.is_draft) {
            draft(copy, index);
        } else {
            compute(index);
        }
        return true;
    }

    void compute(int64_t index) {
        // These belong to the job of the chunk: it cannot end before this chunk is done.
        const ChunkBody body = body_.load(std::memory_order_relaxed);
        void* const context = context_.load(std::memory_order_relaxed);
        const int64_t count = num_chunks_.load(std::memory_order_relaxed);
        body(context, index);
        const int64_t done = num_done_.fetch_add(1, std::memory_order_seq_cst) + 1;
        if (done == count && is_waited_for_.load(std::memory_order_seq_cst)) {
            std::lock_guard<std::mutex> guard(mutex_);
            all_done_.notify_all();
        }
    }

    // Drafts a chunk, and keeps it if nobody else has.
    void draft(DraftCopy& copy, int64_t index) {
        copy.job.draft(copy.bytes, index, copy.draft.data());
        uint64_t open = stage_word(copy.number, kOpen);
        if (!stages_[index].compare_exchange_strong(open, stage_word(copy.number, kBeingKept),
                                                    std::memory_order_acq_rel)) {
            return;
        }
        copy.job.keep(copy.bytes, index, copy.draft.data());
        stages_[index].store(stage_word(copy.number, kKept), std::memory_order_release);
    }

    // Waits a moment for what others have in hand; then does it anew.
    void finish_drafts(DraftCopy& copy) {
        const int64_t count = copy.job.count;
        int64_t first = 0;
        const auto stage = [&](int64_t index) {
            return stages_[index].load(std::memory_order_acquire);
        };
        const auto are_kept = [&] {
            while (first < count && stage(first) == stage_word(copy.number, kKept)) ++first;
            return first == count;
        };
        if (spin_until(are_kept, kPatience)) return;
        for (int64_t index = first; index < count; ++index) {
            if (stage(index) == stage_word(copy.number, kOpen)) draft(copy, index);
        }
        // Only a thread that was held up while it kept a draft is waited for.
        while (!are_kept()) std::this_thread::yield();
    }

    void work_for_ever(int number) {
        DraftCopy copy;
        uint64_t seen = 0;
        const auto has_news = [&] { return news_.load(std::memory_order_seq_cst) != seen; };
        for (;;) {
            if (!spin_until(has_news, kIdleTime)) {
                std::unique_lock<std::mutex> guard(mutex_);
                num_asleep_.fetch_add(1, std::memory_order_seq_cst);
                work_came_.wait(guard, has_news);
                num_asleep_.fetch_sub(1, std::memory_order_relaxed);
            }
            seen = news_.load(std::memory_order_seq_cst);
            // Written before the news: who sees them sees how many workers they want.
            if (number >= num_wanted_.load(std::memory_order_relaxed)) continue;
            num_inside_.fetch_add(1, std::memory_order_seq_cst);
            while (work_once(number + 1, copy)) {
            }
            num_inside_.fetch_sub(1, std::memory_order_seq_cst);
        }
    }

    // Keeps workers off the processor of the caller, whom they would hold up where others are busy:
    // what they cannot do elsewhere it does itself.
    void leave_processor_to_caller() {
#if defined(__linux__)
        const int processor = sched_getcpu();
        if (processor == callers_processor_ && num_placed_ == num_started_) return;
        cpu_set_t allowed;
        if (processor < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
        CPU_CLR(static_cast<size_t>(processor), &allowed);
        if (CPU_COUNT(&allowed) == 0) return;
        for (const pthread_t worker : workers_) {
            pthread_setaffinity_np(worker, sizeof allowed, &allowed);
        }
        callers_processor_ = processor;
        num_placed_ = num_started_;
#endif
    }

    void start_workers(int wanted) {
        while (num_started_ < wanted) {
            try {
                std::thread worker([this, number = num_started_] { work_for_ever(number); });
                workers_.push_back(worker.native_handle());
                worker.detach();
            } catch (const std::system_error&) {
                return;  // fewer threads do the same work
            }
            ++num_started_;
        }
        leave_processor_to_caller();
    }

    static constexpr int64_t kMaxShares = 64;
    static constexpr int64_t kCaller = 0;
    struct alignas(64) Share {
        std::atomic<uint64_t> ticket{0};
    };
    Share shares_[kMaxShares];
    std::atomic<int64_t> num_shares_{0};
    uint64_t num_jobs_ = 0;
    std::atomic<uint64_t> news_{0};  // the number of the last job
    uint64_t num_draft_jobs_ = 0;
    std::atomic<uint64_t> draft_number_{0};
    std::atomic<int> num_inside_{0};
    DraftJob draft_job_{};
    alignas(16) unsigned char draft_bytes_[DraftJob::kMaxBytes];
    std::atomic<uint64_t> stages_[DraftJob::kMaxChunks] = {};
    std::atomic<ChunkBody> body_{nullptr};
    std::atomic<void*> context_{nullptr};
    std::atomic<int64_t> num_chunks_{0}, num_done_{0};
    std::atomic<int> num_wanted_{0};
    std::atomic<int> num_asleep_{0};
    std::atomic<bool> is_waited_for_{false};
    std::mutex mutex_;
    std::condition_variable work_came_, all_done_;
    int num_started_ = 0, num_placed_ = 0, callers_processor_ = -1;
    std::vector<pthread_t> workers_;
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

void run_drafts(const DraftJob& job) {
    const int num_workers = num_threads() - 1;
    Pool* const shared = pool();
    std::unique_lock<std::mutex> owner(shared->owner_, std::defer_lock);
    const bool is_shared = job.count > 1 && num_workers > 0 && job.count <= DraftJob::kMaxChunks;
    if (is_shared && owner.try_lock()) {
        shared->run_drafts(job, static_cast<int>(std::min<int64_t>(num_workers, job.count - 1)));
        return;
    }
    static thread_local std::vector<float> draft;
    draft.resize(static_cast<size_t>(job.draft_size));
    for (int64_t index = 0; index < job.count; ++index) {
        job.draft(job.job, index, draft.data());
        job.keep(job.job, index, draft.data());
    }
}

bool has_stragglers() { return pool()->has_stragglers(); }

void wait_for_stragglers() {
    while (has_stragglers()) std::this_thread::yield();
}

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

namespace {

struct HeldUpJob {
    pthread_t caller;
    int64_t round, held_microseconds;
    std::atomic<int64_t>* num_drafts;
    float* out;

    float number(int64_t index) const { return static_cast<float>(round * 100 + index); }
};

void draft_held_up(const void* bytes, int64_t index, float* draft) {
    const HeldUpJob& job = *static_cast<const HeldUpJob*>(bytes);
    job.num_drafts->fetch_add(1);
    const bool is_callers = pthread_equal(pthread_self(), job.caller) != 0;
    // The caller takes its time, so that others come to chunks; they are held up longer than that.
    const int64_t microseconds = is_callers ? 5 : job.held_microseconds * (index % 3);
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    *draft = job.number(index);
}

void keep_held_up(const void* bytes, int64_t index, const float* draft) {
    static_cast<const HeldUpJob*>(bytes)->out[index] = *draft;
}

}  // namespace

// Runs jobs of drafts in which threads other than the caller's are held up for so long at two of
// three chunks. Returns how many numbers came out wrong, and how many drafts were made in all.
KVCHAT_EXPORT int64_t kvchat_draft_held_up(int64_t count, int64_t num_rounds,
                                           int64_t held_microseconds, int64_t* num_drafts) {
    std::atomic<int64_t> drafted{0};
    std::vector<float> out(static_cast<size_t>(count));
    int64_t num_wrong = 0;
    for (int64_t round = 1; round <= num_rounds; ++round) {
        const HeldUpJob job{pthread_self(), round, held_microseconds, &drafted, out.data()};
        kvchat::run_drafts({count, 1, &job, sizeof job, draft_held_up, keep_held_up});
        for (int64_t index = 0; index < count; ++index) {
            num_wrong += out[static_cast<size_t>(index)] != job.number(index);
        }
    }
    kvchat::wait_for_stragglers();
    *num_drafts = drafted.load();
    return num_wrong;
}
