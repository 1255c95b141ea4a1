// Attention in one call: a text and tensors in, numbers out. For a first try and for scripts; who calls a pattern often keeps
// the Attention that Engine::compile() gives.
#pragma once

#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/export.h"
#include "flexjit/result.h"

namespace flexjit {

// `program` is the text of a *.flex file; "" is plain attention. Dtypes and head dims are those of the tensors, in the layout
// of RunArgs. The result is (batch, q_heads, q_len, v_head_dim), dense. On default_engine(), which remembers the pattern.
// Thread-safe. Errors: those of Engine::compile() and Attention::run(); `unsupported-dtype` for f64 queries, whose result is no
// float: give `out`.
FLEXJIT_API Result<std::vector<float>> attend(const std::string& program, const TensorView& q, const TensorView& k,
                                              const TensorView& v, const Bindings& bindings = {});

// The same with everything that a call may have, into args.out and its like.
FLEXJIT_API Result<RunStats> attend(const std::string& program, const RunArgs& args);

// The same for any pattern; its dtypes and head dims are taken from the tensors, and names that only args.bindings has are
// declared as they are bound.
FLEXJIT_API Result<RunStats> attend(AttentionSpec spec, const RunArgs& args);

}  // namespace flexjit
