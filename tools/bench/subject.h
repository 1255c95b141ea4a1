// A case's program, compiled and bound: ready to run.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/case.h"
#include "data/bind.h"
#include "data/problem.h"
#include "measure/backward.h"

namespace flexjit::tools::bench {

struct Subject {
  Pass pass;
  Attention attention;
  BoundNames names;
  Outputs outputs;
  GradientArrays gradients;  // of kBackward
  double compile_ms = 0;     // of the kernel that the pass takes
  // Of a case with windows: the order of rows, and blocks of a window each.
  std::vector<std::int32_t> order{};
  std::optional<BlockMask> blocks{};

  // Views of `problem` and of this subject; both must outlive the run.
  RunArgs arguments(const Problem& problem) { return arguments_of(problem, outputs, names.bindings); }
  // The pass that is measured.
  Result<RunStats> run(const Problem& problem);
  // The same forward pass over packed sequences in a call each.
  Result<RunStats> run_one_by_one(const Problem& problem);
};

struct SubjectRequest {
  const Case& test;
  const Problem& problem;
  const std::string& target;
  int threads;
};

// Compiles with an engine of its own, so that nothing is found in a cache. Of kBackward the forward pass has run. Errors: those
// of compile(), bind_names() and the pass.
Result<std::unique_ptr<Subject>> make_subject(const SubjectRequest& request);

// How long one more compilation of the kernel takes.
Result<double> compile_ms_of(const SubjectRequest& request);

// Sizes and dtypes of a case as `flexjit run` takes them.
RunOptions run_options_of(const Case& test);

}  // namespace flexjit::tools::bench
