// KernelKey -> its machine code for people: what every instruction is for, what it costs, what was spilled.
#pragma once

#include "flexjit/result.h"
#include "plan/code_listing.h"
#include "plan/kernel_key.h"

namespace flexjit::jit {

// Thread-safe. The instructions are those of compile(): a line table changes none.
Result<plan::CodeListing> list_code(const plan::KernelKey& key, plan::Costs costs);

}  // namespace flexjit::jit
