// A sum over nodes. The sizes (ops.def) were counted in emitted kernels and hold for all copies of a node that a kernel has:
// scores are modified in one copy for whole tiles and in one for masked ones, masks only in the latter, and once more as
// intervals.
#include "plan/code_size.h"

namespace flexjit::plan {
namespace {

using ir::Id;
using ir::Op;

constexpr std::int64_t kProvedRead = 26;
constexpr std::int64_t kConstantDivisor = 30;
constexpr std::int64_t kInterval = 3;

std::int64_t instructions_of(const ir::Program& program, Id id) {
  const ir::Node& node = program.node(id);
  if ((node.op == Op::kRead || node.op == Op::kAccumulate) && !program.read(id).checked) return kProvedRead;
  const bool divides_ints = (node.op == Op::kFloorDiv || node.op == Op::kMod) && node.type == ir::Type::kInt;
  if (divides_ints && program.node(program.operand(id, 1)).op == Op::kConst) return kConstantDivisor;
  return ir::code_size_of(node.op);
}

}  // namespace

std::int64_t instructions_of(const ir::Program& program) {
  std::vector<Id> of_pairs = ir::gradients_of(program);
  of_pairs.push_back(program.score());
  of_pairs.push_back(program.weight_factor());
  of_pairs.push_back(program.feature());
  of_pairs.push_back(program.gate());
  const std::vector<bool> in_score = ir::reachable(program, of_pairs);
  std::int64_t sum = 0;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const std::int64_t own = instructions_of(program, Id{i});
    sum += in_score[i] ? own : (own + 1) / 2 + kInterval;
  }
  return sum;
}

}  // namespace flexjit::plan
