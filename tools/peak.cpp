// Independent accumulators hide the latency of the multiply-add: 16 where there are 32 vector registers, 12 where there are 16,
// so that none is spilled. The multiplicands stay in registers and the results reach a volatile, so nothing is optimised away.
#include "peak.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace flexjit::tools {
namespace {

constexpr std::int64_t kRounds = 1 << 16;  // about a tenth of a millisecond
constexpr auto kWindow = std::chrono::milliseconds(25);
constexpr int kWindows = 4;

// Runs kRounds rounds; each does flops_per_round operations.
using Burst = void (*)();
struct PeakLoop {
  Burst burst;
  double flops_per_round;
};

// Read once for each accumulator: as far as the compiler knows they all differ and none is another's duplicate.
volatile float g_start = 1.0F;
volatile float g_sink;

// One round of `step(accumulator)` over named accumulators: an array would depend on the optimiser to become registers.
#define FLEXJIT_ROUND12(step) \
  step(a0) step(a1) step(a2) step(a3) step(a4) step(a5) step(a6) step(a7) step(a8) step(a9) step(a10) step(a11)
#define FLEXJIT_ROUND16(step) FLEXJIT_ROUND12(step) step(a12) step(a13) step(a14) step(a15)

#if defined(__x86_64__)

__attribute__((target("avx512f"))) void burst_avx512() {
#define FLEXJIT_START(a) __m512 a = _mm512_set1_ps(g_start);
#define FLEXJIT_STEP(a) a = _mm512_fmadd_ps(a, scale, shift);
#define FLEXJIT_SUM(a) sum = _mm512_add_ps(sum, a);
  FLEXJIT_ROUND16(FLEXJIT_START)
  const __m512 scale = _mm512_set1_ps(0.9F), shift = _mm512_set1_ps(0.1F);
  for (std::int64_t i = 0; i < kRounds; ++i) {
    FLEXJIT_ROUND16(FLEXJIT_STEP)
  }
  __m512 sum = _mm512_setzero_ps();
  FLEXJIT_ROUND16(FLEXJIT_SUM)
  g_sink = _mm512_cvtss_f32(sum);
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM
}

__attribute__((target("avx2,fma"))) void burst_avx2() {
#define FLEXJIT_START(a) __m256 a = _mm256_set1_ps(g_start);
#define FLEXJIT_STEP(a) a = _mm256_fmadd_ps(a, scale, shift);
#define FLEXJIT_SUM(a) sum = _mm256_add_ps(sum, a);
  FLEXJIT_ROUND12(FLEXJIT_START)
  const __m256 scale = _mm256_set1_ps(0.9F), shift = _mm256_set1_ps(0.1F);
  for (std::int64_t i = 0; i < kRounds; ++i) {
    FLEXJIT_ROUND12(FLEXJIT_STEP)
  }
  __m256 sum = _mm256_setzero_ps();
  FLEXJIT_ROUND12(FLEXJIT_SUM)
  g_sink = _mm256_cvtss_f32(sum);
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM
}

void burst_sse() {
#define FLEXJIT_START(a) __m128 a = _mm_set1_ps(g_start);
#define FLEXJIT_STEP(a) a = _mm_add_ps(_mm_mul_ps(a, scale), shift);
#define FLEXJIT_SUM(a) sum = _mm_add_ps(sum, a);
  FLEXJIT_ROUND12(FLEXJIT_START)
  const __m128 scale = _mm_set1_ps(0.9F), shift = _mm_set1_ps(0.1F);
  for (std::int64_t i = 0; i < kRounds; ++i) {
    FLEXJIT_ROUND12(FLEXJIT_STEP)
  }
  __m128 sum = _mm_setzero_ps();
  FLEXJIT_ROUND12(FLEXJIT_SUM)
  g_sink = _mm_cvtss_f32(sum);
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM
}

PeakLoop loop_for(const std::string& target) {
  const bool host = target == "host";
  // The features of x86-64-v4, by which the engine chooses it for "host".
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (v4 && (host || target == "x86-64-v4")) return {burst_avx512, 16 * 16 * 2};
  if (v3 && (host || target == "x86-64-v3")) return {burst_avx2, 12 * 8 * 2};
  return {burst_sse, 12 * 4 * 2};
}

#elif defined(__aarch64__)

void burst_neon() {
#define FLEXJIT_START(a) float32x4_t a = vdupq_n_f32(g_start);
#define FLEXJIT_STEP(a) a = vfmaq_f32(shift, a, scale);
#define FLEXJIT_SUM(a) sum = vaddq_f32(sum, a);
  FLEXJIT_ROUND16(FLEXJIT_START)
  const float32x4_t scale = vdupq_n_f32(0.9F), shift = vdupq_n_f32(0.1F);
  for (std::int64_t i = 0; i < kRounds; ++i) {
    FLEXJIT_ROUND16(FLEXJIT_STEP)
  }
  float32x4_t sum = vdupq_n_f32(0);
  FLEXJIT_ROUND16(FLEXJIT_SUM)
  g_sink = vgetq_lane_f32(sum, 0);
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM
}

PeakLoop loop_for(const std::string&) { return {burst_neon, 16 * 4 * 2}; }

#endif

#undef FLEXJIT_ROUND12
#undef FLEXJIT_ROUND16

// Bursts of one thread until the window closes, as rounds a second of its own time.
double rounds_per_second(Burst burst) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  std::int64_t bursts = 0;
  auto now = begin;
  for (; now - begin < kWindow; now = Clock::now()) {
    burst();
    ++bursts;
  }
  return static_cast<double>(bursts * kRounds) / std::chrono::duration<double>(now - begin).count();
}

}  // namespace

double measure_peak_gflops(const std::string& target, int threads) {
  const PeakLoop loop = loop_for(target);
  std::vector<double> rates(static_cast<std::size_t>(threads));
  std::barrier together(threads);
  double best = 0;
  for (int window = 0; window < kWindows; ++window) {
    std::vector<std::jthread> workers;
    for (auto& rate : rates)
      workers.emplace_back([&rate, &together, &loop] {
        together.arrive_and_wait();
        rate = rounds_per_second(loop.burst);
      });
    workers.clear();  // joins
    double sum = 0;
    for (double rate : rates) sum += rate;
    best = std::max(best, sum * loop.flops_per_round * 1e-9);
  }
  return best;
}

}  // namespace flexjit::tools
