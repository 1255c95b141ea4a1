// flexjit: attention from the text of a score_mod and a mask_mod, compiled once a pattern.
//
//   flexjit::AttentionSpec spec;
//   spec.score_mod = "score + slope[h] * (kv_idx - q_idx)";       // ALiBi
//   spec.mask_mod = "q_idx >= kv_idx && q_idx - kv_idx < window"; // sliding window
//   flexjit::Bindings bind;
//   bind.buffers["slope"] = flexjit::TensorView(slope.data(), flexjit::DType::kF32, {heads});
//   bind.params["window"] = 256;
//   spec.head_dim = 64;
//   flexjit::Attention attention = flexjit::default_engine().compile(spec.declare(bind)).value();
//   attention.run({.q = q, .k = k, .v = v, .out = out, .bindings = &bind}).value();
#pragma once

#include "flexjit/attend.h"
#include "flexjit/attention.h"
#include "flexjit/backward.h"
#include "flexjit/bindings.h"
#include "flexjit/block_mask.h"
#include "flexjit/callbacks.h"
#include "flexjit/diagnostic.h"
#include "flexjit/engine.h"
#include "flexjit/flash_attention.h"
#include "flexjit/flex_flash_infer.h"
#include "flexjit/global_rows.h"
#include "flexjit/kernel_files.h"
#include "flexjit/kv_cache.h"
#include "flexjit/linear.h"
#include "flexjit/merge_states.h"
#include "flexjit/modules.h"
#include "flexjit/page_pool.h"
#include "flexjit/presets.h"
#include "flexjit/projected_keys.h"
#include "flexjit/quantize.h"
#include "flexjit/result.h"
#include "flexjit/rotary.h"
#include "flexjit/row_order.h"
#include "flexjit/sequences.h"
#include "flexjit/shards.h"
#include "flexjit/tensor.h"
#include "flexjit/trace.h"
#include "flexjit/variants.h"
#include "flexjit/version.h"
