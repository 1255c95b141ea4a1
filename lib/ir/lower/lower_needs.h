// What a value needs whatever its conditions turn out to be: the reads, and the values with reads that have several users, that
// stand outside every conditional side or on both sides of a conditional. The lowering makes them first, so that the
// conditional uses find them instead of making them once a guard, which would double at every step of a chain of lets.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dsl/check/checked.h"

namespace flexjit::ir {

// Typed nodes, ascending, hence operands before users. Null: none. Shared, because most values need exactly what one of their
// operands needs.
using Needs = std::shared_ptr<const std::vector<std::uint32_t>>;

// By typed node.
std::vector<Needs> unconditional_needs(const dsl::Checked& checked);

}  // namespace flexjit::ir
