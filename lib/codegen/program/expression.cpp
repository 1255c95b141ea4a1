// The forward loop over nodes and the switch that sends each op to its family, the type rule; leaves and captured reads.
#include "codegen/program/expression.h"

#include "codegen/math/unit_float.h"
#include "codegen/math/vector_math.h"
#include "support/check.h"

namespace flexjit::codegen {

using ir::Id;
using ir::Op;

namespace {

// By node: random numbers that are computed per score and of which is only asked whether they are less than something uniform.
std::vector<bool> only_compared_randoms(const ir::Program& program, const plan::Hoisting& hoisting) {
  const auto is_random = [&](Id id) { return ir::type_rule(program.node(id).op) == ir::TypeRule::kRandom; };
  std::vector<bool> result(program.size(), false);
  for (std::uint32_t i = 0; i < program.size(); ++i) result[i] = is_random(Id{i}) && hoisting.level[i] == plan::Level::kElement;
  for (const ir::RootFacts& facts : ir::kRoots)
    if (const Id id = program.roots()[facts.root]; id.valid()) result[id.index] = false;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const auto operands = program.operands(Id{i});
    for (std::size_t j = 0; j < operands.size(); ++j) {
      const bool below =
          program.nodes()[i].op == Op::kLt && j == 0 && hoisting.level[operands[1].index] == plan::Level::kUniform;
      if (!below) result[operands[j].index] = false;
    }
  }
  return result;
}

}  // namespace

ExpressionEmitter::ExpressionEmitter(Emitter& e, const ir::Program& program, const plan::Hoisting& hoisting,
                                     const LaunchFields& fields)
    : e_(e),
      program_(program),
      hoisting_(hoisting),
      fields_(fields),
      buffers_(load_buffers(e, fields.launch, program)),
      reads_(e),
      from_score_(program.size(), false),
      only_compared_(only_compared_randoms(program, hoisting)),
      threshold_(program.size()) {
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    from_score_[i] = ir::is_of_pair(program.nodes()[i].op) || ir::is_of_row(program.nodes()[i].op);
    for (Id operand : program.operands(Id{i})) from_score_[i] = from_score_[i] || from_score_[operand.index];
  }
}

Scope ExpressionEmitter::uniform_scope(const ItemIndices& item) {
  Scope scope;
  scope.value.assign(program_.size(), nullptr);
  scope.flag.assign(program_.size(), nullptr);
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    const Op op = program_.nodes()[i].op;
    if (op == Op::kBatch) scope.value[i] = item.b.value;
    if (op == Op::kHead) scope.value[i] = item.h.value;
    if (op == Op::kKvHead) scope.value[i] = item.kv_head.value;
  }
  evaluate(scope, plan::Level::kUniform, std::vector<bool>(program_.size(), true));
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    if (program_.nodes()[i].op != Op::kLt || !only_compared_[program_.operand(Id{i}, 0).index]) continue;
    const Id bound = program_.operand(Id{i}, 1);
    threshold_[bound.index] = unit_threshold(e_, Float{scope.value[bound.index]});
  }
  uniform_block_ = e_.ir().GetInsertBlock();
  return scope;
}

void ExpressionEmitter::evaluate(Scope& scope, plan::Level level, const std::vector<bool>& wanted) {
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    if (hoisting_.level[i] != level || !wanted[i] || scope.value[i] != nullptr) continue;
    if (ir::accumulates(program_.node(Id{i}).op)) continue;  // whoever has the gradient takes its operands
    e_.set_contraction(from_score_[i] ? Contraction::kOn : Contraction::kOff);
    const SourceScope source = e_.node(Id{i});
    scope.value[i] = node(scope, Id{i});
  }
  e_.set_contraction(Contraction::kOff);
}

void ExpressionEmitter::evaluate_along_diagonal(Scope& scope) {
  e_.set_contraction(Contraction::kOff);
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    if (!hoisting_.in_diagonal[i] || scope.value[i] != nullptr) continue;
    const SourceScope source = e_.node(Id{i});
    scope.value[i] = node(scope, Id{i});
  }
}

Bool ExpressionEmitter::unit_strides(plan::Level level) {
  Bool all = e_.constant_bool(true);
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    if (hoisting_.level[i] != level || !hoisting_.contiguous[i]) continue;
    all = e_.logical_and(all, buffers_[program_.read(Id{i}).buffer].unit_stride);
  }
  return all;
}

