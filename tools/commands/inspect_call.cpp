// The same inputs as those of `flexjit run` for the same options.
#include "commands/inspect_call.h"

namespace flexjit::tools {

Result<InspectCall> InspectCall::make(const InspectOptions& options, const Bindings* bindings) {
  RunOptions run;
  run.pattern = options.pattern;
  run.sizes = options.sizes;
  run.sequences = options.sequences;
  run.dtypes = options.dtypes;
  run.names = options.names;
  Result<Problem> problem = make_problem(run);
  if (!problem) return problem.diagnostics();
  InspectCall call;
  call.problem_ = std::move(*problem);
  call.outputs_ = {call.problem_.make_output(), call.problem_.make_lse()};
  call.target_ = options.target;
  const bool backward = options.kernel == InspectKernel::kBackward;
  call.peak_ = backward ? fma_peak_for(options.dtypes.q) : peak_for(options.dtypes.q, options.target);
  call.bindings_ = bindings;
  return call;
}

RunArgs InspectCall::args() { return arguments_of(problem_, outputs_, *bindings_); }

RunLimits InspectCall::limits() const {
  return {.gflops = measure_peak_gflops(peak_, target_, 1),
          .read_gbps = measure_read_gbps(problem_.k.bytes, problem_.v.bytes, 1)};
}

}  // namespace flexjit::tools
