// One loop over OpenMP threads, items handed out one by one in order. Which thread takes an item never matters: every item
// writes only what belongs to it.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

namespace flexjit::runtime {

inline constexpr int kMaxThreads = 1 << 12;

// How many threads a call gets that wants so many; 0 wants as many as OpenMP gives. Never more than kMaxThreads.
int threads_of(int wanted);

// body(item, thread) for item in [0, count), thread in [0, threads). The body is noexcept because an exception must not leave
// an OpenMP region. With one thread no region is opened.
template <typename Body>
void parallel_for(int threads, std::int64_t count, const Body& body) {
  static_assert(std::is_nothrow_invocable_v<const Body&, std::int64_t, int>);
  const auto team = static_cast<int>(std::min<std::int64_t>(threads, count));
  if (team <= 1) {
    for (std::int64_t item = 0; item < count; ++item) body(item, 0);
    return;
  }
  std::atomic<std::int64_t> next{0};
#pragma omp parallel num_threads(team)
  {
    const int thread = omp_get_thread_num();
    for (std::int64_t item = next.fetch_add(1, std::memory_order_relaxed); item < count;
         item = next.fetch_add(1, std::memory_order_relaxed)) {
      body(item, thread);
    }
  }
}

}  // namespace flexjit::runtime
