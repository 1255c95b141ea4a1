// --dump-scores and what belongs to it -> which scores are wanted, and those as an array.
#pragma once

#include "array.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"
#include "options.h"
#include "problem.h"

namespace flexjit::tools {

// Error: `usage` for rows that are not written A:B, and for rows, a batch entry or a head that the sizes do not have.
Result<ScoreRows> find_score_rows(const ScoreDumpOptions& options, const Sizes& sizes);

// fp32 (batch, heads, rows, kv_len), without a dimension that `rows` names. Errors: those of Attention::scores.
Result<Array> dump_scores(const Attention& attention, const RunArgs& args, const ScoreRows& rows, const Sizes& sizes);

}  // namespace flexjit::tools
