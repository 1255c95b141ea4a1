// Walks the nodes that a root needs in order, each as one operation over all lanes, so that the cost of dispatch is shared by
// up to 256 keys. What is the same in every call of one environment is filled in once.
#include "ir/evaluate/interpreter.h"

#include <algorithm>

#include "ir/evaluate/captured.h"
#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

std::vector<Precision> precisions(const Program& program) {
  std::vector<Precision> result(program.size(), program.precision());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const auto operands = program.operands(Id{i});
    const bool from_score =
        is_of_pair(program.node(Id{i}).op) || is_of_row(program.node(Id{i}).op) ||
        std::any_of(operands.begin(), operands.end(), [&](Id id) { return result[id.index] == Precision::kFp64; });
    if (from_score) result[i] = Precision::kFp64;
  }
  return result;
}

void fill(Lanes& lanes, const Scalar& value, Precision precision) {
  if (const auto* i = std::get_if<std::int32_t>(&value)) {
    std::ranges::fill(lanes.i, *i);
  } else if (const auto* f = std::get_if<double>(&value)) {
    std::ranges::fill(lanes.f, support::rounded(precision, *f));
  } else {
    std::ranges::fill(lanes.i, std::get<bool>(value) ? 1 : 0);
  }
}

void iota(Lanes& lanes, std::int32_t begin, std::int32_t count) {
  for (std::int32_t l = 0; l < count; ++l) lanes.i[static_cast<std::size_t>(l)] = begin + l;
}

Scalar constant_value(const Program& program, Id id) {  // none of 64 bits
  switch (program.node(id).type) {
    case Type::kInt: return program.const_int(id);
    case Type::kFloat: return program.const_float(id);
    case Type::kBool: return program.const_bool(id);
    case Type::kLong: break;
  }
  return 0;
}

Type scalar_type(const Scalar& value) {
  return std::holds_alternative<double>(value) ? Type::kFloat : std::holds_alternative<bool>(value) ? Type::kBool : Type::kInt;
}

}  // namespace

Interpreter::Interpreter(const Program& program, const Environment& environment)
    : program_(program), environment_(environment), values_(program.size()), precision_(precisions(program)) {
  FLEXJIT_CHECK(environment.buffers.size() >= program.buffers().size() && environment.params.size() >= program.params().size());
  for (std::size_t slot = 0; slot < program.buffers().size(); ++slot) {
    const BufferType& expected = program.buffers()[slot];
    FLEXJIT_CHECK(environment.buffers[slot].dtype == expected.dtype && environment.buffers[slot].rank == expected.rank);
  }
  for (std::size_t slot = 0; slot < program.params().size(); ++slot) {
    FLEXJIT_CHECK(scalar_type(environment.params[slot]) == program.params()[slot]);
  }
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    switch (program.node(Id{i}).type) {
      case Type::kFloat: values_[i].f.resize(kMaxCount); break;
      case Type::kLong: values_[i].l.resize(kMaxCount); break;
      case Type::kInt:
      case Type::kBool: values_[i].i.resize(kMaxCount); break;
    }
  }
  fill_constants();
  const std::vector<bool> in_score = reachable(program, program.score());
  const std::vector<bool> in_mask = reachable(program, program.mask());
  const std::vector<bool> in_weight_factor = reachable(program, program.weight_factor());
  const std::vector<bool> in_score_grad = reachable(program, gradients_of(program));
  const std::vector<bool> in_feature = reachable(program, program.feature());
  const std::vector<bool> in_gate = reachable(program, program.gate());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (constant_over_call(program.node(Id{i}).op)) continue;
    if (in_feature[i]) feature_order_.push_back(i);
    if (in_gate[i]) gate_order_.push_back(i);
    if (in_score[i]) score_order_.push_back(i);
    if (in_mask[i]) mask_order_.push_back(i);
    if (in_weight_factor[i]) weight_factor_order_.push_back(i);
    if (in_score_grad[i]) score_grad_order_.push_back(i);
  }
  varies_ = variations();
}

