// What a caller wishes for -> how many threads a call gets.
#include "runtime/parallel.h"

#include <omp.h>

namespace flexjit::runtime {

int threads_of(int wanted) { return std::min(wanted > 0 ? wanted : omp_get_max_threads(), kMaxThreads); }

}  // namespace flexjit::runtime
