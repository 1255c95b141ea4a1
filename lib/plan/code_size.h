// Program -> how many instructions of LLVM's IR its kernel has, roughly: the time that a compilation takes follows it. The
// bound keeps every accepted text at about two seconds.
#pragma once

#include <cstdint>

#include "ir/program/program.h"

namespace flexjit::plan {

inline constexpr std::int64_t kMaxInstructions = 45'000;

// Of the part that comes from the program.
std::int64_t instructions_of(const ir::Program& program);

}  // namespace flexjit::plan
