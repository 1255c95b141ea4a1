// Threads start together and each measures its own time, so that starting a thread is no part of a peak.
#include "measure/peak.h"

#include <algorithm>
#include <barrier>
#include <cmath>
#include <ctime>
#include <exception>
#include <latch>
#include <thread>
#include <vector>

#include "measure/peak_loops.h"
#include "measure/processors.h"
#include "measure/timing.h"

namespace flexjit::tools {
namespace {

// Shorter than a scheduler's slice, so that on a shared machine some windows belong to this process alone.
constexpr double kWindowSeconds = 1e-3;
constexpr std::size_t kWindows = 80;

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Window {
  double rounds_per_second = 0;  // of processor time
  double processor_seconds = 0, seconds = 0;
};

// Bursts of one thread until it has had the processor for long enough.
Window run_window(void (*burst)()) {
  const auto begin = Clock::now();
  const double begin_processor = thread_seconds();
  std::int64_t bursts = 0;
  double processor = 0;
  while (processor < kWindowSeconds) {
    burst();
    ++bursts;
    processor = thread_seconds() - begin_processor;
  }
  return {.rounds_per_second = static_cast<double>(bursts * kRounds) / processor,
          .processor_seconds = processor,
          .seconds = std::chrono::duration<double>(Clock::now() - begin).count()};
}

// Of the windows of all threads at one time: whether all ran all the time, side by side. Threads that took turns did not share
// what processors share (a core of two hardware threads, the heat), and each looks faster than it is beside the others.
bool ran_together(std::span<const Window> windows) {
  return std::ranges::all_of(windows, [](const Window& w) { return w.processor_seconds > 0.9 * w.seconds; });
}

// Part `i` of `parts`, cut at rows.
std::span<const std::byte> part(std::span<const std::byte> bytes, std::size_t i, std::size_t parts) {
  const std::size_t rows = bytes.size() / kReadRow;
  return bytes.subspan(rows * i / parts * kReadRow, (rows * (i + 1) / parts - rows * i / parts) * kReadRow);
}

// body(i, count, together) for i in [0, count) on a thread each, the caller's own among them. `most` threads, or as many as the
// system gives, which is returned. What throws does so before a thread waits for another.
template <typename Body>
std::size_t run_side_by_side(std::size_t most, const Body& body) {
  std::size_t count = 1;
  std::barrier<> together(static_cast<std::ptrdiff_t>(most));
  std::latch counted(1);
  std::vector<std::jthread> workers;
  workers.reserve(most);
  try {
    for (; count < most; ++count) {
      workers.emplace_back([&, i = count] {
        counted.wait();
        body(i, count, together);
      });
    }
  } catch (const std::exception&) {
    for (std::size_t missing = count; missing < most; ++missing) together.arrive_and_drop();
  }
  counted.count_down();
  body(0, count, together);
  workers.clear();  // joins
  return count;
}

}  // namespace

std::string_view name_of(Peak peak) {
  switch (peak) {
    case Peak::kFmaF32: return "fp32-fma";
    case Peak::kFmaF64: return "fp64-fma";
    case Peak::kDotBf16: return "bf16-dot";
  }
  return "";
}

Peak peak_for(DType dtype, const std::string& target) {
  if (dtype == DType::kF64) return Peak::kFmaF64;
  return dtype == DType::kBF16 && has_bf16_dot(target) ? Peak::kDotBf16 : Peak::kFmaF32;
}

PeakRate measure_peak(Peak peak, const std::string& target, int threads) {
  const PeakLoop loop = loop_for(peak, target);
  PeakRate result{.processors = std::min<double>(threads, usable_processors())};
  const auto most = static_cast<std::size_t>(std::ceil(result.processors));
  std::vector<Window> windows(most * kWindows);
  const std::size_t parts = run_side_by_side(most, [&](std::size_t i, std::size_t count, std::barrier<>& together) {
    for (std::size_t window = 0; window < kWindows; ++window) {
      together.arrive_and_wait();
      windows[window * count + i] = run_window(loop.burst);
    }
  });
  result.processors = std::min(result.processors, static_cast<double>(parts));
  double best_together = 0, best = 0, processor = 0, wall = 0;
  for (std::size_t window = 0; window < kWindows; ++window) {
    const auto all = std::span(windows).subspan(window * parts, parts);
    double sum = 0;
    for (const Window& own : all) {
      sum += own.rounds_per_second;
      processor += own.processor_seconds;
      wall += own.seconds;
    }
    best = std::max(best, sum);
    if (ran_together(all)) best_together = std::max(best_together, sum);
  }
  const double rounds = best_together > 0 ? best_together : best;
  result.gflops = rounds * loop.flops_per_round * 1e-9 * result.processors / static_cast<double>(parts);
  result.share = std::min(processor / wall, 1.0);
  return result;
}

double measure_read_gbps(std::span<const std::byte> first, std::span<const std::byte> second, int threads) {
  const ReadLoop read = read_loop();
  const auto most = static_cast<std::size_t>(std::ceil(std::min<double>(threads, usable_processors())));
  std::vector<Clock::time_point> begins(most), ends(most);
  const std::size_t parts = run_side_by_side(most, [&](std::size_t i, std::size_t count, std::barrier<>& together) {
    together.arrive_and_wait();
    begins[i] = Clock::now();
    for (const auto& bytes : {part(first, i, count), part(second, i, count)}) read(bytes.data(), bytes.size());
    ends[i] = Clock::now();
  });
  const auto begin = std::ranges::min(std::span(begins).first(parts)), end = std::ranges::max(std::span(ends).first(parts));
  const double seconds = std::chrono::duration<double>(end - begin).count();
  return seconds > 0 ? static_cast<double>(first.size() + second.size()) * 1e-9 / seconds : 0;
}

}  // namespace flexjit::tools
