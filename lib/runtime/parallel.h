// One loop over threads, items handed out one by one in order. Which thread takes an item never matters: every item
// writes only what belongs to it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "runtime/team.h"

namespace flexjit::runtime {

inline constexpr int kMaxThreads = 1 << 12;

// How many threads a call gets that wants so many; 0 wants OMP_NUM_THREADS, else one for each processor that this process may
// use, as they were at the first call. Never more than kMaxThreads.
int threads_of(int wanted);

// body(item, thread) for item in [0, count), thread in [0, threads). The body is noexcept because an exception must not leave
// its thread. One thread, or as many as there are where the system refuses more, do as well.
template <typename Body>
void parallel_for(int threads, std::int64_t count, const Body& body) {
  static_assert(std::is_nothrow_invocable_v<const Body&, std::int64_t, int>);
  const auto wanted = static_cast<int>(std::min<std::int64_t>(threads, count));
  struct Loop {
    const Body& body;
    const std::int64_t count;
    std::atomic<std::int64_t> next{0};
  } loop{body, count};
  const auto work = [](void* context, int thread) noexcept {
    auto& [each, end, next] = *static_cast<Loop*>(context);
    for (std::int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < end;) each(item, thread);
  };
  if (wanted > 1) {
    if (const Team::Lease team; team.get() != nullptr) return team.get()->run(wanted, work, &loop);
  }
  work(&loop, 0);
}

}  // namespace flexjit::runtime
