// Output of the kernel -> how far it is from naive fp64 attention, over whole rows: the reference computes a range of query
// rows with their true q_idx, for every batch entry and head.
#pragma once

#include <cstdint>
#include <optional>

#include "command_line/progress.h"
#include "data/problem.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"
#include "measure/score_rounding.h"

namespace flexjit::tools {

struct Verification {
  std::int64_t rows = 0;  // of each (batch, head)
  double max_abs_error = 0;
  double max_lse_error = 0;
  bool correct = true;
};

// Relative size of one rounding to `dtype`, half a unit in the last place; 0: no float.
double rounding_of(DType dtype);

struct VerifyRequest {
  const Attention& attention;
  const Problem& problem;
  const Bindings& bindings;
  const Array& out;
  const Array& lse;
  std::optional<int> rows;  // absent: all where that is quick, else kSampledRows
  ScoreRounding rounding{};
};

inline constexpr int kSampledRows = 64;

// With fp32 inputs a row is correct when |out - ref| <= 1e-5 (1 + |ref|) + 2.4e-7 |lse| max|V| and |lse - ref| <= 1e-5 + 1e-6
// |lse|: fp32 scores are rounded to 2^-24 of their size, which the log-sum-exp measures, and move the weights by as much. Equal
// infinities agree. With bf16 or fp16 queries, whose unit of rounding u is 2^-8 or 2^-11, weights may be rounded too: u max|V|
// more and, for lse, u instead of 1e-5. fp64: 1e-10 (1 + |ref|) + 1e-15 |lse| max|V|. The output's own rounding comes on top:
// twice its unit times |ref|. Where the pattern itself rounds more often than the four times that this allows for, its own
// bound takes the place: see ScoreRounding. Linear weights have any size and sign, so that |ref| is the row's largest in 1 +
// |ref|.
Result<Verification> verify(const VerifyRequest& request, const Progress& progress);

}  // namespace flexjit::tools
