// What a pattern's free names stand for in one call: captured tensors and runtime scalars, by name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "flexjit/tensor.h"

namespace flexjit {

// A runtime scalar of the DSL's three types: int, float and bool. A new value recompiles nothing. A float is rounded to fp32
// unless the kernel computes in fp64.
using Scalar = std::variant<std::int32_t, double, bool>;

// Values for one call; cheap to copy (tensors are views). Not synchronised: share it between threads only while nobody writes.
struct Bindings {
  std::map<std::string, TensorView, std::less<>> buffers;
  std::map<std::string, Scalar, std::less<>> params;
};

}  // namespace flexjit
