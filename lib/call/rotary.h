// Rotary tables of a call -> what threads read, checked against the positions that will be looked up.
#pragma once

#include <cstdint>

#include "call/validate.h"
#include "flexjit/rotary.h"
#include "plan/operands.h"

namespace flexjit::engine {

// `positions`: one more than the largest that is looked up. Rows have `head_dim` elements.
plan::RotaryArg check_rotary(const Rotary& rotary, std::int64_t head_dim, std::int64_t positions, Report& report);

// Of the queries of a call's sequences.
plan::RotaryArg check_query_rotary(const RunArgs& args, std::span<const plan::Sequence> sequences, Report& report);

}  // namespace flexjit::engine
