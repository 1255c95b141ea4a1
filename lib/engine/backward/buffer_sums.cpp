// One addition after the other, in the order of rows and keys. An index outside its buffer adds nothing: the read that it comes
// from was reported, or is guarded.
#include "engine/backward/buffer_sums.h"

#include <array>
#include <optional>

#include "support/elements.h"

namespace flexjit::engine {

namespace {

using Index = std::array<std::int64_t, kMaxRank>;

// The values of index operands in one lane. No value: outside the extents.
std::optional<Index> index_at(const ir::Interpreter& interpreter, std::span<const ir::Id> operands, std::size_t lane,
                              const TensorView& view) {
  Index index{};
  for (std::size_t d = 0; d < operands.size(); ++d) {
    index[d] = interpreter.lanes(operands[d]).i[lane];
    if (index[d] < 0 || index[d] >= view.shape[d]) return std::nullopt;
  }
  return index;
}

std::int64_t place_of(const Index& index, const std::array<std::int64_t, kMaxRank>& strides, int rank) {
  std::int64_t place = 0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(rank); ++d) place += index[d] * strides[d];
  return place;
}

}  // namespace

BufferSums::BufferSums(const ir::Program& derivative, const BackwardCall& call) : program_(derivative), call_(call) {
  for (const MutableTensorView& gradient : call.buffers) {
    const DenseSums dense(gradient);
    sums_.push_back({dense, std::vector<double>(gradient.data == nullptr ? 0 : static_cast<std::size_t>(dense.count))});
  }
}

void BufferSums::add(const ir::Interpreter& interpreter, const ir::RowRange& range, std::span<const std::uint8_t> allowed) {
  for (const ir::Id id : program_.accumulations()) {
    const bool is_row = program_.node(id).op == ir::Op::kAccumulateRow;
    for (std::size_t lane = 0; lane < static_cast<std::size_t>(range.count); ++lane) {
      if (allowed[lane] == 0 || interpreter.lanes(id).f[lane] == 0) continue;
      if (is_row)
        add_row(interpreter, id, lane);
      else
        add_lane(interpreter, id, lane);
    }
  }
}

void BufferSums::add_lane(const ir::Interpreter& interpreter, ir::Id id, std::size_t lane) {
  const std::uint32_t slot = program_.read(id).buffer;
  const TensorView& buffer = call_.forward.bound.buffers[slot];
  const std::optional<Index> index = index_at(interpreter, program_.indices(id), lane, buffer);
  if (!index) return;
  Sum& sum = sums_[slot];
  sum.values[static_cast<std::size_t>(place_of(*index, sum.dense.strides, buffer.rank))] += interpreter.lanes(id).f[lane];
}

void BufferSums::add_row(const ir::Interpreter& interpreter, ir::Id id, std::size_t lane) {
  const ir::DotInfo& info = program_.dot(id);
  const TensorView &a = call_.forward.bound.buffers[info.buffer_a], &b = call_.forward.bound.buffers[info.buffer_b];
  const std::span<const ir::Id> indices = program_.indices(id);
  const auto indices_of_a = static_cast<std::size_t>(a.rank - 1);
  std::optional<Index> at_a = index_at(interpreter, indices.first(indices_of_a), lane, a);
  std::optional<Index> at_b = index_at(interpreter, indices.subspan(indices_of_a), lane, b);
  if (!at_a || !at_b) return;
  Sum& sum = sums_[info.buffer_a];
  for (std::uint32_t d = 0; d < info.extent; ++d) {
    (*at_a)[static_cast<std::size_t>(a.rank - 1)] = (*at_b)[static_cast<std::size_t>(b.rank - 1)] = d;
    double other = 0;
    support::read_elements(b.dtype, b.data, place_of(*at_b, b.strides, b.rank), {&other, 1});
    sum.values[static_cast<std::size_t>(place_of(*at_a, sum.dense.strides, a.rank))] += interpreter.lanes(id).f[lane] * other;
  }
}

void BufferSums::write() const {
  for (const std::uint32_t slot : call_.wanted_buffers()) {
    const Sum& sum = sums_[slot];
    sum.dense.write(call_.buffers[slot], [&](std::int64_t i) { return sum.values[static_cast<std::size_t>(i)]; });
  }
}

}  // namespace flexjit::engine
