// --dump-scores and what belongs to it -> which scores are wanted, and those as an array.
#pragma once

#include "command_line/options.h"
#include "data/array.h"
#include "data/problem.h"
#include "flexjit/attention.h"
#include "flexjit/result.h"

namespace flexjit::tools {

// Error: `usage` for rows that are not written A:B, and for rows, a batch entry or a head that the sizes do not have; for any
// of them without a file.
Result<ScoreRows> find_score_rows(const ScoreDumpOptions& options, const Sizes& sizes);

// fp32 (batch, heads, rows, kv_len), without a dimension that `rows` names. Errors: those of Attention::scores.
Result<Array> dump_scores(const Attention& attention, const RunArgs& args, const ScoreRows& rows, const Sizes& sizes);

// Draws the scores of one batch entry and head, 0 where none is named, to options.heat_map. Errors: as above,
// `unwritable-file`.
Status draw_scores(const Attention& attention, const RunArgs& args, const ScoreDumpOptions& options, const std::string& title,
                   const Sizes& sizes);

}  // namespace flexjit::tools
