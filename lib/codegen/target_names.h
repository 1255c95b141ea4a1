// Target -> LLVM's names for it.
#pragma once

#include <string>

#include "plan/target.h"

namespace flexjit::codegen {

struct TargetNames {
  std::string triple;
  std::string cpu;
};

TargetNames target_names(const plan::Target& target);

}  // namespace flexjit::codegen
