// Row by row through the interpreter; what accumulates is added here, by the indices that the program computes.
#include "gradients.h"

#include <cmath>
#include <random>
#include <set>

#include "ir/evaluate/interpreter.h"
#include "ir/passes/passes.h"

namespace flexjit::ir::test {
namespace {

std::int64_t extent_of(const Extent& extent) {
  if (extent.kind == Extent::Kind::kLiteral) return extent.literal;
  if (extent.builtin == Op::kQLen) return SmallCall::kQueries;
  if (extent.builtin == Op::kKvLen) return SmallCall::kKeys;
  return SmallCall::kHeads;
}

template <typename F>
void for_each_row(F f) {
  std::size_t first = 0;
  for (std::int32_t h = 0; h < SmallCall::kHeads; ++h) {
    for (std::int32_t q = 0; q < SmallCall::kQueries; ++q, first += SmallCall::kKeys) {
      f(RowRange{.h = h, .q_idx = q, .count = SmallCall::kKeys}, first);
    }
  }
}

// Where the indices of one lane lie in a dense buffer; `inner` is the extent of a last dimension without an index.
std::size_t offset_of(const Interpreter& interpreter, const TensorView& view, std::span<const Id> indices, std::size_t lane) {
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < indices.size(); ++d) offset += interpreter.lanes(indices[d]).i[lane] * view.strides[d];
  return static_cast<std::size_t>(offset);
}

class Adder {
 public:
  Adder(const Program& derivative, const SmallCall& call, const Interpreter& interpreter, Gradients& sums)
      : derivative_(derivative), views_(call.environment().buffers), interpreter_(interpreter), sums_(sums) {}

  void add(std::size_t lane) {
    for (Id id : derivative_.accumulations()) {
      const auto operands = derivative_.operands(id);
      if (interpreter_.lanes(operands[0]).i[lane] == 0) continue;
      const double value = interpreter_.lanes(operands[1]).f[lane];
      if (derivative_.node(id).op == Op::kAccumulate) {
        const std::uint32_t slot = derivative_.read(id).buffer;
        sums_.buffers[slot][offset_of(interpreter_, views_[slot], derivative_.indices(id), lane)] += value;
      } else {
        add_row(id, value, lane);
      }
    }
  }

 private:
  void add_row(Id id, double value, std::size_t lane) {
    const DotInfo& dot = derivative_.dot(id);
    const TensorView &a = views_[dot.buffer_a], &b = views_[dot.buffer_b];
    const auto indices = derivative_.indices(id);
    const auto split = static_cast<std::size_t>(a.rank) - 1;
    const std::size_t a_at = offset_of(interpreter_, a, indices.first(split), lane);
    const std::size_t b_at = offset_of(interpreter_, b, indices.subspan(split), lane);
    const auto* elements = static_cast<const double*>(b.data);
    for (std::size_t d = 0; d < dot.extent; ++d) sums_.buffers[dot.buffer_a][a_at + d] += value * elements[b_at + d];
  }

  const Program& derivative_;
  std::span<const TensorView> views_;
  const Interpreter& interpreter_;
  Gradients& sums_;
};

}  // namespace

SmallCall::SmallCall(const Interface& interface, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> real(-1.5, 1.5);
  const std::size_t count = interface.buffers.size();
  floats_.resize(count), ints_.resize(count), views_.resize(count);
  for (std::size_t slot = 0; slot < count; ++slot) {
    TensorView& view = views_[slot];
    view.dtype = interface.buffers[slot].dtype;
    view.rank = static_cast<int>(interface.buffers[slot].extents.size());
    std::int64_t step = 1;
    for (auto d = static_cast<std::size_t>(view.rank); d-- > 0; step *= view.shape[d]) {
      view.shape[d] = extent_of(interface.buffers[slot].extents[d]);
      view.strides[d] = step;
    }
    if (view.dtype == DType::kF64) {
      for (std::int64_t i = 0; i < step; ++i) floats_[slot].push_back(real(random));
      view.data = floats_[slot].data();
    } else {
      for (std::int64_t i = 0; i < step; ++i) ints_[slot].push_back(static_cast<std::int32_t>(random() % 7));
      view.data = ints_[slot].data();
    }
  }
  for (const ParamInterface& param : interface.params) params_.push_back(param.default_value);
  environment_ = {.batch_size = 1,
                  .num_heads = kHeads,
                  .num_kv_heads = 1,
                  .q_len = kQueries,
                  .kv_len = kKeys,
                  .buffers = views_,
                  .params = params_};
}

