// Which reads a value needs whatever its conditions turn out to be: those outside every conditional side, and those that both
// sides of a conditional share. The lowering makes them first, so that the conditional uses find them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dsl/checked.h"

namespace flexjit::ir {

// Typed nodes of kind kRead and kDot, ascending, hence operands before users. Null: none. Shared, because most values need
// exactly what one of their operands needs.
using Needs = std::shared_ptr<const std::vector<std::uint32_t>>;

// By typed node.
std::vector<Needs> unconditional_reads(const dsl::Checked& checked);

}  // namespace flexjit::ir