std::vector<Interpreter::Varies> Interpreter::variations() const {
  std::vector<Varies> varies(program_.size(), Varies::kByRow);
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    const Op op = program_.node(Id{i}).op;
    bool by_key = op == Op::kKvIdx || op == Op::kFeature, by_both = is_of_pair(op) || is_of_row(op);
    bool by_row = op == Op::kBatch || op == Op::kHead || op == Op::kKvHead || op == Op::kQIdx;
    for (Id operand : program_.operands(Id{i})) {
      if (constant_over_call(program_.node(operand).op)) continue;
      by_row |= varies[operand.index] == Varies::kByRow;
      by_key |= varies[operand.index] == Varies::kByKey;
      by_both |= varies[operand.index] == Varies::kByBoth;
    }
    if (by_both || (by_row && by_key))
      varies[i] = Varies::kByBoth;
    else if (by_key)
      varies[i] = Varies::kByKey;
  }
  return varies;
}

bool Interpreter::constant_over_call(Op op) const {
  return op == Op::kConst || op == Op::kParam || op == Op::kQLen || op == Op::kKvLen || op == Op::kNumHeads ||
         op == Op::kNumKvHeads || op == Op::kBatchSize || op == Op::kQOffset || op == Op::kKvOffset;
}

void Interpreter::fill_constants() {
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    const Node& node = program_.node(Id{i});
    if (!constant_over_call(node.op)) continue;
    if (node.op == Op::kConst && node.type == Type::kLong) {
      std::ranges::fill(values_[i].l, program_.const_long(Id{i}));
      continue;
    }
    Scalar value = environment_.batch_size;
    if (node.op == Op::kConst) value = constant_value(program_, Id{i});
    if (node.op == Op::kParam) value = environment_.params[node.payload];
    if (node.op == Op::kQLen) value = environment_.q_len;
    if (node.op == Op::kKvLen) value = environment_.kv_len;
    if (node.op == Op::kQOffset) value = environment_.q_offset;
    if (node.op == Op::kKvOffset) value = environment_.kv_offset;
    if (node.op == Op::kNumHeads) value = environment_.num_heads;
    if (node.op == Op::kNumKvHeads) value = environment_.num_kv_heads;
    fill(values_[i], value, program_.precision());
  }
}

std::optional<ReadFault> Interpreter::eval_mask(const RowRange& row, std::span<std::uint8_t> allowed) {
  FLEXJIT_CHECK(row.count >= 0 && row.count <= kMaxCount && allowed.size() >= static_cast<std::size_t>(row.count));
  const auto count = static_cast<std::size_t>(row.count);
  std::fill_n(allowed.begin(), count, std::uint8_t{1});
  if (!program_.mask().valid()) return std::nullopt;
  const bool same_row = masked_ && masked_->b == row.b && masked_->h == row.h && masked_->q_idx == row.q_idx;
  const bool same_keys = masked_ && masked_->kv_begin == row.kv_begin && masked_->count == row.count;
  FirstFault fault;
  for (std::uint32_t i : mask_order_) {
    if (varies_[i] == Varies::kByRow) {
      if (!same_row && count > 0) eval_row_value(Id{i}, row, fault);
    } else if (varies_[i] == Varies::kByBoth || !same_keys) {
      eval_any(Id{i}, row, allowed.first(count), {}, fault);
    }
  }
  masked_.reset();
  if (!fault.fault && count > 0) masked_ = row;
  const std::span<const std::int32_t> mask(values_[program_.mask().index].i.data(), count);
  std::ranges::transform(mask, allowed.begin(),
                         [](std::int32_t value) { return value != 0 ? std::uint8_t{1} : std::uint8_t{0}; });
  return fault.fault;
}

