// Gradients in the order of FlashAttention's extents -> what run_backward takes, of the pattern that the call itself has.
#include "diagnostics/guard.h"
#include "entry/flash_call.h"
#include "entry/layouts.h"

namespace flexjit {

namespace engine {

namespace {

Result<RunStats> differentiate(Engine& engine, const FlashCall& call, const FlashAttnGradients& of, Lengths lengths,
                               Report& report) {
  Gradients gradients{.sinks = of.dsink, .buffers = of.buffers};
  const auto take = [&](const char* name, const auto& view, auto& to) {
    if (view.data == nullptr) return;
    if (const auto turned = heads_first(name, view, lengths, report)) to = *turned;
  };
  take("dout", of.dout, gradients.out);
  take("dq", of.dq, gradients.q);
  take("dk", of.dk, gradients.k);
  take("dv", of.dv, gradients.v);
  if (const auto dlse = lse_of("dlse", of.dlse, lengths, report)) gradients.lse = *dlse;
  const Result<FlashPattern> pattern = find_pattern(engine, call, report);
  if (!pattern) return pattern.diagnostics();
  RunArgs args = call.args;
  args.bindings = &pattern->bindings;
  return run_backward(pattern->attention, args, gradients);
}

}  // namespace
}  // namespace engine

using engine::Lengths, engine::Report;

Result<RunStats> flash_attn_backward(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                     const FlashAttnOptions& options, const FlashAttnGradients& gradients) {
  return engine::guarded("flash_attn_backward", [&]() -> Result<RunStats> {
    Report report("flash_attn_backward");
    const auto call = engine::take_batch(q, k, v, options, report);
    if (!call) return report.take();
    return engine::differentiate(engine, *call, gradients, Lengths::kBatch, report);
  });
}

Result<RunStats> flash_attn_varlen_backward(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                            const FlashAttnVarlenOptions& options, const FlashAttnGradients& gradients) {
  return engine::guarded("flash_attn_varlen_backward", [&]() -> Result<RunStats> {
    Report report("flash_attn_varlen_backward");
    engine::FlashSequences said;
    const auto call = engine::take_packed(q, k, v, options, said, report);
    if (!call) return report.take();
    return engine::differentiate(engine, *call, gradients, Lengths::kPacked, report);
  });
}

}  // namespace flexjit
