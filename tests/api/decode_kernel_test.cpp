// What a handle does when the compiler is gone at the first call that decodes.
#include <gtest/gtest.h>

#include "call/decode_kernel.h"

namespace flexjit {
namespace {

cache::SharedKey key_of(DType dtype) {
  ir::ProgramBuilder b;
  plan::KernelRequest request;
  request.program = std::move(b).finish(ir::Id{}, ir::Id{});
  request.types = {dtype, dtype, dtype};
  request.head_dim = request.v_head_dim = 8;
  return std::make_shared<const cache::HashedKey>(plan::plan_kernel(request, plan::host_target()));
}

TEST(DecodeKernel, WithoutACompilerIsADiagnosticEachTime) {
  const auto store = std::make_shared<engine::KernelStore>(
      EngineOptions{.cache_bytes = std::size_t{1} << 20, .compiler_path = "no/such/compiler.so", .cache_dir = {}});
  engine::DecodeKernel kernel(key_of(DType::kF32), "pattern", store);
  for (int i = 0; i < 2; ++i) {
    const auto ready = kernel.get(nullptr);
    ASSERT_FALSE(ready.has_value());
    EXPECT_EQ(ready.diagnostics().front().kind, "no-compiler");
  }
}

TEST(DecodeKernel, SuitsFewRowsOfTheTypesThatItComputes) {
  const auto suits = [](DType dtype, std::int32_t group, std::int32_t q_len, std::int32_t kv_len) {
    return engine::suits_decode({dtype, dtype, dtype}, group, q_len, kv_len);
  };
  EXPECT_TRUE(suits(DType::kF32, 8, 1, 1000));
  EXPECT_TRUE(suits(DType::kF32, 128, 1, 1));
  EXPECT_TRUE(suits(DType::kF32, 1, 16, 1000));
  EXPECT_FALSE(suits(DType::kF32, 4, 64, 1000));
  EXPECT_FALSE(suits(DType::kF64, 8, 1, 1000));
}

}  // namespace
}  // namespace flexjit
