// A program of ints, longs and bools -> its values over many positions of one index at once, for one position of the other.
// Only the nodes that are asked for are computed, so that what interval analysis has decided costs nothing; what varies along
// the lanes alone is kept while the lanes stay, and reads along them are loops over the buffer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/analysis/intervals.h"
#include "ir/evaluate/captured.h"
#include "ir/evaluate/environment.h"
#include "ir/evaluate/lanes.h"
#include "mask/derive/dependence.h"

namespace flexjit::mask {

// The positions [begin, begin + count) of the index `along`, kQIdx or kKvIdx, at position `at` of the other one.
struct Line {
  std::int32_t b = 0, h = 0;
  ir::Op along = ir::Op::kKvIdx;
  std::int32_t at = 0;
  std::int32_t begin = 0, count = 0;  // at most LaneEvaluator::kMaxCount
};

// Holds scratch: one per thread. Program, environment and dependences must outlive it.
class LaneEvaluator {
 public:
  static constexpr std::int32_t kMaxCount = 256;

  LaneEvaluator(const ir::Program& program, const ir::Environment& environment, std::span<const Dependence> varies)
      : program_(program), environment_(environment), varies_(varies), values_(program.size()), state_(program.size()) {}

  // Whether none of the nodes is a float: these are left to who computes them in the kernel's precision.
  bool serves(std::span<const std::uint32_t> nodes) const;

  // Computes `nodes`, ascending. An operand that is not among them is one number over the whole line, and `known` says which.
  // False: `known` does not say it, or a read was outside its buffer.
  bool evaluate(const Line& line, std::span<const std::uint32_t> nodes, std::span<const ir::Range> known);
  // Of an int or a bool computed by the last call, one a lane.
  std::span<const std::int32_t> values(std::uint32_t node) const {
    return {values_[node].i.data(), static_cast<std::size_t>(line_.count)};
  }
  // Whether a node that was computed by the last call differs in two neighbouring lanes, `lane` and the one before.
  bool changes(std::uint32_t node, std::size_t lane) const {
    const ir::Lanes& lanes = values_[node];
    return is_long(node) ? lanes.l[lane] != lanes.l[lane - 1] : lanes.i[lane] != lanes.i[lane - 1];
  }
  // Forgets what was kept: the contents of buffers have changed.
  void forget() { line_ = {}, ++window_; }

 private:
  struct State {
    std::uint64_t window = 0;  // in which what varies along the lanes alone was computed
    std::uint64_t call = 0;    // in which the node was computed or found kept
    bool filled = false;       // all lanes hold `constant`
    std::int64_t constant = 0;
  };

  bool is_long(std::uint32_t node) const { return program_.nodes()[node].type == ir::Type::kLong; }
  bool compute(std::uint32_t node, std::int32_t count);
  void compute_leaf(ir::Id id, std::int32_t count);
  bool compute_access(std::uint32_t node, std::int32_t count);
  bool read_along(std::uint32_t node, std::int32_t count, bool& inside);
  const ir::Lanes* operand(ir::Id id);
  void fill(std::uint32_t node, std::int64_t value);

  const ir::Program& program_;
  const ir::Environment& environment_;
  std::span<const Dependence> varies_;
  std::vector<ir::Lanes> values_;
  std::vector<State> state_;
  std::span<const ir::Range> known_;
  bool is_unknown_ = false;  // an operand was used whose value nobody knows
  Line line_;
  std::uint64_t window_ = 1, call_ = 0;
  std::vector<std::uint8_t> active_ = std::vector<std::uint8_t>(kMaxCount, 1);
};

}  // namespace flexjit::mask
