// Constant operands -> whether their exact result is lost: what wraps, saturates or becomes infinite at run does so in
// constants too, but there somebody wrote the numbers out and can be told.
#pragma once

#include <span>

#include "dsl/check/fold.h"

namespace flexjit::dsl {

// `result` is what fold() makes of them. False where the result says itself what was meant: x / 0.0 is inf.
bool overflows(const TypedNode& node, std::span<const Constant> operands, Constant result);

// "-2147479015", "inf": a constant as a person reads it.
std::string shown(Constant constant);

}  // namespace flexjit::dsl
