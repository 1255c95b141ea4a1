// Forward and backward of one problem on a backend, and its gradients against the oracle's.
#pragma once

#include "on_backends.h"
#include "support/gradients.h"

namespace flexjit::conformance {

class OnBackward : public OnBackends {
 protected:
  // Of these tensors; everything else as in `spec`.
  static AttentionSpec spec_for(const BackwardProblem& problem, AttentionSpec spec = {}) {
    const Types& types = problem.forward.types;
    spec.dtype = types.q;
    spec.kv_dtype = types.kv;
    spec.out_dtype = types.out;
    spec.head_dim = problem.forward.shape.head_dim;
    spec.v_head_dim = problem.forward.shape.value_dim();
    return spec;
  }

  static void run_forward(const Attention& attention, BackwardProblem& problem, const Bindings* bindings = nullptr) {
    problem.forward.poison_outputs();
    attention.run(problem.args(bindings)).value();
  }

  static void run_both(const Attention& attention, BackwardProblem& problem, const Bindings* bindings = nullptr) {
    run_forward(attention, problem, bindings);
    problem.poison_outputs();
    run_backward(attention, problem.args(bindings), problem.gradients()).value();
  }

  // What most tests are: all gradients, against the oracle and against what must hold of any.
  void expect_gradients(const AttentionSpec& spec, BackwardProblem& problem, const GradientPattern& pattern,
                        const Bindings* bindings = nullptr, const GradientBounds& bounds = {}) const {
    run_both(compile_or_throw(engine(), spec_for(problem, spec)), problem, bindings);
    EXPECT_TRUE(has_gradients(problem, pattern, bounds));
    EXPECT_TRUE(keeps_identities(problem));
  }
};

}  // namespace flexjit::conformance
