// OpenMP's worker threads do not exist in the child of a fork(), but the runtime of gcc, libgomp, would wait for them there for
// ever. So they are ended before a fork, by the thread that forks and whose team they are; parent and child start new ones
// when they next need some. Inside a parallel region they cannot be ended: a child from there works alone.
#include "runtime/parallel.h"

#include <pthread.h>

namespace flexjit::runtime {

namespace {

bool alone = false;  // written while the process has one thread

bool is_inside_region() { return omp_get_level() > 0; }

void before_fork() {
  if (!is_inside_region()) omp_pause_resource_all(omp_pause_soft);
}

void in_child() { alone = alone || is_inside_region(); }

const int registered = ::pthread_atfork(&before_fork, nullptr, &in_child);

}  // namespace

int threads_of(int wanted) {
  if (alone) return 1;
  return std::min(wanted > 0 ? wanted : omp_get_max_threads(), kMaxThreads);
}

}  // namespace flexjit::runtime
