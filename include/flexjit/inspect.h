// What a pattern becomes on its way to machine code, as text for people. The formats are not stable.
#pragma once

#include <cstdint>
#include <string>

#include "flexjit/attention.h"
#include "flexjit/engine.h"

namespace flexjit {

enum class InspectView : std::uint8_t {
  kAst,         // the checked syntax tree
  kIr,          // the expression IR as lowered
  kSimplified,  // after simplification and range proofs: what is compiled
  kIntervals,   // the simplified IR with the range of every node over all positions of `sizes`
  kLlvm,        // the optimised LLVM IR of the kernel
  kAsm,         // its assembly
};

struct InspectRequest {
  InspectView view = InspectView::kSimplified;
  // kIntervals: lengths and counts; the block sizes are not read. `bindings` as in Attention::run(): params and buffers narrow
  // the ranges. Without bindings, params have their defaults and buffers hold anything.
  BlockMaskOptions sizes{.q_len = 1024, .kv_len = 1024};
  const Bindings* bindings = nullptr;
};

// Errors: those of Engine::compile(), and for kIntervals those of Attention::create_block_mask(). kLlvm and kAsm need the
// compiler library; nothing is cached.
FLEXJIT_API Result<std::string> inspect(const AttentionSpec& spec, const EngineOptions& options, const InspectRequest& request);

}  // namespace flexjit
