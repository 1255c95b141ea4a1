// Copies declarations and single nodes from a Program into a builder; the builder's hash-consing merges what became equal.
#include "ir/passes/rewrite.h"

namespace flexjit::ir {

ProgramBuilder with_declarations_of(const Program& program) {
  ProgramBuilder builder(program.precision());
  for (const BufferType& buffer : program.buffers()) builder.add_buffer(buffer);
  for (Type param : program.params()) builder.add_param(param);
  return builder;
}

namespace {

Id copy_constant(ProgramBuilder& builder, const Program& program, Id id) {
  switch (program.node(id).type) {
    case Type::kInt: return builder.const_int(program.const_int(id));
    case Type::kFloat: return builder.const_float(program.const_float(id));
    case Type::kBool: return builder.const_bool(program.const_bool(id));
    case Type::kLong: return builder.const_long(program.const_long(id));
  }
  return {};
}

}  // namespace

Id copy_node(ProgramBuilder& builder, const Program& program, Id id, std::span<const Id> operands) {
  const Node& node = program.node(id);
  if (node.op == Op::kConst) return copy_constant(builder, program, id);
  if (node.op == Op::kParam) return builder.param(node.payload);
  if (node.op == Op::kRead) return builder.read(program.read(id), operands);
  if (node.op == Op::kDot) return builder.dot(program.dot(id), operands);
  if (node.op == Op::kAccumulate) return builder.accumulate(program.read(id), operands);
  if (node.op == Op::kAccumulateRow) return builder.accumulate_row(program.dot(id), operands);
  if (operands.empty()) return builder.variable(node.op);
  return builder.make(node.op, operands);
}

}  // namespace flexjit::ir
