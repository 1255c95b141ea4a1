// The instruction set is the whole feature list: tuning flags never change what code is legal (and so never split the cache).
#include "codegen/emit/target_names.h"

namespace flexjit::codegen {

TargetNames target_names(const plan::Target& target) {
  const plan::IsaFacts& isa = plan::facts_of(target.isa);
  return {std::string(isa.triple), std::string(isa.cpu), target.bf16 ? "+avx512bf16" : ""};
}

}  // namespace flexjit::codegen
