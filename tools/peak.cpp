// Threads start together and each measures its own time, so that starting a thread is no part of a peak.
#include "peak.h"

#include <algorithm>
#include <barrier>
#include <thread>
#include <vector>

#include "peak_loops.h"
#include "timing.h"

namespace flexjit::tools {
namespace {

// Shorter than a scheduler's slice, so that on a shared machine some windows belong to this process alone.
constexpr auto kWindow = std::chrono::milliseconds(1);
constexpr std::size_t kWindows = 80;

// Bursts of one thread until the window closes, as rounds a second of its own time.
double rounds_per_second(void (*burst)()) {
  const auto begin = Clock::now();
  std::int64_t bursts = 0;
  auto now = begin;
  for (; now - begin < kWindow; now = Clock::now()) {
    burst();
    ++bursts;
  }
  return static_cast<double>(bursts * kRounds) / std::chrono::duration<double>(now - begin).count();
}

// Part `i` of `parts`, cut at rows.
std::span<const std::byte> part(std::span<const std::byte> bytes, std::size_t i, std::size_t parts) {
  const std::size_t rows = bytes.size() / kReadRow;
  return bytes.subspan(rows * i / parts * kReadRow, (rows * (i + 1) / parts - rows * i / parts) * kReadRow);
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

double measure_peak_gflops(Peak peak, const std::string& target, int threads) {
  const PeakLoop loop = loop_for(peak, target);
  const auto parts = static_cast<std::size_t>(threads);
  std::vector<double> rates(parts * kWindows);
  std::barrier together(threads);
  std::vector<std::jthread> workers;
  for (std::size_t i = 0; i < parts; ++i)
    workers.emplace_back([&, i] {
      for (std::size_t window = 0; window < kWindows; ++window) {
        together.arrive_and_wait();
        rates[window * parts + i] = rounds_per_second(loop.burst);
      }
    });
  workers.clear();  // joins
  double best = 0;
  for (std::size_t window = 0; window < kWindows; ++window) {
    double sum = 0;
    for (double rate : std::span(rates).subspan(window * parts, parts)) sum += rate;
    best = std::max(best, sum * loop.flops_per_round * 1e-9);
  }
  return best;
}

double measure_read_gbps(std::span<const std::byte> first, std::span<const std::byte> second, int threads) {
  const ReadLoop read = read_loop();
  const auto parts = static_cast<std::size_t>(threads);
  std::vector<Clock::time_point> begins(parts), ends(parts);
  std::barrier together(threads);
  std::vector<std::jthread> workers;
  for (std::size_t i = 0; i < parts; ++i)
    workers.emplace_back([&, i] {
      together.arrive_and_wait();
      begins[i] = Clock::now();
      for (const auto& bytes : {part(first, i, parts), part(second, i, parts)}) read(bytes.data(), bytes.size());
      ends[i] = Clock::now();
    });
  workers.clear();  // joins
  const double seconds = std::chrono::duration<double>(std::ranges::max(ends) - std::ranges::min(begins)).count();
  return seconds > 0 ? static_cast<double>(first.size() + second.size()) * 1e-9 / seconds : 0;
}

}  // namespace flexjit::tools
