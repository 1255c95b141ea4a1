// A case's program, compiled and bound: ready to run.
#pragma once

#include <memory>
#include <string>

#include "bench/case.h"
#include "data/bind.h"
#include "data/problem.h"

namespace flexjit::tools::bench {

struct Subject {
  Attention attention;
  BoundNames names;
  Outputs outputs;

  // Views of `problem` and of this subject; both must outlive the run.
  RunArgs arguments(const Problem& problem) { return arguments_of(problem, outputs, names.bindings); }
};

struct SubjectRequest {
  const Case& test;
  const Problem& problem;
  const std::string& program;
  const std::string& target;
  int threads;
};

// Compiles with an engine of its own, so that nothing is found in a cache. Errors: those of compile() and bind_names().
// By an engine of its own, so that nothing is cached.
Result<Attention> compile_case(const SubjectRequest& request);
Result<std::unique_ptr<Subject>> make_subject(const SubjectRequest& request);

// Sizes and dtypes of a case as `flexjit run` takes them.
RunOptions run_options_of(const Case& test);

}  // namespace flexjit::tools::bench
