#include "attention_plan.h"

#include <algorithm>
#include <unordered_map>

#include "pool.h"

namespace kvchat {
namespace {

// Most tokens of a piece: more than that read shared keys again, which costs little.
constexpr int64_t kMaxMembers = 64;
// Tokens of one row that are cut into pieces together.
constexpr int64_t kTokensTogether = 32;

struct Seen {
    int64_t first, behind;
};

int64_t first_recent(const Row& row, int64_t position) {
    const bool has_slid = row.window >= 0 && position >= row.sinks + row.window;
    return has_slid ? position - row.window + 1 : 0;
}

bool is_turned(const Row& row, int64_t position) {
    return row.window >= 0 && row.sinks > 0 && position >= row.sinks + row.window;
}

// Members of a piece while it grows; one whose members all see the same may be found by others.
struct Draft {
    Piece piece;
    std::vector<int32_t> tokens;
    std::vector<int32_t> first_seen, behind_seen;
};

class Planner {
  public:
    Planner(Plan& plan, bool may_share) : plan_(plan), may_share_(may_share) {}

    void add(const Row& row) {
        for (int64_t first = 0; first < row.count; first += kTokensTogether) {
            add_tokens(row, first, std::min(row.count, first + kTokensTogether));
        }
    }

    void finish() {
        Plan& plan = plan_;
        plan.pieces.clear();
        plan.members.clear();
        plan.first_seen.clear();
        plan.behind_seen.clear();
        std::vector<int64_t> first_member;
        for (const Draft& draft : drafts_) {
            first_member.push_back(static_cast<int64_t>(plan.members.size()));
            const int64_t size = static_cast<int64_t>(draft.tokens.size());
            for (int64_t first = 0; first < size; first += kMaxMembers) {
                Piece piece = draft.piece;
                piece.first_member = static_cast<int64_t>(plan.members.size()) + first;
                piece.num_members = std::min(kMaxMembers, size - first);
                plan.pieces.push_back(piece);
            }
            plan.members.insert(plan.members.end(), draft.tokens.begin(), draft.tokens.end());
            plan.first_seen.insert(plan.first_seen.end(), draft.first_seen.begin(),
                                   draft.first_seen.end());
            plan.behind_seen.insert(plan.behind_seen.end(), draft.behind_seen.begin(),
                                    draft.behind_seen.end());
        }
        plan.first_place.assign(1, 0);
        plan.places.clear();
        for (const auto& parts : parts_of_token_) {
            for (const auto& part : parts) {
                plan.places.push_back(static_cast<int32_t>(first_member[part.first] + part.second));
            }
            plan.first_place.push_back(static_cast<int64_t>(plan.places.size()));
        }
    }

  private:
    void add_tokens(const Row& row, int64_t first, int64_t behind) {
        const int64_t num_before = static_cast<int64_t>(plan_.tokens.size());
        for (int64_t token = first; token < behind; ++token) {
            plan_.tokens.push_back(static_cast<int32_t>(row.first_token + token));
        }
        parts_of_token_.resize(plan_.tokens.size());
        // The caller sees to it that the tokens of a row are turned together or not at all.
        const bool turned = is_turned(row, row.start);
        std::vector<Seen> seen(static_cast<size_t>(behind - first));
        if (turned) {
            std::fill(seen.begin(), seen.end(), Seen{0, row.sinks});
            add_cells(row, num_before, seen, true);
        }
        for (int64_t token = first; token < behind; ++token) {
            const int64_t position = row.start + token;
            const int64_t lowest = turned ? row.sinks : 0;
            seen[static_cast<size_t>(token - first)] = {
                std::max(lowest, first_recent(row, position)), position + 1};
        }
        add_cells(row, num_before, seen, false);
    }

    void add_cells(const Row& row, int64_t first_token, const std::vector<Seen>& seen, bool turned) {
        const int64_t lowest = seen.front().first, end = seen.back().behind;
        for (int64_t cell = lowest / kCell; cell * kCell < end; ++cell) {
            const int64_t first = std::max(lowest, cell * kCell);
            const int64_t behind = std::min(end, (cell + 1) * kCell);
            // What the last token begins with and the first one ends with, all of them see.
            const bool is_whole = seen.back().first <= first && seen.front().behind >= behind;
            const size_t draft = find_or_add(row, first, behind, turned, !is_whole);
            Draft& found = drafts_[draft];
            for (size_t i = 0; i < seen.size(); ++i) {
                const int64_t from = std::max(first, seen[i].first) - first;
                const int64_t to = std::min(behind, seen[i].behind) - first;
                if (from >= to) continue;
                const int32_t token = static_cast<int32_t>(first_token) + static_cast<int32_t>(i);
                parts_of_token_[static_cast<size_t>(token)].emplace_back(draft,
                                                                         found.tokens.size());
                found.tokens.push_back(token);
                found.first_seen.push_back(static_cast<int32_t>(from));
                found.behind_seen.push_back(static_cast<int32_t>(to));
            }
        }
    }

