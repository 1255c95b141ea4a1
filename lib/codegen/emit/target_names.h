// Target -> LLVM's names for it.
#pragma once

#include <string>

#include "plan/target.h"

namespace flexjit::codegen {

struct TargetNames {
  std::string triple;
  std::string cpu;
  std::string features;  // beyond the cpu's, as LLVM writes them
};

TargetNames target_names(const plan::Target& target);

}  // namespace flexjit::codegen
