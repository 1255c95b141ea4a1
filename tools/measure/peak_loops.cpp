// Independent accumulators hide the latency of the multiply-add: 16 where there are 32 vector registers, 12 where there are 16,
// so that none is spilled. The multiplicands stay in registers and the results reach a volatile, so nothing is optimised away.
// Reading prefetches into L2, 16 rows of 512 bytes ahead: the hardware's own prefetcher stops at every page, and a plain loop
// reads less than a kernel that does this.
#include "measure/peak_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace flexjit::tools {
namespace {

constexpr std::size_t kPrefetchAhead = 16 * kReadRow;

// Read once for each accumulator: as far as the compiler knows they all differ and none is another's duplicate.
volatile float g_start = 1.0F;
volatile float g_sink;
volatile std::uint64_t g_read_sink;

// One round of `step(accumulator)` over named accumulators: an array would depend on the optimiser to become registers.
#define FLEXJIT_ROUND12(step) \
  step(a0) step(a1) step(a2) step(a3) step(a4) step(a5) step(a6) step(a7) step(a8) step(a9) step(a10) step(a11)
#define FLEXJIT_ROUND16(step) FLEXJIT_ROUND12(step) step(a12) step(a13) step(a14) step(a15)

// The body of a burst; FLEXJIT_START, FLEXJIT_STEP and FLEXJIT_SUM say what a round does to an accumulator.
#define FLEXJIT_BURST(round, first_lane)       \
  for (std::int64_t i = 0; i < kRounds; ++i) { \
    round(FLEXJIT_STEP)                        \
  }                                            \
  round(FLEXJIT_SUM) g_sink = static_cast<float>(first_lane);

#if defined(__x86_64__)

#define FLEXJIT_START(a) __m512 a = _mm512_set1_ps(g_start);
#define FLEXJIT_STEP(a) a = _mm512_fmadd_ps(a, scale, shift);
#define FLEXJIT_SUM(a) sum = _mm512_add_ps(sum, a);
__attribute__((target("avx512f"))) void fma_f32_avx512() {
  const __m512 scale = _mm512_set1_ps(0.9F), shift = _mm512_set1_ps(0.1F);
  __m512 sum = _mm512_setzero_ps();
  FLEXJIT_ROUND16(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND16, _mm512_cvtss_f32(sum))
}
#undef FLEXJIT_STEP

#define FLEXJIT_STEP(a) a = _mm512_dpbf16_ps(a, scale, shift);
__attribute__((target("avx512f,avx512bf16"))) void dot_bf16_avx512() {
  const __m512bh scale = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(g_start));
  const __m512bh shift = _mm512_cvtne2ps_pbh(_mm512_set1_ps(g_start), _mm512_set1_ps(-0.5F));
  __m512 sum = _mm512_setzero_ps();
  FLEXJIT_ROUND16(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND16, _mm512_cvtss_f32(sum))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#define FLEXJIT_START(a) __m512d a = _mm512_set1_pd(g_start);
#define FLEXJIT_STEP(a) a = _mm512_fmadd_pd(a, scale, shift);
#define FLEXJIT_SUM(a) sum = _mm512_add_pd(sum, a);
__attribute__((target("avx512f"))) void fma_f64_avx512() {
  const __m512d scale = _mm512_set1_pd(0.9), shift = _mm512_set1_pd(0.1);
  __m512d sum = _mm512_setzero_pd();
  FLEXJIT_ROUND16(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND16, _mm512_cvtsd_f64(sum))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#define FLEXJIT_START(a) __m256 a = _mm256_set1_ps(g_start);
#define FLEXJIT_STEP(a) a = _mm256_fmadd_ps(a, scale, shift);
#define FLEXJIT_SUM(a) sum = _mm256_add_ps(sum, a);
__attribute__((target("avx2,fma"))) void fma_f32_avx2() {
  const __m256 scale = _mm256_set1_ps(0.9F), shift = _mm256_set1_ps(0.1F);
  __m256 sum = _mm256_setzero_ps();
  FLEXJIT_ROUND12(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND12, _mm256_cvtss_f32(sum))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#define FLEXJIT_START(a) __m256d a = _mm256_set1_pd(g_start);
#define FLEXJIT_STEP(a) a = _mm256_fmadd_pd(a, scale, shift);
#define FLEXJIT_SUM(a) sum = _mm256_add_pd(sum, a);
__attribute__((target("avx2,fma"))) void fma_f64_avx2() {
  const __m256d scale = _mm256_set1_pd(0.9), shift = _mm256_set1_pd(0.1);
  __m256d sum = _mm256_setzero_pd();
  FLEXJIT_ROUND12(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND12, _mm256_cvtsd_f64(sum))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#define FLEXJIT_START(a) __m128 a = _mm_set1_ps(g_start);
#define FLEXJIT_STEP(a) a = _mm_add_ps(_mm_mul_ps(a, scale), shift);
#define FLEXJIT_SUM(a) sum = _mm_add_ps(sum, a);
void fma_f32_sse() {
  const __m128 scale = _mm_set1_ps(0.9F), shift = _mm_set1_ps(0.1F);
  __m128 sum = _mm_setzero_ps();
  FLEXJIT_ROUND12(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND12, _mm_cvtss_f32(sum))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#define FLEXJIT_START(a) __m128d a = _mm_set1_pd(g_start);
#define FLEXJIT_STEP(a) a = _mm_add_pd(_mm_mul_pd(a, scale), shift);
#define FLEXJIT_SUM(a) sum = _mm_add_pd(sum, a);
void fma_f64_sse() {
  const __m128d scale = _mm_set1_pd(0.9), shift = _mm_set1_pd(0.1);
  __m128d sum = _mm_setzero_pd();
  FLEXJIT_ROUND12(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND12, _mm_cvtsd_f64(sum))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

// The features of x86-64-v4, by which the engine chooses it for "host".
bool machine_has_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

enum class Width : std::uint8_t { kAvx512, kAvx2, kSse };

Width width_of(const std::string& target) {
  const bool host = target == "host";
  if (machine_has_v4() && (host || target.starts_with("x86-64-v4"))) return Width::kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && (host || target == "x86-64-v3")) return Width::kAvx2;
  return Width::kSse;
}

__attribute__((target("avx512f"))) void read_avx512(const std::byte* data, std::size_t bytes) {
  __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;
  for (std::size_t row = 0; row < bytes; row += kReadRow)
    for (std::size_t i = row; i < row + kReadRow; i += 128) {
      _mm_prefetch(reinterpret_cast<const char*>(data + i + kPrefetchAhead), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(data + i + kPrefetchAhead + 64), _MM_HINT_T1);
      sum0 = _mm512_xor_si512(sum0, _mm512_loadu_si512(data + i));
      sum1 = _mm512_xor_si512(sum1, _mm512_loadu_si512(data + i + 64));
    }
  std::uint64_t lanes[8];
  _mm512_storeu_si512(lanes, _mm512_xor_si512(sum0, sum1));
  for (std::uint64_t lane : lanes) g_read_sink = g_read_sink ^ lane;
}

#elif defined(__aarch64__)

#define FLEXJIT_START(a) float32x4_t a = vdupq_n_f32(g_start);
#define FLEXJIT_STEP(a) a = vfmaq_f32(shift, a, scale);
#define FLEXJIT_SUM(a) sum = vaddq_f32(sum, a);
void fma_f32_neon() {
  const float32x4_t scale = vdupq_n_f32(0.9F), shift = vdupq_n_f32(0.1F);
  float32x4_t sum = vdupq_n_f32(0);
  FLEXJIT_ROUND16(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND16, vgetq_lane_f32(sum, 0))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#define FLEXJIT_START(a) float64x2_t a = vdupq_n_f64(g_start);
#define FLEXJIT_STEP(a) a = vfmaq_f64(shift, a, scale);
#define FLEXJIT_SUM(a) sum = vaddq_f64(sum, a);
void fma_f64_neon() {
  const float64x2_t scale = vdupq_n_f64(0.9), shift = vdupq_n_f64(0.1);
  float64x2_t sum = vdupq_n_f64(0);
  FLEXJIT_ROUND16(FLEXJIT_START)
  FLEXJIT_BURST(FLEXJIT_ROUND16, vgetq_lane_f64(sum, 0))
}
#undef FLEXJIT_START
#undef FLEXJIT_STEP
#undef FLEXJIT_SUM

#endif

#undef FLEXJIT_BURST
#undef FLEXJIT_ROUND12
#undef FLEXJIT_ROUND16

// Sixteen bytes are a register of every 64-bit machine.
void read_128(const std::byte* data, std::size_t bytes) {
  using Vector = std::uint64_t __attribute__((vector_size(16), aligned(8), may_alias));
  Vector sum0{}, sum1{}, sum2{}, sum3{};
  for (std::size_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(data + i + kPrefetchAhead, 0, 2);
    const auto* line = reinterpret_cast<const Vector*>(data + i);
    sum0 ^= line[0];
    sum1 ^= line[1];
    sum2 ^= line[2];
    sum3 ^= line[3];
  }
  sum0 ^= sum1 ^ sum2 ^ sum3;
  g_read_sink = sum0[0] ^ sum0[1];
}

}  // namespace

#if defined(__x86_64__)

bool has_bf16_dot(const std::string& target) {
  return width_of(target) == Width::kAvx512 && target != "x86-64-v4" && __builtin_cpu_supports("avx512bf16");
}

PeakLoop loop_for(Peak peak, const std::string& target) {
  if (peak == Peak::kDotBf16) return {dot_bf16_avx512, 16 * 32 * 2};
  const bool wide = peak == Peak::kFmaF64;
  switch (width_of(target)) {
    case Width::kAvx512: return wide ? PeakLoop{fma_f64_avx512, 16 * 8 * 2} : PeakLoop{fma_f32_avx512, 16 * 16 * 2};
    case Width::kAvx2: return wide ? PeakLoop{fma_f64_avx2, 12 * 4 * 2} : PeakLoop{fma_f32_avx2, 12 * 8 * 2};
    case Width::kSse: return wide ? PeakLoop{fma_f64_sse, 12 * 2 * 2} : PeakLoop{fma_f32_sse, 12 * 4 * 2};
  }
  return {fma_f32_sse, 12 * 4 * 2};
}

ReadLoop read_loop() { return machine_has_v4() ? read_avx512 : read_128; }

#elif defined(__aarch64__)

bool has_bf16_dot(const std::string&) { return false; }

PeakLoop loop_for(Peak peak, const std::string&) {
  return peak == Peak::kFmaF64 ? PeakLoop{fma_f64_neon, 16 * 2 * 2} : PeakLoop{fma_f32_neon, 16 * 4 * 2};
}

ReadLoop read_loop() { return read_128; }

#endif

}  // namespace flexjit::tools