llvm::Value* ExpressionEmitter::node(Scope& scope, Id id) {
  const Op op = program_.node(id).op;
  switch (ir::type_rule(op)) {
    case ir::TypeRule::kConst:
    case ir::TypeRule::kVariable: return leaf(id);
    case ir::TypeRule::kVariadic: return op == Op::kDot ? dot(scope, id) : read(scope, id);
    case ir::TypeRule::kNumeric: return arithmetic(scope, id);
    case ir::TypeRule::kInteger:
    case ir::TypeRule::kBits: return logic(scope, id);
    case ir::TypeRule::kChoice: return select(scope, id);
    case ir::TypeRule::kCompare:
    case ir::TypeRule::kEqual: return comparison(scope, id);
    case ir::TypeRule::kIntToFloat:
    case ir::TypeRule::kFloatToInt:
    case ir::TypeRule::kBoolToInt:
    case ir::TypeRule::kIntToLong:
    case ir::TypeRule::kLongToInt: return conversion(scope, id);
    case ir::TypeRule::kFloat: return function(scope, id);
    case ir::TypeRule::kRandom: return random(scope, id);
  }
  return nullptr;
}

llvm::Value* ExpressionEmitter::leaf(Id id) {
  const ir::Node& node = program_.node(id);
  if (node.op == Op::kConst) {
    switch (node.type) {
      case ir::Type::kInt: return e_.constant_int(program_.const_int(id)).value;
      case ir::Type::kFloat: return e_.real(program_.const_float(id)).value;
      case ir::Type::kBool: return e_.constant_bool(program_.const_bool(id)).value;
      case ir::Type::kLong: return e_.index(program_.const_long(id)).value;
    }
  }
  if (node.op == Op::kParam) return load_param(e_, fields_.launch, node.payload, node.type);
  if (node.op == Op::kQLen) return fields_.q_len.value;
  if (node.op == Op::kKvLen) return fields_.kv_len.value;
  if (node.op == Op::kQOffset) return fields_.q_offset.value;
  if (node.op == Op::kKvOffset) return fields_.kv_offset.value;
  if (node.op == Op::kNumHeads) return fields_.num_heads.value;
  if (node.op == Op::kNumKvHeads) return fields_.num_kv_heads.value;
  if (node.op == Op::kBatchSize) return fields_.batch_size.value;
  // Score, its gradient, what is of a row, the indices and the heads are put into the scope by whoever opened it.
  support::check_failed("leaf is in scope", __FILE__, __LINE__, std::string(ir::mnemonic(node.op)));
}

llvm::SmallVector<Int, 4> ExpressionEmitter::indices(const Scope& scope, Id id, std::size_t first, std::size_t count) const {
  llvm::SmallVector<Int, 4> result;
  for (Id operand : program_.operands(id).subspan(first, count)) result.push_back(Int{scope.value[operand.index]});
  return result;
}

bool ExpressionEmitter::is_guarded(Id id) const {
  const Id guard = program_.operand(id, 0);
  const bool always = program_.node(guard).op == Op::kConst && program_.const_bool(guard);
  return !always && !hoisting_.late_guard[id.index];
}

// The same for a read whose guard is not known yet: where it turns out to be false, nobody looks at the value.
Bool ExpressionEmitter::lanes_in_range(Scope& scope, Id id, Bool in_range) {
  if (!in_range) return in_range;
  Bool fine = in_range;
  for (const plan::GuardCondition& condition : hoisting_.early[id.index]) {
    const Bool value{scope.value[condition.id.index]};
    fine = e_.logical_or(fine, condition.holds ? e_.logical_not(value) : value);
  }
  scope.flag[id.index] = fine.value;
  return in_range;
}

// The lanes that may touch memory: active, guarded and, for a checked read, in range. Remembers the in-range flag, which
// holds where the guard is false: nothing is read there. Empty: every lane.
Bool ExpressionEmitter::allowed_lanes(Scope& scope, Id id, Bool in_range) {
  if (hoisting_.late_guard[id.index]) return lanes_in_range(scope, id, in_range);
  const Id guard_id = program_.operand(id, 0);
  const bool guarded = is_guarded(id);
  Bool allowed;
  const auto restrict_to = [&](Bool lanes) { allowed = allowed ? e_.logical_and(allowed, lanes) : lanes; };
  if (guarded) restrict_to(Bool{scope.value[guard_id.index]});
  if (in_range) {
    const Bool fine = guarded ? e_.logical_or(e_.logical_not(Bool{scope.value[guard_id.index]}), in_range) : in_range;
    scope.flag[id.index] = fine.value;
    restrict_to(in_range);
  }
  return allowed;
}

