// The three calls of a batch of one length.
#include "flexjit/flash_attention.h"

#include "diagnostics/guard.h"
#include "entry/flash_call.h"
#include "entry/layouts.h"

namespace flexjit {

namespace engine {

std::optional<FlashCall> take_batch(const TensorView& q, const TensorView& k, const TensorView& v,
                                    const FlashAttnOptions& options, Report& report) {
  const auto q_view = heads_first("q", q, Lengths::kBatch, report);
  const auto k_view = heads_first("k", k, Lengths::kBatch, report);
  const auto v_view = heads_first("v", v, Lengths::kBatch, report);
  const auto out = heads_first("out", options.out, Lengths::kBatch, report);
  const auto lse = lse_of("softmax_lse", options.softmax_lse, Lengths::kBatch, report);
  if (q_view && q_view->shape[0] == 0) report.add(Finding::kBadOption, "the batch of q", 0, "it must be at least 1");
  if (!report.empty()) return std::nullopt;
  return FlashCall{
      .args = {.q = *q_view, .k = *k_view, .v = *v_view, .out = *out, .lse = *lse, .sinks = options.learnable_sink},
      .flags = FlashFlags::of(options),
      .seqlen_q = q_view->shape[2],
      .seqlen_k = k_view->shape[2],
      .wants_weights = options.return_attn_probs};
}

}  // namespace engine

namespace {

using engine::Lengths, engine::Report;

Result<FlashAttnResult> attend_batch(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                     const FlashAttnOptions& options, Report& report) {
  const auto call = engine::take_batch(q, k, v, options, report);
  if (!call) return report.take();
  return attend_flash(engine, *call, report);
}

}  // namespace

Result<FlashAttnResult> flash_attn_func(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                        const FlashAttnOptions& options) {
  return engine::guarded("flash_attn_func", [&]() -> Result<FlashAttnResult> {
    Report report("flash_attn_func");
    return attend_batch(engine, q, k, v, options, report);
  });
}

Result<FlashAttnResult> flash_attn_qkvpacked_func(Engine& engine, const PackedView& qkv, const FlashAttnOptions& options) {
  return engine::guarded("flash_attn_qkvpacked_func", [&]() -> Result<FlashAttnResult> {
    Report report("flash_attn_qkvpacked_func");
    const auto parts = engine::parts_of<3>("qkv", qkv, Lengths::kBatch, report);
    if (!parts) return report.take();
    return attend_batch(engine, (*parts)[0], (*parts)[1], (*parts)[2], options, report);
  });
}

Result<FlashAttnResult> flash_attn_kvpacked_func(Engine& engine, const TensorView& q, const PackedView& kv,
                                                 const FlashAttnOptions& options) {
  return engine::guarded("flash_attn_kvpacked_func", [&]() -> Result<FlashAttnResult> {
    Report report("flash_attn_kvpacked_func");
    const auto parts = engine::parts_of<2>("kv", kv, Lengths::kBatch, report);
    if (!parts) return report.take();
    return attend_batch(engine, q, (*parts)[0], (*parts)[1], options, report);
  });
}

}  // namespace flexjit
