// Changes that may make a run faster -> what each gains: each is compiled, and all are compared with the pattern as it is.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "explain/explanation.h"

namespace flexjit::tools {

class Trials {
 public:
  explicit Trials(Subject& subject) : subject_(subject) {}

  // A change that cannot be made is dropped: it is no advice.
  void try_constant(Advice advice, const std::string& param);
  // Extents of the bound tensor that prove more reads; adds to the advice which. Where none does, it becomes a fact.
  void try_extents(Advice advice, const CapturedRead& read);
  void try_kept_mask(Advice advice);
  void try_v_head_dim(Advice advice, std::int64_t v_head_dim);
  void try_bf16_keys(Advice advice);

  // Appends what ran, with its gain. Errors: those of the pattern itself.
  Diagnostics run(int threads, std::vector<Advice>& advice);

  // What no change was found for.
  std::vector<Advice> facts() { return std::move(facts_); }

 private:
  struct OtherProblem {
    Problem problem;
    Outputs outputs;
  };
  void add(Advice advice, const AttentionSpec& spec, std::optional<Bindings> bindings = std::nullopt);
  void add_problem(Advice advice, const AttentionSpec& spec, Problem problem);

  Subject& subject_;
  std::vector<Advice> advice_;
  std::vector<Advice> facts_;
  std::vector<Contender> contenders_;
  std::deque<OtherProblem> problems_;
};

}  // namespace flexjit::tools
