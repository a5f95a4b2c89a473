// What the rows of one step attend to, cut into pieces of work that are the same for all layers.
//
// Keys are cut by their position into cells of a fixed size, so which numbers are added in which
// order depends on a row alone: not on its neighbors, the place of its blocks or the threads.
// Rows that see the same slots in a cell are one piece, so shared keys are read once.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace kvchat {

constexpr int kCell = 128;

// One row of a step as the caller describes it: new tokens start .. start + count - 1 of a sequence,
// packed from first_token on. With a window (else -1) the query at t >= sinks + window sees sinks
// 0 .. sinks - 1, asked by a turned query, and the last `window` keys; all others see 0 .. t.
struct Row {
    int64_t first_token, count, start, window, sinks;
    int64_t table;  // where the row's table begins in the tables
};

// Keys of one cell, and the tokens that see them.
struct Piece {
    int64_t first_key;  // position of the first key
    int64_t table;      // where the table lies that says their blocks
    int64_t first_member, num_members;
    int32_t num_keys;
    bool is_turned;
    bool is_masked;  // members see different parts: Plan::first_seen and behind_seen
};

struct Plan {
    int64_t block_size = 1;
    std::vector<int32_t> tables;
    std::vector<Piece> pieces;
    std::vector<int32_t> tokens;  // of each token of the plan, its place in the packed step
    // Of each member of a piece: which token of the plan; which keys of the piece it sees.
    std::vector<int32_t> members, first_seen, behind_seen;
    // Of each token its members, in the order in which they are merged.
    std::vector<int64_t> first_place;  // [tokens + 1]
    std::vector<int32_t> places;

    void fill(int64_t block_size, int64_t num_rows, const Row* rows, const int32_t* tables,
              int64_t tables_size);
};

// The plan of the current step, with those of earlier steps that a thread which was held up may
// still read.
class Plans {
  public:
    ~Plans();
    const Plan& current() const { return *current_; }
    // Returns a plan to be filled, which nobody reads; it is the current one then.
    Plan& next();

  private:
    std::unique_ptr<Plan> current_ = std::make_unique<Plan>();
    std::vector<std::unique_ptr<Plan>> retired_;
};

}  // namespace kvchat
