// Reads whose every index is proved inside its declared extent lose their check and their guard: they may then be executed
// for any position inside the lengths, so a kernel loads them without a branch. What adds to a gradient loses its check alone:
// its guard says whether to add.
#include <algorithm>

#include "ir/analysis/symbolic_bounds.h"
#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"

namespace flexjit::ir {
namespace {

bool proves_all(const SymbolicAnalysis& analysis, std::span<const Id> indices, const BufferInterface& buffer) {
  for (std::size_t d = 0; d < indices.size(); ++d) {
    if (!analysis.proves_inside(indices[d], buffer.extents[d])) return false;
  }
  return true;
}

bool is_proved(const SymbolicAnalysis& analysis, const Program& program, const Interface& interface, Id id) {
  const auto indices = program.indices(id);
  const Op op = program.node(id).op;
  if (op == Op::kRead || op == Op::kAccumulate) {
    return proves_all(analysis, indices, interface.buffers[program.read(id).buffer]);
  }
  const DotInfo& dot = program.dot(id);
  const auto split = static_cast<std::size_t>(program.buffers()[dot.buffer_a].rank) - 1;
  return proves_all(analysis, indices.first(split), interface.buffers[dot.buffer_a]) &&
         proves_all(analysis, indices.subspan(split), interface.buffers[dot.buffer_b]);
}

Id unchecked_copy(ProgramBuilder& builder, const Program& program, Id id, std::vector<Id> operands) {
  const Op op = program.node(id).op;
  if (!accumulates(op)) operands[0] = builder.const_bool(true);
  if (op == Op::kRead || op == Op::kAccumulate) {
    ReadInfo read = program.read(id);
    read.checked = false;
    return op == Op::kRead ? builder.read(read, operands) : builder.accumulate(read, operands);
  }
  DotInfo dot = program.dot(id);
  dot.checked = false;
  return op == Op::kDot ? builder.dot(dot, operands) : builder.accumulate_row(dot, operands);
}

}  // namespace

Program prove_reads(const Program& program, const Interface& interface) {
  const SymbolicAnalysis analysis(program, interface);
  ProgramBuilder builder = with_declarations_of(program);
  std::vector<Id> copies;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Id id{i};
    std::vector<Id> operands;
    for (Id operand : program.operands(id)) operands.push_back(copies[operand.index]);
    const bool proved = type_rule(program.node(id).op) == TypeRule::kVariadic && is_proved(analysis, program, interface, id);
    copies.push_back(proved ? unchecked_copy(builder, program, id, operands) : copy_node(builder, program, id, operands));
  }
  builder.copy_marks(program, copies);
  builder.copy_accumulations(program, copies);
  return std::move(builder).finish(program.roots().of_copies(copies));
}

}  // namespace flexjit::ir