    size_t find_or_add(const Row& row, int64_t first, int64_t behind, bool turned, bool masked) {
        const Piece piece{first, row.table, 0, 0, static_cast<int32_t>(behind - first), turned,
                          masked};
        uint64_t key = 0;
        const bool may_be_shared = may_share_ && !masked;
        if (may_be_shared) {
            key = hash(piece);
            const auto range = by_content_.equal_range(key);
            for (auto each = range.first; each != range.second; ++each) {
                if (is_same(drafts_[each->second].piece, piece)) return each->second;
            }
        }
        drafts_.push_back({piece, {}, {}, {}});
        if (may_be_shared) by_content_.emplace(key, drafts_.size() - 1);
        return drafts_.size() - 1;
    }

    // The blocks of a piece: from its first key's on.
    const int32_t* blocks(const Piece& piece) const {
        return plan_.tables.data() + piece.table + piece.first_key / plan_.block_size;
    }
    int64_t num_blocks(const Piece& piece) const {
        const int64_t last = piece.first_key + piece.num_keys - 1;
        return last / plan_.block_size - piece.first_key / plan_.block_size + 1;
    }

    uint64_t hash(const Piece& piece) const {
        uint64_t value = static_cast<uint64_t>(piece.first_key) * 2 + piece.is_turned;
        value = value * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(piece.num_keys);
        const int32_t* const ids = blocks(piece);
        for (int64_t i = 0, count = num_blocks(piece); i < count; ++i) {
            value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9u + static_cast<uint64_t>(ids[i]);
        }
        return value;
    }

    bool is_same(const Piece& a, const Piece& b) const {
        return a.first_key == b.first_key && a.num_keys == b.num_keys &&
               a.is_turned == b.is_turned && !a.is_masked &&
               std::equal(blocks(a), blocks(a) + num_blocks(a), blocks(b));
    }

    Plan& plan_;
    const bool may_share_;
    std::vector<Draft> drafts_;
    std::unordered_multimap<uint64_t, size_t> by_content_;
    std::vector<std::vector<std::pair<size_t, size_t>>> parts_of_token_;
};

}  // namespace

void Plan::fill(int64_t block_size, int64_t num_rows, const Row* rows,
                const int32_t* tables, int64_t tables_size) {
    this->block_size = block_size;
    this->tables.assign(tables, tables + tables_size);
    tokens.clear();
    const bool is_alone = num_rows == 1 && rows[0].count <= kTokensTogether;
    Planner planner(*this, !is_alone);
    for (int64_t i = 0; i < num_rows; ++i) planner.add(rows[i]);
    planner.finish();
}

Plans::~Plans() { wait_for_stragglers(); }

Plan& Plans::next() {
    if (has_stragglers()) {
        retired_.push_back(std::move(current_));
        current_ = std::make_unique<Plan>();
    } else {
        retired_.clear();
    }
    return *current_;
}

}  // namespace kvchat

KVCHAT_EXPORT void* kvchat_plan_new() { return new kvchat::Plans; }

KVCHAT_EXPORT void kvchat_plan_free(void* plans) { delete static_cast<kvchat::Plans*>(plans); }

// Plans a step; `rows` are num_rows times the six numbers of kvchat::Row. Returns how many keys a
// layer reads per head, those that rows share counted once.
KVCHAT_EXPORT int64_t kvchat_plan_fill(void* plans, int64_t block_size, int64_t num_rows,
                                       const int64_t* rows, const int32_t* tables,
                                       int64_t tables_size) {
    kvchat::Plan& filled = static_cast<kvchat::Plans*>(plans)->next();
    filled.fill(block_size, num_rows, reinterpret_cast<const kvchat::Row*>(rows), tables,
                tables_size);
    int64_t num_keys = 0;
    for (const kvchat::Piece& piece : filled.pieces) num_keys += piece.num_keys;
    return num_keys;
}