std::optional<ReadFault> Interpreter::eval_score(const RowRange& row, std::span<const std::uint8_t> allowed,
                                                 std::span<double> scores) {
  const auto count = static_cast<std::size_t>(row.count);
  FLEXJIT_CHECK(row.count >= 0 && row.count <= kMaxCount && allowed.size() >= count && scores.size() >= count);
  if (!program_.score().valid()) return std::nullopt;
  masked_.reset();  // lanes that are not allowed are written too
  FirstFault fault;
  for (std::uint32_t i : score_order_) eval_any(Id{i}, row, allowed.first(count), {.scores = scores.first(count)}, fault);
  const Lanes& score = values_[program_.score().index];
  for (std::size_t l = 0; l < count; ++l) {
    if (allowed[l] != 0) scores[l] = score.f[l];
  }
  return fault.fault;
}

std::optional<ReadFault> Interpreter::eval_weight_factor(const RowRange& row, std::span<const std::uint8_t> allowed,
                                                         std::span<double> factors) {
  const auto count = static_cast<std::size_t>(row.count);
  FLEXJIT_CHECK(row.count >= 0 && row.count <= kMaxCount && allowed.size() >= count && factors.size() >= count);
  masked_.reset();
  FirstFault fault;
  for (std::uint32_t i : weight_factor_order_) eval_any(Id{i}, row, allowed.first(count), {}, fault);
  const Id root = program_.weight_factor();
  for (std::size_t l = 0; l < count; ++l) {
    if (allowed[l] != 0) factors[l] = root.valid() ? values_[root.index].f[l] : 1;
  }
  return fault.fault;
}

std::optional<ReadFault> Interpreter::eval_feature(const RowRange& row, double sum_of_squares, std::span<double> values) {
  const auto count = static_cast<std::size_t>(row.count);
  FLEXJIT_CHECK(row.count >= 0 && row.count <= kMaxCount && values.size() >= count && program_.feature().valid());
  masked_.reset();
  FirstFault fault;
  const std::vector<std::uint8_t> all(count, 1);
  const Incoming incoming{.row_values = values.first(count), .sum_of_squares = sum_of_squares};
  for (std::uint32_t i : feature_order_) eval_any(Id{i}, row, all, incoming, fault);
  std::ranges::copy_n(values_[program_.feature().index].f.begin(), row.count, values.begin());
  return fault.fault;
}

std::optional<ReadFault> Interpreter::eval_gate(const RowRange& row, std::span<double> gates) {
  const auto count = static_cast<std::size_t>(row.count);
  FLEXJIT_CHECK(row.count >= 0 && row.count <= kMaxCount && gates.size() >= count);
  std::fill_n(gates.begin(), count, 1.0);
  if (!program_.gate().valid()) return std::nullopt;
  masked_.reset();
  FirstFault fault;
  const std::vector<std::uint8_t> all(count, 1);
  for (std::uint32_t i : gate_order_) eval_any(Id{i}, row, all, {}, fault);
  std::ranges::copy_n(values_[program_.gate().index].f.begin(), row.count, gates.begin());
  return fault.fault;
}

std::optional<ReadFault> Interpreter::eval_score_grad(const RowRange& row, std::span<const std::uint8_t> allowed,
                                                      std::span<const double> scores, std::span<double> score_grads) {
  const auto count = static_cast<std::size_t>(row.count);
  FLEXJIT_CHECK(row.count >= 0 && row.count <= kMaxCount && allowed.size() >= count);
  FLEXJIT_CHECK(scores.size() >= count && score_grads.size() >= count);
  masked_.reset();
  FirstFault fault;
  const Incoming incoming{.scores = scores.first(count), .score_grads = score_grads.first(count)};
  for (std::uint32_t i : score_grad_order_) eval_any(Id{i}, row, allowed.first(count), incoming, fault);
  const Id root = program_.roots()[Root::kScoreGrad];
  for (std::size_t l = 0; root.valid() && l < count; ++l) {
    if (allowed[l] != 0) score_grads[l] = values_[root.index].f[l];
  }
  return fault.fault;
}

void Interpreter::eval_any(Id id, const RowRange& row, std::span<const std::uint8_t> active, const Incoming& incoming,
                           FirstFault& fault) {
  const Op op = program_.node(id).op;
  if (accumulates(op)) {
    eval_accumulation(id, row.count);
  } else if (type_rule(op) == TypeRule::kVariadic) {
    eval_access(id, active, fault);
  } else {
    eval_node(id, row, incoming);
  }
}

