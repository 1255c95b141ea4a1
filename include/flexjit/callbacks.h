// Scores and masks as functions of the caller's, for what no text says. They are called once a pair, by the reference: a
// pattern that is run often is a text.
#pragma once

#include <cstdint>

#include "flexjit/attention.h"
#include "flexjit/export.h"
#include "flexjit/result.h"

namespace flexjit {

// A query and a key; positions count from 0 of their sequence.
struct PairPosition {
  std::int32_t b = 0, h = 0, q_idx = 0, kv_idx = 0;
};

struct Callbacks {
  // What becomes of the pattern's score; called for pairs that no mask masks. Null: it stays.
  double (*score)(void* context, double score, const PairPosition& at) = nullptr;
  // Whether a pair that the pattern allows is allowed. Null: it is.
  bool (*mask)(void* context, const PairPosition& at) = nullptr;
  void* context = nullptr;  // is passed on
};

// Attention::run_reference() with the callbacks behind the pattern's own score and mask: in fp64, on this thread, slow. An
// exception that a callback throws ends the call as an error. Errors: those of run(); `not-linear` for linear weights.
FLEXJIT_API Result<RunStats> run_callbacks(const Attention& attention, const Callbacks& callbacks, const RunArgs& args);

}  // namespace flexjit
