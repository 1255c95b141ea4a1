// One forward loop: a node varies with what its operands vary with.
#include "mask/derive/dependence.h"

namespace flexjit::mask {

std::vector<Dependence> dependences(const ir::Program& program) {
  std::vector<Dependence> found(program.size());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.nodes()[i].op;
    found[i] = {.q = op == ir::Op::kQIdx, .kv = op == ir::Op::kKvIdx};
    for (ir::Id operand : program.operands(ir::Id{i})) {
      found[i].q = found[i].q || found[operand.index].q;
      found[i].kv = found[i].kv || found[operand.index].kv;
    }
  }
  return found;
}

}  // namespace flexjit::mask