void Interpreter::eval_accumulation(Id id, std::int32_t count) {
  const std::vector<std::int32_t>& guard = values_[program_.operand(id, 0).index].i;
  const std::vector<double>& added = values_[program_.operand(id, 1).index].f;
  for (std::size_t l = 0; l < static_cast<std::size_t>(count); ++l) values_[id.index].f[l] = guard[l] != 0 ? added[l] : 0;
}

void Interpreter::eval_row_value(Id id, const RowRange& row, FirstFault& fault) {
  constexpr std::uint8_t kActive[] = {1};
  RowRange first = row;
  first.count = 1;
  eval_any(id, first, kActive, {}, fault);
  Lanes& lanes = values_[id.index];
  const auto fill_all = [](auto& values) {
    if (!values.empty()) std::ranges::fill(values, values[0]);
  };
  fill_all(lanes.f);
  fill_all(lanes.i);
  fill_all(lanes.l);
}

void Interpreter::eval_node(Id id, const RowRange& row, const Incoming& incoming) {
  const Node& node = program_.node(id);
  Lanes& out = values_[id.index];
  if (type_rule(node.op) != TypeRule::kVariable) {
    LaneOperation operation{.op = node.op, .precision = precision_[id.index]};
    const auto operands = program_.operands(id);
    for (std::size_t i = 0; i < operands.size(); ++i) operation.operands[i] = &values_[operands[i].index];
    operation.operand_type = program_.node(operands.back()).type;
    return evaluate(operation, out, row.count);
  }
  if (is_of_pair(node.op)) {
    const std::span<const double> values = node.op == Op::kScore ? incoming.scores : incoming.score_grads;
    FLEXJIT_CHECK(!values.empty() || row.count == 0, "a mask cannot read the score, nor a score its gradient");
    std::ranges::copy(values, out.f.begin());
    return;
  }
  if (node.op == Op::kRowValue) {
    std::ranges::copy(incoming.row_values, out.f.begin());
    return;
  }
  if (node.op == Op::kSumSq) {
    std::ranges::fill(out.f, incoming.sum_of_squares);
    return;
  }
  if (node.op == Op::kKvIdx || node.op == Op::kFeature) return iota(out, row.kv_begin, row.count);
  const std::int32_t group = std::max(1, environment_.num_heads / std::max(1, environment_.num_kv_heads));
  const std::int32_t value = node.op == Op::kBatch ? row.b : node.op == Op::kHead ? row.h : row.q_idx;
  std::ranges::fill(out.i, node.op == Op::kKvHead ? row.h / group : value);
}

void Interpreter::eval_access(Id id, std::span<const std::uint8_t> active, FirstFault& fault) {
  const Node& node = program_.node(id);
  const auto operands = program_.operands(id);
  Access access{.precision = precision_[id.index], .guard = &values_[operands[0].index], .active = active};
  std::size_t next = 1;
  auto indexed = [&](std::uint32_t buffer, int indices) {
    Indexed source{.view = &environment_.buffers[buffer]};
    for (int d = 0; d < indices; ++d) source.index[static_cast<std::size_t>(d)] = &values_[operands[next++].index];
    return source;
  };
  if (node.op == Op::kRead) {
    const ReadInfo& info = program_.read(id);
    access.site = info.site;
    access.checked = info.checked;
    return read_lanes(access, indexed(info.buffer, program_.buffers()[info.buffer].rank), values_[id.index], fault);
  }
  const DotInfo& info = program_.dot(id);
  access.site = info.site;
  access.checked = info.checked;
  const Indexed a = indexed(info.buffer_a, program_.buffers()[info.buffer_a].rank - 1);
  const Indexed b = indexed(info.buffer_b, program_.buffers()[info.buffer_b].rank - 1);
  dot_lanes(access, {a, b}, info.extent, values_[id.index], fault);
}

}  // namespace flexjit::ir
