// A sum over nodes. The weights were counted in emitted kernels and hold for all copies of a node that a kernel has: scores are
// modified in one copy for whole tiles and in one for masked ones, masks only in the latter, and once more as intervals.
#include "plan/code_size.h"

namespace flexjit::plan {
namespace {

using ir::Id;
using ir::Op;

constexpr std::int64_t kCheckedRead = 130;
constexpr std::int64_t kProvedRead = 26;
constexpr std::int64_t kDot = 220;
constexpr std::int64_t kInterval = 3;

bool has_constant_divisor(const ir::Program& program, Id id) {
  return program.node(id).type == ir::Type::kInt && program.node(program.operand(id, 1)).op == Op::kConst;
}

// A line an op.
std::int64_t instructions_of(const ir::Program& program, Id id) {
  switch (program.node(id).op) {
    case Op::kConst:
    case Op::kScore:
    case Op::kBatch:
    case Op::kHead:
    case Op::kQIdx:
    case Op::kKvIdx:
    case Op::kQLen:
    case Op::kKvLen:
    case Op::kNumHeads:
    case Op::kNumKvHeads:
    case Op::kKvHead:
    case Op::kBatchSize:
    case Op::kParam: return 1;
    case Op::kNeg:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kAbs:
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kNot:
    case Op::kShl:
    case Op::kShr:
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe:
    case Op::kSelect:
    case Op::kIntToFloat:
    case Op::kBoolToInt:
    case Op::kIntToLong:
    case Op::kLongToInt:
    case Op::kFloor:
    case Op::kCeil:
    case Op::kRound:
    case Op::kMin:
    case Op::kMax:
    case Op::kDiv:
    case Op::kSqrt: return 4;
    case Op::kFloatToInt: return 20;
    case Op::kFloorDiv:
    case Op::kMod: return has_constant_divisor(program, id) ? 30 : 85;
    case Op::kExp:
    case Op::kExp2:
    case Op::kTanh: return 75;
    case Op::kLog:
    case Op::kLog2: return 105;
    case Op::kLog1p:
    case Op::kErf: return 135;
    case Op::kSin:
    case Op::kCos: return 310;
    case Op::kPow: return 340;
    case Op::kRead: return program.read(id).checked ? kCheckedRead : kProvedRead;
    case Op::kDot: return kDot;
  }
  return 0;
}

}  // namespace

std::int64_t instructions_of(const ir::Program& program) {
  const std::vector<bool> in_score = ir::reachable(program, program.score());
  std::int64_t sum = 0;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const std::int64_t own = instructions_of(program, Id{i});
    sum += in_score[i] ? own : (own + 1) / 2 + kInterval;
  }
  return sum;
}

}  // namespace flexjit::plan
