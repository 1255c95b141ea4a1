// Sizes from options and files: what follows from what, and conflicts that name both sides.
#include "data/problem.h"

#include <gtest/gtest.h>

#include "cli/subprocess.h"
#include "data/npy.h"

namespace flexjit::tools {
namespace {

using tests::TemporaryFolder;

TEST(Problem, SizesFollowFromEachOther) {
  RunOptions options;
  options.sizes.q_len = 10;
  options.sizes.heads = 6;
  options.sizes.head_dim = 8;
  const Sizes s = make_problem(options).value().sizes;
  EXPECT_EQ(s.batch, 1);
  EXPECT_EQ(s.kv_heads, 6);
  EXPECT_EQ(s.kv_len, 10);
  EXPECT_EQ(s.v_head_dim, 8);
}

TEST(Problem, SizesFollowFromFiles) {
  const TemporaryFolder folder;
  RunOptions options;
  options.files.q = folder.path("q.npy");
  options.files.v = folder.path("v.npy");
  options.files.layout = Layout::kBshd;
  ASSERT_TRUE(write_npy(options.files.q, Array(DType::kF64, {2, 5, 4, 8})));  // batch, length, heads, dim
  ASSERT_TRUE(write_npy(options.files.v, Array(DType::kF32, {2, 7, 2, 3})));
  const Problem problem = make_problem(options).value();
  const Sizes& s = problem.sizes;
  EXPECT_EQ(s.batch, 2);
  EXPECT_EQ(s.heads, 4);
  EXPECT_EQ(s.kv_heads, 2);
  EXPECT_EQ(s.q_len, 5);
  EXPECT_EQ(s.kv_len, 7);
  EXPECT_EQ(s.head_dim, 8);
  EXPECT_EQ(s.v_head_dim, 3);
  EXPECT_EQ(problem.q.dtype, DType::kF32);
  EXPECT_EQ(problem.k.shape, (std::vector<std::int64_t>{2, 7, 2, 8}));
  EXPECT_EQ(problem.make_output().shape, (std::vector<std::int64_t>{2, 5, 4, 3}));
}

TEST(Problem, InputsHaveTheWantedTypes) {
  const TemporaryFolder folder;
  RunOptions options;
  options.sizes.q_len = 4;
  options.dtypes = {.q = DType::kF32, .kv = DType::kBF16, .out = DType::kF16};
  options.files.k = folder.path("k.npy");
  Array bits(DType::kBF16, {1, 4, 4, 64});
  bits.as<std::uint16_t>()[0] = 0x3fc0;  // 1.5
  ASSERT_TRUE(write_npy(options.files.k, bits));
  const Problem problem = make_problem(options).value();
  EXPECT_EQ(problem.q.dtype, DType::kF32);
  EXPECT_EQ(problem.k.dtype, DType::kBF16);
  EXPECT_EQ(problem.v.dtype, DType::kBF16);
  EXPECT_EQ(number_at(problem.k, 0), 1.5);
  EXPECT_NE(number_at(problem.v, 0), 0);
  EXPECT_EQ(problem.make_output().dtype, DType::kF16);
  EXPECT_EQ(problem.make_lse().dtype, DType::kF32);
  options.dtypes = {.q = DType::kF64, .kv = {}, .out = {}};
  EXPECT_EQ(number_at(make_problem(options).value().k, 0), 1.5);
}

TEST(Problem, ConflictsNameBothSides) {
  const TemporaryFolder folder;
  RunOptions options;
  options.files.q = folder.path("q.npy");
  options.files.k = folder.path("k.npy");
  options.sizes.batch = 3;
  ASSERT_TRUE(write_npy(options.files.q, Array(DType::kF32, {2, 4, 5, 8})));
  ASSERT_TRUE(write_npy(options.files.k, Array(DType::kF32, {2, 4, 5, 9})));
  const auto problem = make_problem(options);
  ASSERT_FALSE(problem);
  ASSERT_EQ(problem.diagnostics().size(), 3U);
  EXPECT_EQ(problem.diagnostics()[0].message, "has batch = 2, but --batch says 3");
  EXPECT_EQ(problem.diagnostics()[2].message, "has head-dim = 9, but " + options.files.q + " says 8");
}

TEST(Problem, RefusesWrongRanksAndAbsurdSizes) {
  const TemporaryFolder folder;
  RunOptions options;
  options.files.q = folder.path("q.npy");
  ASSERT_TRUE(write_npy(options.files.q, Array(DType::kF32, {4, 5, 8})));
  EXPECT_NE(make_problem(options).diagnostics()[0].message.find("has shape (4, 5, 8); expected four dimensions"),
            std::string::npos);
  RunOptions huge;
  huge.sizes.batch = huge.sizes.q_len = 2000000000;
  EXPECT_EQ(make_problem(huge).diagnostics()[0].kind, "size-conflict");
}

}  // namespace
}  // namespace flexjit::tools
