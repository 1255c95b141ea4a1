// How long a phase of a compilation takes: what the inspector shows of both sides of the compiler's door.
#pragma once

#include <string>

namespace flexjit::plan {

struct PhaseTime {
  std::string name;  // "simplify"
  double ms = 0;
};

}  // namespace flexjit::plan