llvm::Value* ExpressionEmitter::read(Scope& scope, Id id) {
  const ir::ReadInfo& info = program_.read(id);
  const BufferFields& buffer = buffers_[info.buffer];
  const DType dtype = program_.buffers()[info.buffer].dtype;
  const auto index = indices(scope, id, 1, program_.operands(id).size() - 1);
  Bool allowed = allowed_lanes(scope, id, info.checked ? reads_.in_range(buffer, index) : Bool{});
  const bool varies = llvm::any_of(index, [](Int i) { return Emitter::is_vector(i.value); });
  // A scalar index that is in range may be read whatever the lanes; lanes past the lengths only matter where they move it.
  if (!varies) return reads_.load(reads_.address(buffer, dtype, index, allowed), dtype, Index{});
  return read_lanes(scope, id, index, allowed);
}

// One vector load where the lanes lie side by side, all exist and all are in range; else only the allowed and active ones.
llvm::Value* ExpressionEmitter::read_lanes(const Scope& scope, Id id, llvm::ArrayRef<Int> index, Bool allowed) {
  const BufferFields& buffer = buffers_[program_.read(id).buffer];
  const DType dtype = program_.buffers()[program_.read(id).buffer].dtype;
  const auto lane_by_lane = [&] {
    Bool lanes = allowed;
    if (scope.active) lanes = lanes ? e_.logical_and(lanes, scope.active) : scope.active;
    return reads_.load(reads_.address(buffer, dtype, index, lanes), dtype, Index{});
  };
  if (!hoisting_.contiguous[id.index] || is_guarded(id) || !Emitter::is_vector(index.back().value)) return lane_by_lane();
  const auto at_once = [&] { return reads_.load_side_by_side(buffer, dtype, index); };
  if (scope.whole && !program_.read(id).checked) return at_once();
  return e_.choose("side_by_side", reads_.may_load_side_by_side(buffer, index), at_once, lane_by_lane);
}

// sum = 0; for (d = 0; d < extent; ++d) sum += a[..., d] * b[..., d]
llvm::Value* ExpressionEmitter::dot(Scope& scope, Id id) {
  const ir::DotInfo& info = program_.dot(id);
  const BufferFields& a = buffers_[info.buffer_a];
  const BufferFields& b = buffers_[info.buffer_b];
  const DType a_type = program_.buffers()[info.buffer_a].dtype;
  const DType b_type = program_.buffers()[info.buffer_b].dtype;
  const auto a_index = indices(scope, id, 1, a.strides.size() - 1);
  const auto b_index = indices(scope, id, a.strides.size(), b.strides.size() - 1);
  Bool in_range;
  if (info.checked) {
    const Bool a_in = reads_.in_range(a, a_index);
    const Bool b_in = reads_.in_range(b, b_index);
    in_range = a_in && b_in ? e_.logical_and(a_in, b_in) : (a_in ? a_in : b_in);
  }
  Bool allowed = allowed_lanes(scope, id, in_range);
  const auto moves = [](Int i) { return Emitter::is_vector(i.value); };
  const bool varies = llvm::any_of(a_index, moves) || llvm::any_of(b_index, moves);
  if (varies && scope.active) allowed = allowed ? e_.logical_and(allowed, scope.active) : scope.active;

  const ElementAddress a_at = reads_.address(a, a_type, a_index, allowed);
  const ElementAddress b_at = reads_.address(b, b_type, b_index, allowed);
  const bool vector = Emitter::is_vector(a_at.pointer) || Emitter::is_vector(b_at.pointer);
  const Float zero = vector ? e_.broadcast(e_.real(0.0)) : e_.real(0.0);
  const Values sum =
      e_.for_range("dot", e_.index(0), e_.index(info.extent), e_.index(1), {zero.value}, [&](Index d, const Values& carried) {
        const Float x{reads_.load(a_at, a_type, e_.mul(d, a.strides.back()))};
        const Float y{reads_.load(b_at, b_type, e_.mul(d, b.strides.back()))};
        return Values{e_.fma(x, y, Float{carried[0]}).value};
      });
  return sum[0];
}

}  // namespace flexjit::codegen
