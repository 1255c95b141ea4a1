// Which reads lose their check. The first table must be proved, because patterns that people write depend on it for speed; the
// second must not, because for some legal call the index leaves the buffer (or nobody can know).
#include <gtest/gtest.h>

#include "ir/passes/passes.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

// "+" for each proved read of the program, "-" for each checked one, in order.
std::string verdicts(const std::string& text) {
  const Lowered ir = lowered(text);
  const Program program = prove_reads(simplify(ir.program), ir.interface);
  std::string result;
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Op op = program.node(Id{i}).op;
    if (op != Op::kRead && op != Op::kDot) continue;
    const bool checked = op == Op::kRead ? program.read(Id{i}).checked : program.dot(Id{i}).checked;
    result += checked ? '-' : '+';
    EXPECT_TRUE(checked || program.const_bool(program.operand(Id{i}, 0))) << "a proved read keeps no guard: " << text;
  }
  return result;
}

TEST(ProveReads, ProvesWhatPatternsNeed) {
  for (const char* text : {
           "buffer t : f32[num_heads]; score = score * t[h]",
           "buffer t : f32[batch_size, num_heads, q_len, kv_len]; score = score + t[b, h, q_idx, kv_idx]",
           "buffer t : f32[num_kv_heads]; score = score * t[kv_head]",
           "buffer t : f32[num_heads]; score = score * t[kv_head]",
           "buffer t : f32[1]; score = score * t[0]",
           "buffer t : f32[num_heads]; score = score * t[0]",
           "buffer t : f32[num_heads]; score = score * t[num_heads - 1]",
           "buffer t : f32[kv_len]; score = score * t[kv_len - 1 - kv_idx]",
           "buffer t : f32[num_heads]; score = score * t[clamp(kv_idx - q_idx, 0, num_heads - 1)]",
           "buffer t : f32[8]; score = score * t[kv_idx % 8]",
           "buffer t : f32[8]; score = score * t[(q_idx - kv_idx) % 8]",
           "buffer t : f32[8]; score = score * t[q_idx & 7]",
           "buffer t : f32[9]; score = score * t[min(abs(q_idx - kv_idx), 8)]",
           "buffer t : f32[q_len]; score = score * t[q_idx // 4]",
           "buffer t : f32[q_len]; score = score * t[q_idx >> 2]",
           "buffer t : f32[q_len]; score = score * t[kv_idx % q_len]",
           "buffer t : f32[kv_len]; score = score * t[min(q_idx, kv_len - 1)]",
           "buffer t : f32[2]; score = score * t[int(q_idx < kv_idx)]",
           "buffer t : f32[2]; score = score * t[q_idx < kv_idx ? 0 : 1]",
           "buffer t : f32[q_len]; score = score * t[h == 0 ? q_idx : 0]",
           "buffer t : f32[5, q_len]; score = score * t[kv_idx % 5, q_idx]",
           "buffer t : f32[16]; score = score * t[(q_idx % 4) * 4 + kv_idx % 4]",
       }) {
    EXPECT_EQ(verdicts(text), "+") << text;
  }
  EXPECT_EQ(verdicts("buffer d : i32[q_len]; buffer e : i32[kv_len]; mask = d[q_idx] == e[kv_idx]"), "++");
  EXPECT_EQ(verdicts("buffer len : i32[batch_size]; mask = kv_idx < len[b]"), "+");
  EXPECT_EQ(verdicts("buffer d : u8[q_len]; buffer t : f32[256]; score = score + t[d[q_idx]]"), "++");
}

