// A pattern and the values that are bound to it -> how much of a score ordinary rounding may be, so that a long sum is not
// taken for a wrong one.
#pragma once

#include "data/problem.h"
#include "flexjit/attention.h"

namespace flexjit::tools {

// A score of a row whose scores are of the size s (as its log-sum-exp says) is off by at most
// (of_size * s + absolute) units of rounding, half a unit in the last place of 1.
struct ScoreRounding {
  double of_size = 0;
  double absolute = 0;
};

// Every operation of the score that rounds adds half a unit of what it makes, a function a few, and carries what its operands
// are off by, times as much as it is steep. How large that is where it matters, at the keys with weight, is the row's own size;
// or more, where all values that the operation can have are larger, as in (score + 1e6) - 1e6: ranges of the pattern's nodes
// over the bound buffers tell. Nothing is added for patterns that cannot be looked at.
ScoreRounding score_rounding(const AttentionSpec& spec, const Problem& problem, const Bindings& bindings);

}  // namespace flexjit::tools
