// A box of one plane -> whether interval analysis proves it full or empty, and what it leaves open: the nodes on which the
// answer still hangs, which are all that the parts of the box have to be analysed by. Counts its work, so that a derivation can
// have a budget that no clock decides.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "flexjit/block_mask.h"
#include "ir/analysis/intervals.h"
#include "mask/derive/buffer_ranges.h"
#include "mask/derive/dependence.h"

namespace flexjit::mask {

using Nodes = std::span<const std::uint32_t>;  // ascending ids

// Arguments must outlive it. A box lies in the plane that was started last.
class BoxProver {
 public:
  BoxProver(const ir::Program& program, const ir::Environment& environment, std::span<const Dependence> varies);

  void start_plane(const ir::Box& plane);
  // The contents of buffers have changed.
  void forget() { buffers_.forget(), analysis_.forget(); }
  // What varies within the plane.
  Nodes plane_nodes() const { return plane_nodes_; }

  // Full or empty for certain, and no read to be reported. `nodes` are those of the plane, or what was left open over a box
  // that has this one inside, the last one for which add_open_nodes was called since.
  std::optional<BlockKind> prove(const ir::Box& box, Nodes nodes);
  // After prove(box, nodes) found nothing: appends those of `nodes` on which the box still hangs.
  void add_open_nodes(Nodes nodes, std::vector<std::uint32_t>& open);
  // Whether some position of the last box may read outside a buffer. Such a box is never decided by its value, because the read
  // must be met by whoever evaluates the elements and be reported.
  bool may_fault() const;
  // Of the last box.
  std::span<const ir::Range> ranges() const { return analysis_.ranges(); }
  ir::IntervalAnalysis& analysis() { return analysis_; }

  // Nodes analysed so far, and whatever else was noted, in the time that one takes.
  std::int64_t work() const { return work_; }
  void add_work(std::int64_t amount) { work_ += amount; }

 private:
  bool may_leave_buffer(ir::Id id) const;
  bool is_decided(ir::Id id) const { return ranges()[id.index].is_point(); }
  void need(ir::Id id);
  void need_operands(ir::Id id);

  const ir::Program& program_;
  const ir::Environment& environment_;
  BufferTable buffers_;
  ir::IntervalAnalysis analysis_;
  std::span<const Dependence> varies_;
  std::vector<ir::Id> checked_reads_;  // of the mask
  std::vector<std::uint32_t> plane_nodes_;
  // Of add_open_nodes: by node, and those that are set; none between calls.
  std::vector<bool> needed_;
  std::vector<std::uint32_t> all_needed_;
  std::int64_t work_ = 0;
};

}  // namespace flexjit::mask
