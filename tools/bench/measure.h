// Case -> row.
#pragma once

#include <cstddef>

#include "bench/heap_probe.h"
#include "bench/peers.h"
#include "bench/row.h"
#include "command_line/progress.h"

namespace flexjit::tools::bench {

struct Helpers {
  HeapProbe& heap;
  Peers* peers;  // null: none are asked
  const Progress& progress;
};

// Makes the inputs, compiles with an engine of its own (so that nothing is found in a cache), runs, and measures the limit
// before and after; the better limit counts, so a busy moment cannot flatter. What goes wrong is in `errors` of the row.
// `index` is the case's place among those of the heap probe.
Row measure_case(const Case& test, std::size_t index, const BenchOptions& options, const Helpers& helpers);

}  // namespace flexjit::tools::bench
