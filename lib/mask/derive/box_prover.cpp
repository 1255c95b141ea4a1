// What is left open is found backwards from the mask, through operands that are no single number: a decided operand of an
// `and`, or the arm that a decided choice does not take, is never looked at again.
#include "mask/derive/box_prover.h"

#include <algorithm>
#include <array>

namespace flexjit::mask {

BoxProver::BoxProver(const ir::Program& program, const ir::Environment& environment, std::span<const Dependence> varies)
    : program_(program),
      environment_(environment),
      buffers_(environment.buffers, program.precision()),
      analysis_(program, environment, &buffers_),
      varies_(varies),
      needed_(program.size()) {
  for (std::uint32_t i : analysis_.mask_nodes()) {
    const ir::Id id{i};
    const ir::Op op = program.node(id).op;
    if ((op == ir::Op::kRead && program.read(id).checked) || (op == ir::Op::kDot && program.dot(id).checked))
      checked_reads_.push_back(id);
  }
}

void BoxProver::start_plane(const ir::Box& plane) {
  if (!program_.mask().valid()) return;
  analysis_.mask(plane);
  plane_nodes_.clear();
  for (std::uint32_t i : analysis_.mask_nodes()) {
    if (varies_[i].q || varies_[i].kv || !is_decided(ir::Id{i})) plane_nodes_.push_back(i);
  }
  // A read of one element outside its buffer has a range that says nothing, and is met by whoever evaluates the elements.
  const auto first = static_cast<std::ptrdiff_t>(plane_nodes_.size());
  for (ir::Id id : checked_reads_) {
    if (may_leave_buffer(id) && !std::ranges::binary_search(plane_nodes_.begin(), plane_nodes_.begin() + first, id.index))
      plane_nodes_.push_back(id.index);
  }
  std::ranges::sort(plane_nodes_);
}

std::optional<BlockKind> BoxProver::prove(const ir::Box& box, Nodes nodes) {
  constexpr std::int64_t kBox = 2;  // what a box costs beside its nodes
  work_ += static_cast<std::int64_t>(nodes.size()) + kBox;
  const ir::Range truth = analysis_.mask(box, nodes);
  if (!truth.is_point() || may_fault()) return std::nullopt;
  return truth.lo == 0 ? BlockKind::kEmpty : BlockKind::kFull;
}

void BoxProver::add_open_nodes(Nodes nodes, std::vector<std::uint32_t>& open) {
  if (program_.mask().valid() && !is_decided(program_.mask())) need(program_.mask());
  for (ir::Id id : checked_reads_) {
    if (may_leave_buffer(id)) need(id);
  }
  const auto begin = static_cast<std::ptrdiff_t>(open.size());
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const ir::Id id{nodes[i]};
    if (!needed_[id.index]) continue;
    open.push_back(id.index);
    need_operands(id);
  }
  std::reverse(open.begin() + begin, open.end());
  for (std::uint32_t node : all_needed_) needed_[node] = false;
  all_needed_.clear();
}

void BoxProver::need(ir::Id id) {
  needed_[id.index] = true;
  all_needed_.push_back(id.index);
}

void BoxProver::need_operands(ir::Id id) {
  const std::span<const ir::Id> operands = program_.operands(id);
  const bool is_chosen = program_.node(id).op == ir::Op::kSelect && is_decided(operands[0]);
  const std::size_t other_arm = !is_chosen ? operands.size() : ranges()[operands[0].index].lo != 0 ? 2 : 1;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (i != other_arm && !needed_[operands[i].index] && !is_decided(operands[i])) need(operands[i]);
  }
}

bool BoxProver::may_fault() const {
  return std::ranges::any_of(checked_reads_, [&](ir::Id id) { return may_leave_buffer(id); });
}

bool BoxProver::may_leave_buffer(ir::Id id) const {
  if (ranges()[program_.operand(id, 0).index] == ir::Range::point(0)) return false;
  const std::size_t indices = program_.operands(id).size() - 1;
  std::array<ir::Range, 2 * kMaxRank> index;
  for (std::size_t d = 0; d < indices; ++d) {
    index[d] = analysis_.index_range(id, d);
    if (index[d].lo > index[d].hi) return false;
  }
  const auto leaves = [&](const TensorView& view, std::size_t first, std::size_t count) {
    for (std::size_t d = 0; d < count; ++d) {
      const ir::Range& at = index[first + d];
      if (at.lo < 0 || at.hi >= static_cast<double>(view.shape[d])) return true;
    }
    return false;
  };
  if (program_.node(id).op == ir::Op::kRead) return leaves(environment_.buffers[program_.read(id).buffer], 0, indices);
  const ir::DotInfo& dot = program_.dot(id);
  const TensorView& a = environment_.buffers[dot.buffer_a];
  const auto a_indices = static_cast<std::size_t>(a.rank - 1);
  return leaves(a, 0, a_indices) || leaves(environment_.buffers[dot.buffer_b], a_indices, indices - a_indices);
}

}  // namespace flexjit::mask
