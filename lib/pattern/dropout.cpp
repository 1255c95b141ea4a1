// The program is built node by node. What p alone decides is uniform, hence computed once a work item.
#include "pattern/dropout.h"

#include <string>
#include <utility>

namespace flexjit::engine {

namespace {

using ir::Id;
using ir::Op;

Op op_of(DropoutGenerator generator) {
  switch (generator) {
    case DropoutGenerator::kPhilox: return Op::kPhilox;
    case DropoutGenerator::kPhilox4: return Op::kPhiloxOfFour;
  }
  return Op::kPhilox;
}

}  // namespace

// No weight is kept where p is 1, not even one whose u is 1 as well: its factor would be infinite.
ir::Lowered make_dropout(DropoutGenerator generator, support::Precision precision) {
  ir::ProgramBuilder b(precision);
  ir::Lowered lowered;
  const auto param = [&](std::string_view name, ir::Type type) {
    lowered.interface.params.push_back({.name = std::string(name), .default_value = std::int32_t{0}});
    return b.param(b.add_param(type));
  };
  const Id p = param(kDropoutP, ir::Type::kFloat);
  const Id seed = param(kDropoutSeed, ir::Type::kInt), offset = param(kDropoutOffset, ir::Type::kInt);
  const Id zero = b.const_float(0), one = b.const_float(1);
  const Id reciprocal = b.make(Op::kDiv, {one, b.make(Op::kSub, {one, p})});
  const Id kept = b.make(Op::kSelect, {b.make(Op::kLt, {p, one}), reciprocal, zero});
  const Id u = b.make(op_of(generator), {b.variable(Op::kQIdx), b.variable(Op::kKvIdx), b.variable(Op::kBatch),
                                         b.variable(Op::kHead), seed, offset});
  ir::Roots roots;
  roots[ir::Root::kWeightFactor] = b.make(Op::kSelect, {b.make(Op::kLt, {u, p}), zero, kept});
  lowered.program = std::move(b).finish(roots);
  return lowered;
}

}  // namespace flexjit::engine
