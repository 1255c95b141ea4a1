// The call that `flexjit inspect` runs for views that show one: generated tensors, and what the machine can do at most.
#pragma once

#include "command_line/options.h"
#include "data/problem.h"
#include "flexjit/inspect.h"
#include "measure/peak.h"

namespace flexjit::tools {

class InspectCall {
 public:
  InspectCall() = default;
  // Errors: those of make_problem(). `bindings` must outlive the call.
  static Result<InspectCall> make(const InspectOptions& options, const Bindings* bindings);

  RunArgs args();
  // Measured now, on one thread.
  RunLimits limits() const;

 private:
  Problem problem_;
  Outputs outputs_;
  std::string target_;
  Peak peak_ = Peak::kFmaF32;
  const Bindings* bindings_ = nullptr;
};

}  // namespace flexjit::tools
