// What a caller wishes for -> how many threads a call gets.
#include "runtime/parallel.h"

#include <sched.h>

#include <cstdlib>

namespace flexjit::runtime {
namespace {

// As an OpenMP runtime would, without one: a second one in the process would be in the way of its host's.
int default_threads() {
  if (const char* wanted = std::getenv("OMP_NUM_THREADS"); wanted != nullptr) {
    const long threads = std::strtol(wanted, nullptr, 10);  // of a list, the first
    if (threads > 0) return static_cast<int>(std::min<long>(threads, kMaxThreads));
  }
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof(processors), &processors) != 0) return 1;
  return std::max(CPU_COUNT(&processors), 1);
}

}  // namespace

int threads_of(int wanted) {
  static const int by_default = default_threads();
  return std::min(wanted > 0 ? wanted : by_default, kMaxThreads);
}

}  // namespace flexjit::runtime
