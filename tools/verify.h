// Output of the kernel -> how far it is from naive fp64 attention, over whole rows: the reference computes a range of query
// rows with their true q_idx, for every batch entry and head.
#pragma once

#include <cstdint>
#include <optional>

#include "flexjit/attention.h"
#include "flexjit/result.h"
#include "problem.h"
#include "progress.h"

namespace flexjit::tools {

struct Verification {
  std::int64_t rows = 0;  // of each (batch, head)
  double max_abs_error = 0;
  double max_lse_error = 0;
  bool correct = true;
};

struct VerifyRequest {
  const Attention& attention;
  const Problem& problem;
  const Bindings& bindings;
  const Array& out;
  const Array& lse;
  std::optional<int> rows;  // absent: all where that is quick, else kSampledRows
};

inline constexpr int kSampledRows = 64;

// A row is correct when |out - ref| <= 1e-5 (1 + |ref|) + 2.4e-7 |lse| max|V| and |lse - ref| <= 1e-5 + 1e-6 |lse|: fp32 scores
// are rounded to 2^-24 of their size, which the log-sum-exp measures, and move the weights by as much. Equal infinities agree.
Result<Verification> verify(const VerifyRequest& request, const Progress& progress);

}  // namespace flexjit::tools
