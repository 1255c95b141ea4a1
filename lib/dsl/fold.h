// Constant operands -> the constant result: what `const`, defaults, extents and the proof of a division by zero need. Rounded
// to fp32 after every operation and wrapped to 32 bits, as everything else in the language.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dsl/checked.h"

namespace flexjit::dsl {

struct Constant {
  Type type = Type::kInt;
  std::uint32_t bits = 0;

  std::int32_t as_int() const;
  float as_float() const;
  bool as_bool() const { return bits != 0; }
};

// The bits of a node of kind kOperator, kSelect, kMember, kConvert or kCall whose operands are these constants.
std::uint32_t fold(const TypedNode& node, std::span<const Constant> operands);

}  // namespace flexjit::dsl
