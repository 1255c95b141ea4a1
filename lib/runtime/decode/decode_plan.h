// Sizes and a block mask of a decode launch -> what its threads do, wave by wave: items, each some rows that share a kv head
// against one split of the keys that they visit. Rows that visit other keys are other items, so that any mask can be decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "flexjit/block_mask.h"
#include "plan/kernel_abi.h"
#include "runtime/schedule.h"
#include "runtime/sequences.h"
#include "runtime/spans.h"

namespace flexjit::runtime {

// Whose word a block mask is.
enum class MaskOrigin : std::uint8_t {
  kGiven,    // the caller's: no row may visit what it leaves out
  kDerived,  // from the mask that the kernel applies itself, so that a row may visit what another one needs
};

// What the plan depends on; all counts at least 1. Row r of those of a sequence that share a kv head is query r % q_len of head
// kv_head * group + r / q_len.
struct DecodeWork {
  std::span<const SequenceWork> sequences;
  std::int32_t kv_heads = 0, group = 0;
  std::int32_t q_tile = 0, strip = 0;  // of the kernel
  std::int64_t row_floats = 0;         // of the state of one row
  std::int32_t page_size = 0;
  MaskOrigin origin = MaskOrigin::kGiven;
  // Where every pair of a span is allowed, the kernel asks nothing of a sequence but its rows: those of several sequences may
  // then read the pages that they share together.
  bool rows_mix = false;
  // So many heads of a key are read together, piece of keys after piece, where they lie beside each other; 1: each alone.
  std::int32_t heads_together = 1;

  std::int64_t rows(const SequenceWork& of) const { return std::int64_t{group} * of.sequence->q_len; }
  std::int64_t chunks_per_pair(const SequenceWork& of) const { return (rows(of) + q_tile - 1) / q_tile; }
  std::int64_t most_splits() const;  // of any sequence
};

// Depends on the length alone, so that a sequence gets the same bits in every batch.
std::int64_t keys_per_split(std::int32_t kv_len);
std::int64_t splits_of(std::int32_t kv_len);  // at least 1

struct DecodeRows {
  std::int32_t sequence = 0;  // of the work
  std::int32_t kv_head = 0;
  std::int64_t begin = 0;
  std::int32_t count = 0;
};

struct DecodeItem {
  DecodeRows rows;
  std::int64_t split = 0;
  std::size_t spans_begin = 0, spans_end = 0;
  std::int64_t state = 0;                      // where the block of states that has its own begins, in floats
  std::int32_t first_row = 0, block_rows = 0;  // its rows are [first_row, first_row + rows.count) of block_rows
};

// Reusable over the waves of a launch and over launches, so that a second one allocates nothing.
class DecodePlan {
 public:
  DecodePlan() = default;
  explicit DecodePlan(const DecodeWork& work) { start(work); }

  void start(const DecodeWork& work);

  // Pieces of at most q_tile rows, by sequence, then by kv head, then by row.
  std::int64_t chunks() const { return first_chunk_.back(); }
  // Chunks [wave.begin, wave.end).
  void plan(const Wave& wave);
  // How many chunks a wave may have so that neither states nor plan grow large; at least 1.
  std::int64_t chunks_per_wave() const;

  DecodeRows rows_of(std::int64_t chunk) const;
  // By chunk, then by split, then by row: what reads the same keys follows each other.
  std::span<const DecodeItem> items() const { return items_; }
  std::span<const DecodeItem> items_of(std::int64_t chunk) const;
  std::span<const plan::SpanArg> spans(const DecodeItem& item) const;
  std::int64_t state_floats() const { return state_floats_; }
  // What threads take: items that read the same pages, whose states are one block, in the order of their rows; mostly one.
  std::int64_t readings() const { return static_cast<std::int64_t>(first_of_reading_.size()) - 1; }
  std::span<const std::size_t> reading(std::int64_t index) const;
  // Readings of the same keys of several heads, by head; mostly one.
  std::int64_t turns() const { return static_cast<std::int64_t>(first_of_turn_.size()) - 1; }
  std::span<const std::int64_t> turn(std::int64_t index) const;

 private:
  // Rows that visit the same keys, visited_[begin, end).
  struct Part {
    std::int64_t row = 0;
    std::int32_t count = 0;
    std::size_t begin = 0, end = 0;
  };
  // spans_[begin, end) are those of one part in split `index`.
  struct Split {
    std::int64_t index = 0;
    std::size_t begin = 0, end = 0;
  };

  const SequenceWork& work_of(const DecodeRows& rows) const { return work_.sequences[static_cast<std::size_t>(rows.sequence)]; }
  bool one_plane(const SequenceWork& of) const;
  std::int64_t state_of(std::int32_t rows) const;
  void add_chunk(const DecodeRows& rows);
  void find_parts(const DecodeRows& rows);
  void unite_parts();
  void cut(const Part& part, std::int64_t keys);
  void add_items(const DecodeRows& rows, const Part& part);
  void join_items();
  void join_heads();
  bool reads_the_same(const DecodeItem& a, const DecodeItem& b) const;

  DecodeWork work_;
  std::vector<std::int64_t> first_chunk_{0};  // by sequence, and the end
  SpanMaker maker_;
  std::vector<KeyRange> holes_;
  Wave wave_;
  std::int32_t cut_sequence_ = -1;               // whose splits are in splits_, where all its rows share them
  std::vector<plan::SpanArg> visited_, united_;  // of the chunk in progress
  std::vector<Part> parts_;                      // likewise
  std::vector<Split> splits_;                    // of the part that was cut last
  std::vector<plan::SpanArg> spans_;             // of all items
  std::vector<DecodeItem> items_;
  std::vector<std::size_t> first_item_;                        // by chunk of the wave, and the end
  std::vector<std::size_t> reading_order_, first_of_reading_;  // items by reading; by reading and the end
  std::vector<std::int64_t> turn_order_;                       // readings by turn
  std::vector<std::size_t> first_of_turn_;                     // by turn and the end
  std::int64_t state_floats_ = 0;
};

}  // namespace flexjit::runtime
