// The loop nests of plan::Nest, each one function over parts: the functions of kernel_abi.h.
#pragma once

#include "codegen/emit/emitter.h"
#include "plan/kernel_key.h"

namespace flexjit::codegen {

void emit_prefill(Emitter& e, const plan::KernelKey& key);
void emit_backward(Emitter& e, const plan::KernelKey& key);
void emit_decode(Emitter& e, const plan::KernelKey& key);
void emit_linear(Emitter& e, const plan::KernelKey& key);
void emit_linear_rows(Emitter& e, const plan::KernelKey& key);

}  // namespace flexjit::codegen
