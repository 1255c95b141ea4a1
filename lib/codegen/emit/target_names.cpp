// The instruction set is the whole feature list: tuning flags never change what code is legal (and so never split the cache).
#include "codegen/emit/target_names.h"

namespace flexjit::codegen {

TargetNames target_names(const plan::Target& target) {
  switch (target.isa) {
    case plan::Isa::kX86_64:
    case plan::Isa::kX86_64_V2:
    case plan::Isa::kX86_64_V3:
    case plan::Isa::kX86_64_V4:
      return {"x86_64-unknown-linux-gnu", std::string(plan::name_of(target.isa)), target.bf16 ? "+avx512bf16" : ""};
    case plan::Isa::kAArch64: return {"aarch64-unknown-linux-gnu", "generic", ""};
  }
  return {};
}

}  // namespace flexjit::codegen
