// The function `pack` of kernel_abi.h: keys into panels whose lanes run along kv, values into padded rows where needed.
#pragma once

#include "codegen/emit/emitter.h"
#include "plan/kernel_key.h"

namespace flexjit::codegen {

void emit_pack(Emitter& e, const plan::KernelKey& key);

}  // namespace flexjit::codegen