Pairs modified(const Program& program, const SmallCall& call, Pairs scores) {
  Interpreter interpreter(program, call.environment());
  const std::vector<std::uint8_t> all(SmallCall::kKeys, 1);
  for_each_row([&](const RowRange& row, std::size_t first) {
    interpreter.eval_score(row, all, std::span(scores).subspan(first, SmallCall::kKeys));
  });
  return scores;
}

namespace {

bool is_at_pole(const Interpreter& interpreter, const Program& program, Id id, std::size_t lane) {
  const Op op = program.node(id).op;
  if (!std::isfinite(interpreter.lanes(id).f[lane])) return true;
  return (op == Op::kSqrt || op == Op::kPow) && interpreter.lanes(program.operand(id, 0)).f[lane] == 0;
}

bool is_away_from_poles(const Interpreter& interpreter, const Program& program, std::size_t lane) {
  std::vector<Id> open = {program.score()};
  std::set<Id> seen;
  while (!open.empty()) {
    const Id id = open.back();
    open.pop_back();
    if (program.node(id).type != Type::kFloat || !seen.insert(id).second) continue;
    if (is_at_pole(interpreter, program, id, lane)) return false;
    const bool chooses = program.node(id).op == Op::kSelect;
    const bool first = chooses && interpreter.lanes(program.operand(id, 0)).i[lane] != 0;
    const auto operands = program.operands(id);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (!chooses || i == (first ? 1U : 2U)) open.push_back(operands[i]);
    }
  }
  return true;
}

}  // namespace

std::vector<std::uint8_t> away_from_poles(const Program& program, const SmallCall& call, Pairs scores) {
  Interpreter interpreter(program, call.environment());
  const std::vector<std::uint8_t> all(SmallCall::kKeys, 1);
  std::vector<std::uint8_t> away;
  for_each_row([&](const RowRange& row, std::size_t first) {
    interpreter.eval_score(row, all, std::span(scores).subspan(first, SmallCall::kKeys));
    for (std::size_t lane = 0; lane < SmallCall::kKeys; ++lane) {
      away.push_back(is_away_from_poles(interpreter, program, lane) ? 1 : 0);
    }
  });
  return away;
}

Gradients gradients(const Program& derivative, const SmallCall& call, const Pairs& scores, const Pairs& grads,
                    const std::vector<std::uint8_t>& allowed) {
  Gradients sums{.scores = grads, .buffers = {}};
  for (const TensorView& view : call.environment().buffers) {
    sums.buffers.emplace_back(view.dtype == DType::kF64 ? static_cast<std::size_t>(view.shape[0] * view.strides[0]) : 0);
  }
  Interpreter interpreter(derivative, call.environment());
  Adder adder(derivative, call, interpreter, sums);
  for_each_row([&](const RowRange& row, std::size_t first) {
    const auto these = std::span(allowed).subspan(first, SmallCall::kKeys);
    interpreter.eval_score_grad(row, these, std::span(scores).subspan(first, SmallCall::kKeys),
                                std::span(sums.scores).subspan(first, SmallCall::kKeys));
    for (std::size_t lane = 0; lane < these.size(); ++lane) {
      if (these[lane] != 0) adder.add(lane);
      if (these[lane] == 0) sums.scores[first + lane] = 0;
    }
  });
  return sums;
}

std::vector<std::uint32_t> float_buffers(const Program& program) {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0; slot < program.buffers().size(); ++slot) {
    if (element_type(program.buffers()[slot].dtype) == Type::kFloat) slots.push_back(slot);
  }
  return slots;
}

std::vector<Program> derivatives(const Lowered& lowered) {
  const auto compiled = [&](const Program& program) { return simplify(prove_reads(simplify(program), lowered.interface)); };
  const std::vector<std::uint32_t> buffers = float_buffers(lowered.program);
  const Program raw = differentiate(lowered.program, buffers);
  return {raw, compiled(raw), differentiate(compiled(lowered.program), buffers),
          compiled(differentiate(simplify(lowered.program), buffers))};
}

}  // namespace flexjit::ir::test
