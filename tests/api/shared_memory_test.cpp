// Whether two tensors have an element in common, for views of every stride, against sets of their bytes.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "call/validate.h"
#include "support/random.h"

namespace flexjit::test {
namespace {

std::set<const char*> bytes_of(const TensorView& view) {
  std::set<const char*> bytes;
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  for (std::int64_t i = 0; i < view.shape[0] * view.shape[1] * view.shape[2] * view.shape[3]; ++i) {
    std::int64_t rest = i, offset = 0;
    for (std::size_t d = 4; d-- > 0; rest /= view.shape[d]) offset += rest % view.shape[d] * view.strides[d];
    for (std::int64_t byte = 0; byte < size; ++byte) bytes.insert(static_cast<const char*>(view.data) + offset * size + byte);
  }
  return bytes;
}

bool is_reported(const TensorView& a, const TensorView& b) {
  engine::Report report("run");
  engine::check_apart({"a", a}, {"b", b}, report);
  return !report.empty();
}

TensorView random_view(const std::vector<float>& memory, Random& random) {
  constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kI8};
  TensorView view;
  view.dtype = kTypes[random.integer(0, 2)];
  view.rank = 4;
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  std::int64_t least = 0;
  for (std::size_t d = 0; d < 4; ++d) {
    view.shape[d] = random.integer(random.chance(0.05) ? 0 : 1, 4);
    view.strides[d] = random.integer(-30, 60);
    least += std::min<std::int64_t>(0, (view.shape[d] - 1) * view.strides[d]);
  }
  view.data = reinterpret_cast<const char*>(memory.data()) + 2000 + size * (random.integer(0, 250) - least);
  return view;
}

TEST(SharedMemory, IsFoundByElements) {
  const std::vector<float> memory(4000);
  Random random(1);
  int shared = 0;
  for (int i = 0; i < 20000; ++i) {
    const TensorView a = random_view(memory, random), b = random_view(memory, random);
    const std::set<const char*> of_a = bytes_of(a);
    bool expected = false;
    for (const char* byte : bytes_of(b)) expected = expected || of_a.contains(byte);
    shared += expected ? 1 : 0;
    ASSERT_EQ(is_reported(a, b), expected) << i;
  }
  EXPECT_GT(shared, 2000);
  EXPECT_LT(shared, 18000);
}

// K and V of one packed array lie between each other's rows; so do layers of a pool.
TEST(SharedMemory, TensorsThatTakeTurnsHaveNone) {
  constexpr std::int64_t kPages = 1 << 20, kHeads = 8, kDim = 128;
  const float* base = reinterpret_cast<const float*>(std::uintptr_t{1} << 40);
  TensorView k(base, DType::kF32, {kPages, kHeads, 16, kDim}), v = k;
  k.strides = v.strides = {2 * kHeads * 16 * kDim, kDim, kHeads * kDim, 1};
  v.data = base + kHeads * 16 * kDim;
  EXPECT_FALSE(is_reported(k, v));
  v.data = base + kHeads * 16 * kDim - 1;
  EXPECT_TRUE(is_reported(k, v));
  k.shape[0] = 0;
  EXPECT_FALSE(is_reported(k, v));
}

}  // namespace
}  // namespace flexjit::test
