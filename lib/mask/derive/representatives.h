// What is left open of a box -> the same answer from few of its pairs. Along either index only those positions count at which
// something changes that the rest reads: `kv_idx // 64` has two values over 128 keys, so that two keys stand for all of them,
// and a list of chosen blocks is decided by two rows of lanes. Exact, and without a float: those are left to intervals and to
// who computes them in the kernel's precision.
#pragma once

#include <optional>

#include "mask/derive/box_prover.h"
#include "mask/derive/lane_evaluator.h"

namespace flexjit::mask {

// What was seen of a box.
struct Seen {
  bool allowed = false, forbidden = false;
  bool both() const { return allowed && forbidden; }
};

// Arguments must outlive it.
class Representatives {
 public:
  Representatives(const ir::Program& program, const ir::Environment& environment, std::span<const Dependence> varies);

  // Of a box that was analysed last and left `open`. None: floats, sides longer than a row of lanes, more than `most`
  // representatives along either index, or a read outside its buffer.
  std::optional<Seen> look(const ir::Box& box, Nodes open, std::int32_t most, BoxProver& prover);
  // Whether all that is open varies with this index alone, so that each position along it has one answer across the box.
  bool vary_only_with(ir::Op axis, Nodes open) const;
  // The answers along the line for such a box, one a lane. None as above.
  std::optional<std::span<const std::int32_t>> answers(const Line& line, Nodes open, BoxProver& prover);
  void forget() { lanes_.forget(); }

 private:
  bool varies_along(std::uint32_t node, ir::Op axis) const { return varies_[node].on(axis) && varies_[node].on_one(); }
  void find_changing(ir::Op axis, Nodes open);
  bool find_positions(const Line& line, Nodes open, std::int32_t most, BoxProver& prover);
  bool look_along(const Line& line, Nodes open, Seen& seen, BoxProver& prover);

  const ir::Program& program_;
  std::span<const Dependence> varies_;
  LaneEvaluator lanes_;
  std::vector<bool> is_read_;            // of find_changing; all false between calls
  std::vector<std::uint32_t> along_;     // of what is open, what varies along an axis alone, or not at all
  std::vector<std::uint32_t> changing_;  // of those, what is read by what varies otherwise
  std::vector<std::int32_t> positions_;  // where one of those changes, the first position always
  std::vector<std::int32_t> answers_;
};

}  // namespace flexjit::mask
