// Case -> row.
#pragma once

#include "bench/peers.h"
#include "bench/row.h"
#include "progress.h"

namespace flexjit::tools::bench {

// Makes the inputs, compiles with an engine of its own (so that nothing is left from another case), runs, and measures the
// limit before and after; the better limit counts, so a busy moment cannot flatter. `peers` may be null. What goes wrong is in
// `errors` of the row.
Row measure_case(const Case& test, const BenchOptions& options, Peers* peers, const Progress& progress);

}  // namespace flexjit::tools::bench
