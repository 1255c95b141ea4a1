// run_backward and its reference: checks, then whoever computes. The naive gradient here is that of the lowered text.
#include "flexjit/backward.h"

#include "call/backward_call.h"
#include "call/linear/linear_call.h"
#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "engine/backward/unowned_rows.h"
#include "engine/linear/linear.h"
#include "ir/passes/passes.h"
#include "runtime/traced.h"

namespace flexjit {

namespace engine {

namespace {

Result<RunStats> traced_reference(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients,
                                  const BackwardCall& call) {
  const runtime::TracedPhase phase(forward.trace, TraceKind::kReference);
  if (call.forward.shape.ragged) clear_unowned_rows(gradients, call.forward.sequences);
  return backward_by_reference(pattern, forward, gradients, call);
}

// Without a row or a key all gradients but those of sinks are 0, which the reference writes as well.
bool by_reference(const Attention::Impl& impl, const BackwardCall& call) {
  return impl.kernel == nullptr || call.forward.has_no_rows() || call.forward.shape.kv_len == 0;
}

}  // namespace

}  // namespace engine

Result<RunStats> run_backward(const Attention& attention, const RunArgs& forward, const Gradients& gradients) {
  return engine::guarded("run_backward", attention, [&]() -> Result<RunStats> {
    const Attention::Impl& impl = attention.impl();
    const Result<engine::BackwardCall> call = engine::check_backward(*impl.pattern, forward, gradients);
    if (!call) return call.diagnostics();
    if (impl.linear != nullptr) return engine::backward_linear(impl, forward, gradients, *call);
    if (impl.kernel != nullptr && impl.backward == nullptr)
      return engine::single_finding("run_backward", engine::Finding::kBuiltBackward);
    if (engine::by_reference(impl, *call)) return engine::traced_reference(*impl.pattern, forward, gradients, *call);
    return engine::backward_by_kernel(impl, forward, gradients, *call);
  });
}

Result<std::vector<std::string>> gradient_buffers(const Attention& attention) {
  return engine::guarded("gradient_buffers", attention, [&]() -> Result<std::vector<std::string>> {
    const engine::Pattern& pattern = *attention.impl().pattern;
    std::vector<std::string> names;
    for (std::uint32_t slot : ir::differentiable_buffers(pattern.lowered))
      names.push_back(pattern.interface.buffers[slot].name);
    return names;
  });
}

Result<RunStats> run_backward_reference(const Attention& attention, const RunArgs& forward, const Gradients& gradients) {
  return engine::guarded("run_backward", attention, [&]() -> Result<RunStats> {
    const engine::Pattern& pattern = *attention.impl().pattern;
    if (Diagnostics none = engine::refuse_linear(pattern, "run_backward_reference", "run_backward() has kernels");
        !none.empty())
      return none;
    const Result<engine::BackwardCall> call = engine::check_backward(pattern, forward, gradients);
    if (!call) return call.diagnostics();
    return engine::traced_reference(pattern, forward, gradients, *call);
  });
}

}  // namespace flexjit
