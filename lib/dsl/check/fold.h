// Constant operands -> the constant result: what `const`, defaults, extents and the proof of a division by zero need. Rounded
// to the program's precision after every operation and wrapped to 32 bits, as everything else in the language.
#pragma once

#include <span>

#include "dsl/check/checked.h"

namespace flexjit::dsl {

// The value of a node of kind kOperator, kSelect, kMember, kConvert or kCall whose operands are these constants.
Constant fold(const TypedNode& node, std::span<const Constant> operands, support::Precision precision);

}  // namespace flexjit::dsl