TEST(ProveReads, KeepsTheCheckOfWhatCanLeave) {
  for (const char* text : {
           "buffer t : f32[?]; score = score * t[0]",
           "buffer t : f32[num_heads]; score = score * t[h + 1]",
           "buffer t : f32[num_heads]; score = score * t[h - 1]",
           "buffer t : f32[num_heads]; score = score * t[b]",
           "buffer t : f32[num_kv_heads]; score = score * t[h]",
           "buffer t : f32[8]; score = score * t[h]",
           "buffer t : f32[2]; score = score * t[2]",
           "buffer t : f32[q_len]; score = score * t[kv_idx]",
           "buffer t : f32[kv_len]; score = score * t[q_idx]",
           "buffer t : f32[q_len]; score = score * t[q_idx - kv_idx]",
           "buffer t : f32[q_len]; score = score * t[1]",
           "buffer t : f32[8]; score = score * t[kv_idx % -8]",
           "buffer t : f32[8]; score = score * t[kv_idx % 9]",
           "buffer t : f32[8]; score = score * t[-(q_idx % 8)]",
           "buffer t : f32[8]; score = score * t[min(q_idx - kv_idx, 7)]",
           "buffer t : f32[16]; score = score * t[q_idx // 128]",
           "param n : int; buffer t : f32[8]; score = score * t[n]",
           "param n : int; buffer t : f32[8]; score = score * t[kv_idx % n]",
           // n may be 0, and the buffer empty.
           "param n : int; buffer t : f32[n]; score = score * t[0]",
           "param n : int; buffer t : f32[n]; score = score * t[clamp(q_idx, 0, n - 1)]",
           "param n : int; buffer t : f32[n]; score = score * t[q_idx % n]",
           "param n : int; param m : int; buffer t : f32[n]; score = score * t[min(q_idx, m - 1)]",
           "buffer t : f32[5, q_len]; score = score * t[kv_idx % 5, q_idx + 1]",
           "buffer t : f32[q_len]; score = score * t[abs(q_idx - kv_idx)]",
           "buffer t : f32[2]; score = score * t[q_idx < kv_idx ? 0 : 2]",
           // Products and sums that wrap for long sequences, and then are negative.
           "buffer t : f32[8]; score = score * t[min(q_idx * 4, 7)]",
           "buffer t : f32[8]; score = score * t[min(q_idx + kv_idx + q_len + kv_len, 7)]",
           "buffer t : f32[8]; score = score * t[min(q_idx * kv_idx, 7)]",
           "buffer t : f32[8]; score = score * t[min(abs(q_idx * 4), 7)]",
           "param n : int; buffer t : f32[8]; score = score * t[min(abs(n), 7)]",
           "buffer t : f32[8]; score = score * t[min(1 << kv_idx, 7)]",
       }) {
    EXPECT_EQ(verdicts(text), "-") << text;
  }
  EXPECT_EQ(verdicts("buffer d : i32[q_len]; buffer t : f32[256]; score = score + t[d[q_idx]]"), "+-");
  EXPECT_EQ(verdicts("buffer d : i8[q_len]; buffer t : f32[128]; score = score + t[d[q_idx]]"), "+-");
}

TEST(ProveReads, AParamThatIsAnExtentIsNotNegative) {
  EXPECT_EQ(verdicts("param n : int; buffer u : f32[9]; score = score * u[max(min(n, 8), 0)]"), "+");
  EXPECT_EQ(verdicts("param n : int; buffer u : f32[9]; score = score * u[min(n, 8)]"), "-");
  EXPECT_EQ(verdicts("param n : int; buffer t : f32[n]; buffer u : f32[9]; score = score * u[min(n, 8)]; mask = t[0] > 0.0"),
            "+-");
}

TEST(ProveReads, ProvesDotsByAllTheirIndices) {
  const std::string declarations = "buffer a : f32[num_heads, q_len, 4]; buffer c : f32[kv_len, 4]\n";
  EXPECT_EQ(verdicts(declarations + "score = score + dot(a[h, q_idx, :], c[kv_idx, :])"), "+");
  EXPECT_EQ(verdicts(declarations + "score = score + dot(a[h, q_idx, :], c[q_idx, :])"), "-");
  EXPECT_EQ(verdicts(declarations + "score = score + dot(a[h + 1, q_idx, :], c[kv_idx, :])"), "-");
}

TEST(ProveReads, KeepsTheGuardOfACheckedRead) {
  const Lowered ir = lowered("buffer t : bool[?]; mask = q_idx >= kv_idx && t[q_idx - kv_idx]");
  const Program program = prove_reads(simplify(ir.program), ir.interface);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (program.node(Id{i}).op != Op::kRead) continue;
    EXPECT_EQ(program.node(program.operand(Id{i}, 0)).op, Op::kLe);
  }
}

}  // namespace
}  // namespace flexjit::ir::test
