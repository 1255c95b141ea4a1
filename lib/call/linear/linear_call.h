// What a call of linear weights may bring beside tensors and bindings.
#pragma once

#include <string_view>

#include "call/call.h"

namespace flexjit::engine {

// Adds findings about arguments that are of scores, and about the matrix of the feature map.
void check_linear_call(const Pattern& pattern, const RunArgs& args, const Bound& bound, Report& report);

// The finding of a verb that linear weights do not have, whatever its arguments are; none for other weights.
Diagnostics refuse_linear(const Pattern& pattern, std::string_view verb, std::string_view hint);

}  // namespace flexjit::engine
