// The affinity mask counts, not the machine: in a container they differ.
#include "measure/timing.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace flexjit::tools {

double ms_since(Clock::time_point begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

int resolve_threads(int wanted) {
  if (wanted > 0) return wanted;
  int given = 0;
  if (const char* text = std::getenv("OMP_NUM_THREADS")) std::from_chars(text, text + std::strlen(text), given);
  if (given > 0) return given;
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace flexjit::tools
