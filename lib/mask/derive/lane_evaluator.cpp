// The meaning of every operation is that of ir/evaluate/lanes.h and ir/evaluate/captured.h; here is only which nodes are
// computed over how many lanes, and the loop for a buffer that is read along them.
#include "mask/derive/lane_evaluator.h"

#include <algorithm>

#include "support/check.h"
#include "support/dtype.h"

namespace flexjit::mask {

namespace {

template <typename E, typename Out>
bool copy_line(const TensorView& view, std::int64_t offset, std::int64_t stride, std::span<Out> out) {
  const auto* from = static_cast<const typename E::Stored*>(view.data) + offset;
  for (std::size_t l = 0; l < out.size(); ++l) out[l] = E::decode(from[static_cast<std::int64_t>(l) * stride]);
  return true;
}

// False: floats.
bool copy_line(const TensorView& view, std::int64_t offset, std::int64_t stride, ir::Lanes& lanes, std::size_t count) {
  return support::with_element(view.dtype, [&](auto element) {
    using E = decltype(element);
    if constexpr (E::kKind == support::ElementKind::kFloat) {
      return false;
    } else if constexpr (E::kKind == support::ElementKind::kLong) {
      return copy_line<E>(view, offset, stride, std::span(lanes.l).first(count));
    } else {
      return copy_line<E>(view, offset, stride, std::span(lanes.i).first(std::min(count, lanes.i.size())));
    }
  });
}

}  // namespace

bool LaneEvaluator::serves(std::span<const std::uint32_t> nodes) const {
  return std::ranges::none_of(nodes, [&](std::uint32_t node) { return program_.nodes()[node].type == ir::Type::kFloat; });
}

bool LaneEvaluator::evaluate(const Line& line, std::span<const std::uint32_t> nodes, std::span<const ir::Range> known) {
  FLEXJIT_CHECK(line.count >= 0 && line.count <= kMaxCount);
  const bool same_lanes = line.b == line_.b && line.h == line_.h && line.along == line_.along && line.begin == line_.begin &&
                          line.count == line_.count;
  if (!same_lanes) ++window_;
  ++call_;
  line_ = line;
  known_ = known;
  for (std::uint32_t node : nodes) {
    State& state = state_[node];
    const bool along = varies_[node].on(line.along), is_kept = along && varies_[node].on_one();
    if (is_kept && state.window == window_) {
      state.call = call_;
      continue;
    }
    if (is_long(node))
      values_[node].l.resize(kMaxCount);
    else
      values_[node].i.resize(kMaxCount);
    state.filled = false;
    if (!compute(node, along ? line.count : std::min(line.count, 1)) || is_unknown_) {
      is_unknown_ = false;
      return window_ = ++call_, false;
    }
    state.call = call_;
    if (is_kept) state.window = window_;
    if (!along && line.count > 0) fill(node, is_long(node) ? values_[node].l[0] : values_[node].i[0]);
  }
  return true;
}

void LaneEvaluator::fill(std::uint32_t node, std::int64_t value) {
  State& state = state_[node];
  if (state.filled && state.constant == value) return;
  if (is_long(node))
    values_[node].l.assign(kMaxCount, value);
  else
    values_[node].i.assign(kMaxCount, static_cast<std::int32_t>(value));
  state.filled = true;
  state.constant = value;
}

const ir::Lanes* LaneEvaluator::operand(ir::Id id) {
  if (state_[id.index].call != call_) {
    is_unknown_ = is_unknown_ || !known_[id.index].is_point();
    fill(id.index, static_cast<std::int64_t>(known_[id.index].lo));
    state_[id.index].window = 0;
  }
  return &values_[id.index];
}

bool LaneEvaluator::compute(std::uint32_t node, std::int32_t count) {
  const ir::Id id{node};
  const ir::Node& what = program_.node(id);
  const ir::TypeRule rule = ir::type_rule(what.op);
  ir::Lanes& out = values_[node];
  if (rule == ir::TypeRule::kConst || rule == ir::TypeRule::kVariable) return compute_leaf(id, count), true;
  if (rule == ir::TypeRule::kVariadic) return compute_access(node, count);
  ir::LaneOperation operation{.op = what.op};
  const auto operands = program_.operands(id);
  for (std::size_t i = 0; i < operands.size(); ++i) operation.operands[i] = operand(operands[i]);
  operation.operand_type = program_.node(operands.back()).type;
  ir::evaluate(operation, out, count);
  return true;
}

void LaneEvaluator::compute_leaf(ir::Id id, std::int32_t count) {
  const ir::Node& node = program_.node(id);
  ir::Lanes& out = values_[id.index];
  if (is_long(id.index)) {
    std::fill_n(out.l.begin(), count, program_.const_long(id));
    return;
  }
  if (node.op == line_.along) {
    for (std::int32_t l = 0; l < count; ++l) out.i[static_cast<std::size_t>(l)] = line_.begin + l;
    return;
  }
  const std::int32_t group = std::max(1, environment_.num_heads / std::max(1, environment_.num_kv_heads));
  std::int32_t value = line_.at;
  if (node.op == ir::Op::kConst) value = static_cast<std::int32_t>(node.payload);
  if (node.op == ir::Op::kBatch) value = line_.b;
  if (node.op == ir::Op::kHead) value = line_.h;
  if (node.op == ir::Op::kKvHead) value = line_.h / group;
  if (node.op == ir::Op::kQLen) value = environment_.q_len;
  if (node.op == ir::Op::kKvLen) value = environment_.kv_len;
  if (node.op == ir::Op::kQOffset) value = environment_.q_offset;
  if (node.op == ir::Op::kKvOffset) value = environment_.kv_offset;
  if (node.op == ir::Op::kNumHeads) value = environment_.num_heads;
  if (node.op == ir::Op::kNumKvHeads) value = environment_.num_kv_heads;
  if (node.op == ir::Op::kBatchSize) value = environment_.batch_size;
  if (node.op == ir::Op::kParam) {
    const Scalar& param = environment_.params[node.payload];
    value = std::holds_alternative<bool>(param) ? std::get<bool>(param) : std::get<std::int32_t>(param);
  }
  std::fill_n(out.i.begin(), count, value);
}

// A read whose guard holds and one of whose indices is that of the lanes, the others the same in all: a line of the buffer.
// False: it is no such read. `inside`: whether the line lies in the buffer.
bool LaneEvaluator::read_along(std::uint32_t node, std::int32_t count, bool& inside) {
  const TensorView& view = environment_.buffers[program_.read(ir::Id{node}).buffer];
  const auto operands = program_.operands(ir::Id{node});
  if (varies_[operands[0].index].on(line_.along) || operand(operands[0])->i[0] == 0) return false;
  std::int64_t offset = 0, stride = 0;
  int lines = 0;
  inside = true;
  for (std::size_t d = 0; d + 1 < operands.size(); ++d) {
    const ir::Id index = operands[d + 1];
    const bool along = varies_[index.index].on(line_.along);
    if (along && program_.node(index).op != line_.along) return false;
    const std::int64_t first = along ? line_.begin : operand(index)->i[0], last = along ? first + count - 1 : first;
    inside = inside && first >= 0 && last < view.shape[d];
    offset += first * view.strides[d];
    stride += along ? view.strides[d] : 0;
    lines += along ? 1 : 0;
  }
  if (lines != 1) return false;
  return !inside || copy_line(view, offset, stride, values_[node], static_cast<std::size_t>(count));
}

bool LaneEvaluator::compute_access(std::uint32_t node, std::int32_t count) {
  const ir::Id id{node};
  const auto operands = program_.operands(id);
  FLEXJIT_CHECK(program_.node(id).op == ir::Op::kRead, "a dot is a float");
  bool inside = true;
  if (count > 0 && read_along(node, count, inside)) return inside;
  const ir::ReadInfo& info = program_.read(id);
  const ir::Access access{.site = info.site,
                          .checked = true,
                          .guard = operand(operands[0]),
                          .active = std::span<const std::uint8_t>(active_).first(static_cast<std::size_t>(count))};
  ir::Indexed source{.view = &environment_.buffers[info.buffer]};
  for (std::size_t d = 0; d + 1 < operands.size(); ++d) source.index[d] = operand(operands[d + 1]);
  ir::FirstFault fault;
  ir::read_lanes(access, source, values_[node], fault);
  return !fault.fault;
}

}  // namespace flexjit::mask
