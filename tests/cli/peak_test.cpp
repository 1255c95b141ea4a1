// Which limit belongs to which dtype. How large it is, no test can say.
#include "measure/peak.h"

#include <gtest/gtest.h>

#include <vector>

namespace flexjit::tools {
namespace {

TEST(Peak, FollowsTheDtypeAndTheTarget) {
  for (const char* target : {"host", "x86-64", "x86-64-v3", "x86-64-v4"}) {
    EXPECT_EQ(peak_for(DType::kF32, target), Peak::kFmaF32);
    EXPECT_EQ(peak_for(DType::kF16, target), Peak::kFmaF32);
    EXPECT_EQ(peak_for(DType::kF64, target), Peak::kFmaF64);
  }
  EXPECT_EQ(peak_for(DType::kBF16, "x86-64-v3"), Peak::kFmaF32);
#if defined(__x86_64__)
  const bool dot = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
  EXPECT_EQ(peak_for(DType::kBF16, "host"), dot ? Peak::kDotBf16 : Peak::kFmaF32);
#endif
}

TEST(Peak, EveryKindIsMeasured) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kBF16})
    for (const char* target : {"host", "x86-64"})
      EXPECT_GT(measure_peak_gflops(peak_for(dtype, target), target, 1), 0) << target;
}

// Whole rows only are read: a part of a row, or nothing, must not be read past.
TEST(Peak, ReadsWhatIsThere) {
  const std::vector<std::byte> bytes(10'000), few(100);
  EXPECT_GT(measure_read_gbps(bytes, bytes, 2), 0);
  EXPECT_GE(measure_read_gbps(few, few, 1), 0);
  EXPECT_GE(measure_read_gbps({}, {}, 3), 0);
}

}  // namespace
}  // namespace flexjit::tools
