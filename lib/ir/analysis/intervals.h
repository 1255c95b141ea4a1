// Program + a box of positions -> the range of every node over that box. Sound, never exact by promise: the true set of values
// is inside the range. Booleans are three-valued. Where the guard of a read is undecided its range is that of the values that
// are read, without the 0 of a false guard, and its indices are those that the guard lets through: no root depends on a read
// where its guard is false. The block mask and the
// inspector are its users.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/program/interface.h"
#include "ir/program/program.h"

namespace flexjit::ir {

// Ints are exact in double; bounds of longs that a double cannot hold are the next ones outside, so that such a range is no
// point. A bool is lo, hi in {0, 1}: decided when lo == hi. An int or long that may wrap is the full range. `may_nan` only for
// floats; a range with lo > hi is a float that is always NaN.
struct Range {
  double lo = 0;
  double hi = 0;
  bool may_nan = false;

  static Range point(double value) { return {value, value, false}; }
  bool is_point() const { return lo == hi && !may_nan; }
  bool operator==(const Range&) const = default;
};

inline constexpr double kIntMin = -2147483648.0;
inline constexpr double kIntMax = 2147483647.0;
inline constexpr Range kAnyInt{kIntMin, kIntMax, false};
inline constexpr Range kAnyLong{-0x1p63, 0x1p63, false};
inline constexpr Range kAnyBool{0, 1, false};
Range long_range(std::int64_t lo, std::int64_t hi);
Range any_float();  // [-inf, inf], may be NaN
Range any_of(Type type);

// Inclusive bounds of the positions in question.
struct Box {
  std::int32_t b_lo = 0, b_hi = 0;
  std::int32_t h_lo = 0, h_hi = 0;
  std::int32_t q_lo = 0, q_hi = 0;
  std::int32_t kv_lo = 0, kv_hi = 0;
};

// Answers for the values of a captured buffer, as the program reads them, over a box of indices. Indices outside the buffer
// read as 0.
class BufferRanges {
 public:
  virtual ~BufferRanges() = default;
  virtual Range range(std::uint32_t buffer, std::span<const Range> index) const = 0;
};

// Reusable so that a quadtree descent allocates nothing per box.
class IntervalAnalysis {
 public:
  // `buffers` may be null: reads are then unknown. All arguments must outlive it.
  IntervalAnalysis(const Program& program, const Environment& environment, const BufferRanges* buffers);

  // Ranges of all nodes, by id; valid until the next call.
  std::span<const Range> run(const Box& box);
  // The mask's truth over the box: point(0) never allowed, point(1) always, else kAnyBool.
  Range mask(const Box& box);
  // The same where the ranges of all nodes but `nodes`, ascending ids, were found before and hold over the box: for a part of a
  // box that was analysed, by what was left open there.
  Range mask(const Box& box, std::span<const std::uint32_t> nodes);
  // Ascending ids that the mask reaches.
  std::span<const std::uint32_t> mask_nodes() const { return mask_nodes_; }
  // What the last call found, by id; after mask(), of the nodes that the mask reaches alone.
  std::span<const Range> ranges() const { return ranges_; }
  // Index `dimension` of a read where its guard holds, by the last call. Empty, lo > hi: it holds nowhere.
  Range index_range(Id read, std::size_t dimension) const;
  // The contents of buffers have changed.
  void forget();

 private:
  // A node as it is evaluated again and again.
  struct Step {
    Op op = Op::kConst;
    TypeRule rule = TypeRule::kConst;
    Type type = Type::kInt;          // of the last operand
    std::uint8_t operand_count = 0;  // at most 3; not of reads
    std::array<std::uint32_t, 3> operands{};
  };
  // What the guard of a read says of one of its indices: index `op` bound, where op is an order.
  struct IndexBound {
    std::size_t dimension = 0;
    Op op = Op::kLe;
    Id bound;
  };
  // What a read was found to hold last, and where.
  struct Read {
    std::vector<IndexBound> bounds;
    std::array<Range, kMaxRank> index{};
    Range values{};
    bool known = false;
  };
  void find_bounds(Id read, Id condition);
  Range eval(Id id, const Box& box);
  Range eval_variable(const Node& node, const Box& box) const;
  Range eval_access(Id id);
  const Program& program_;
  const Environment& environment_;
  const BufferRanges* buffers_;
  std::vector<Range> ranges_;
  std::vector<Step> steps_;  // by id
  std::vector<Read> reads_;  // by id; empty without a read
  std::vector<std::uint32_t> mask_nodes_;
};

// "%3 = add %1, %2 : float in [0, 5]" a line, for the inspector.
std::string print_intervals(const Program& program, const Interface& interface, std::span<const Range> ranges);

}  // namespace flexjit::ir
