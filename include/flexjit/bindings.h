// What a pattern's free names stand for in one call: captured tensors and runtime scalars, by name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

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

// A free name of the expression-string form: the type and rank that will be bound to it. `*.flex` programs declare their own.
struct BufferDeclaration {
  std::string name{};
  DType dtype = DType::kF32;
  int rank = 1;  // 1 to 4
  // As declared in a *.flex file, one a dimension: a number, the name of a builtin or param, or "?". Empty: undeclared; ignored
  // in AttentionSpec::buffers (spec.h).
  std::vector<std::string> extents{};
};
struct ParamDeclaration {
  std::string name{};
  Scalar default_value = std::int32_t{0};  // its alternative is the parameter's type
};

}  // namespace flexjit
