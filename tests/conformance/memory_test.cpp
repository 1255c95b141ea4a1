// Nothing outside the caller's tensors is read or written: every array lies against a forbidden page, so a violation crashes.
// And what a pattern reads outside its own buffers is an error with a place, not a read.
#include "guarded_memory.h"
#include "harness.h"

namespace flexjit::conformance {
namespace {

class GuardedTensorsTest : public testing::TestWithParam<Edge> {};

void run_guarded(const Shape& shape, std::string_view program, std::string_view target, Edge edge) {
  SCOPED_TRACE(to_string(shape));
  Attention attention = compile_or_throw(engine_for(target), spec_of(program, shape));
  Problem plain(shape);
  attention.run(plain.args()).value();

  Problem guarded(shape);
  GuardedArray<unsigned char> q(guarded.q.bytes, edge), k(guarded.k.bytes, edge), v(guarded.v.bytes, edge),
      out(guarded.out.bytes, edge);
  GuardedArray<float> lse(guarded.lse.size(), edge);
  RunArgs args = guarded.args();
  args.q.data = q.data(), args.k.data = k.data(), args.v.data = v.data(), args.out.data = out.data(),
  args.lse.data = lse.data();
  attention.run(args).value();
  guarded.out.bytes = out.copy(), guarded.lse = lse.copy();
  EXPECT_TRUE(outputs_identical(guarded, plain));
}

TEST_P(GuardedTensorsTest, RaggedLengthsAndDims) {
  for (const std::string& target : targets_here())
    for (std::int32_t head_dim : {1, 3, 17, 40, 64})
      for (auto [q_len, kv_len] : std::vector<std::pair<int, int>>{{1, 1}, {5, 3}, {47, 63}, {49, 65}, {100, 129}}) {
        Shape shape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = q_len, .kv_len = kv_len, .head_dim = head_dim};
        run_guarded(shape, "score = score + 0.01 * kv_idx", target, GetParam());
        run_guarded(shape, "mask = q_idx >= kv_idx", target, GetParam());
      }
}

TEST_P(GuardedTensorsTest, CapturedBuffers) {
  constexpr Shape kShape{.batch = 2, .q_heads = 2, .kv_heads = 1, .q_len = 67, .kv_len = 131, .head_dim = 16};
  constexpr std::string_view kProgram =
      "buffer row : f32[q_len]; buffer column : f32[kv_len]; buffer plane : f32[num_heads, q_len, kv_len]\n"
      "buffer rel : f32[?]; buffer flag : bool[kv_len]; buffer small : u8[kv_len]; buffer a : f32[q_len, 5]; buffer c : "
      "f32[kv_len, 5]\n"
      "let reads = row[q_idx] + column[kv_idx] + plane[h, q_idx, kv_idx] + rel[q_idx - kv_idx + kv_len - 1] + small[kv_idx]\n"
      "score = score + reads + dot(a[q_idx, :], c[kv_idx, :]) + (kv_idx < q_idx ? column[kv_idx + 1] : 0.0)\n"
      "mask = flag[kv_idx]";
  auto rows = static_cast<std::size_t>(kShape.q_len), columns = static_cast<std::size_t>(kShape.kv_len);
  Random random(3);
  Edge edge = GetParam();
  GuardedArray<float> row(random.normals(rows), edge), column(random.normals(columns), edge),
      rel(random.normals(rows + columns - 1), edge);
  GuardedArray<float> plane(random.normals(2 * rows * columns), edge), a(random.normals(rows * 5), edge),
      c(random.normals(columns * 5), edge);
  GuardedArray<unsigned char> flag(std::vector<unsigned char>(columns, 1), edge);
  GuardedArray<unsigned char> small(std::vector<unsigned char>(columns, 2), edge);
  Bindings bindings;
  auto bind = [&](const char* name, const void* data, DType dtype, std::initializer_list<std::int64_t> extents) {
    bindings.buffers[name] = TensorView(data, dtype, extents);
  };
  bind("row", row.data(), DType::kF32, {kShape.q_len});
  bind("column", column.data(), DType::kF32, {kShape.kv_len});
  bind("plane", plane.data(), DType::kF32, {2, kShape.q_len, kShape.kv_len});
  bind("rel", rel.data(), DType::kF32, {kShape.q_len + kShape.kv_len - 1});
  bind("flag", flag.data(), DType::kBool, {kShape.kv_len});
  bind("small", small.data(), DType::kU8, {kShape.kv_len});
  bind("a", a.data(), DType::kF32, {kShape.q_len, 5});
  bind("c", c.data(), DType::kF32, {kShape.kv_len, 5});
  expect_matches_reference(spec_of(kProgram, kShape), kShape, &bindings, {2e-5});
}

INSTANTIATE_TEST_SUITE_P(Edges, GuardedTensorsTest, testing::Values(Edge::kEnd, Edge::kBegin),
                         [](const auto& one) { return std::string(one.param == Edge::kEnd ? "End" : "Begin"); });

constexpr Shape kShape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 70, .kv_len = 130, .head_dim = 16};

// Few enough rows for the other nest.
constexpr Shape kDecodeShape{.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = 3, .kv_len = 130, .head_dim = 16};

// Runs with `t` of 100 floats, guarded on both sides in turn; the error of each run, or "" when there was none.
std::vector<std::string> read_errors(std::string_view program, const Shape& shape = kShape) {
  std::vector<std::string> errors;
  for (const std::string& target : targets_here())
    for (Edge edge : {Edge::kEnd, Edge::kBegin}) {
      GuardedArray<float> table(std::vector<float>(100, 0.5F), edge);
      Bindings bindings;
      bindings.buffers["t"] = TensorView(table.data(), DType::kF32, {100});
      Problem tensors(shape);
      Result<RunStats> ran = compile_or_throw(engine_for(target), spec_of(program, shape)).run(tensors.args(&bindings));
      errors.push_back(ran.has_value() ? "" : ran.diagnostics().front().kind + "\n" + render(ran.diagnostics()));
    }
  return errors;
}

void expect_read_error(std::string_view program, const std::vector<std::string>& parts, const Shape& shape = kShape) {
  for (const std::string& error : read_errors(program, shape)) {
    EXPECT_EQ(error.substr(0, 11), "buffer-read") << program;
    for (const std::string& part : parts)
      EXPECT_NE(error.find(part), std::string::npos) << "'" << part << "' is not in: " << error;
  }
}

TEST(ReadsOutOfRange, AboveTheEndNamesBufferIndexAndColumn) {
  expect_read_error("buffer t : f32[?]\nscore = score + t[kv_idx]",
                    {"`t`", "index 1", "extent is 100", "2:17", "score + t[kv_idx]"});
}

TEST(ReadsOutOfRange, BelowZero) {
  expect_read_error("buffer t : f32[?]\nscore = score + t[q_idx - 3]", {"`t`", "-3", "2:17"});
}

TEST(ReadsOutOfRange, FarAway) {
  expect_read_error("buffer t : f32[?]\nscore = score + t[kv_idx * 10000000]", {"`t`", "0000000", "2:17"});
  expect_read_error("buffer t : f32[?]\nscore = score + t[-2000000000 - kv_idx]", {"`t`", "index -2000000", "2:17"});
}

TEST(ReadsOutOfRange, InTheMask) { expect_read_error("buffer t : f32[?]\nmask = t[kv_idx] > 0.0", {"`t`", "100", "2:8"}); }

TEST(ReadsOutOfRange, RowUniform) {
  expect_read_error("buffer t : f32[?]\nscore = score + t[q_idx * 2]", {"`t`", "100", "2:17"});
  expect_read_error("buffer t : f32[?]\nscore = score + t[h + 99]", {"`t`", "100", "2:17"});
}

// An element outside is met however little its index varies: within a plane of the mask, over planes, or not at all.
TEST(ReadsOutOfRange, OfAnIndexThatVariesWithNeitherPosition) {
  for (const Shape& shape : {kShape, kDecodeShape}) {
    expect_read_error("buffer t : f32[?]\nmask = t[100] > 0.0", {"`t`", "index 100", "2:8"}, shape);
    expect_read_error("buffer t : f32[?]\nmask = t[-1] > 0.0 || kv_idx < 5", {"`t`", "index -1", "2:8"}, shape);
    expect_read_error("buffer t : f32[?]\nmask = float(kv_idx) >= t[100 + b]", {"`t`", "index 100", "2:25"}, shape);
    expect_read_error("buffer t : f32[?]\nmask = t[h + 99] > 0.0", {"`t`", "index 100", "2:8"}, shape);
    expect_read_error("buffer t : f32[?]\nmask = any(n in 0..3 : t[98 + n] > 0.0)", {"`t`", "index 100", "2:24"}, shape);
    expect_read_error("buffer t : f32[?]\nmask = t[int(t[0]) + 100] <= float(kv_idx)", {"`t`", "index 100", "2:8"}, shape);
    expect_read_error("buffer t : f32[?]\nscore = score + t[100]", {"`t`", "index 100", "2:17"}, shape);
  }
}

TEST(ReadsOutOfRange, OneLaneOnly) {
  expect_read_error("buffer t : f32[?]\nscore = score + t[q_idx == 69 && kv_idx == 129 && h == 1 ? 100 : 0]",
                    {"`t`", "100", "2:17"});
}

TEST(ReadsOutOfRange, NotWhereTheLaneDoesNotCount) {
  for (const char* program : {
           "buffer t : f32[?]\nscore = score + t[kv_idx]\nmask = kv_idx < 100",
           "buffer t : f32[?]\nscore = kv_idx < 100 ? score + t[kv_idx] : score",
           "buffer t : f32[?]\nscore = where(kv_idx >= 100, score, score + t[kv_idx])",
           "buffer t : f32[?]\nmask = kv_idx < 100 && t[kv_idx] > 0.0",
           "buffer t : f32[?]\nmask = kv_idx >= 100 || t[kv_idx] > 0.0",
           "buffer t : f32[?]\nscore = score + t[q_idx - kv_idx]\nmask = q_idx >= kv_idx",
           "buffer t : f32[?]\nscore = score + (h > 5 ? t[h + 1000] : 0.0)",
       })
    for (const std::string& error : read_errors(program)) EXPECT_EQ(error, "") << program;
}

// The index depends on the query or the key alone, so that it is read before the guard, which depends on both, is known.
TEST(ReadsOutOfRange, NotWhereALateGuardIsFalse) {
  for (const char* program : {
           "buffer t : f32[?]\nmask = q_idx + kv_idx > 500 && t[kv_idx] > 0.0",
           "buffer t : f32[?]\nmask = q_idx + kv_idx < 500 || t[q_idx - 50] > 0.0",
           "buffer t : f32[?]\nmask = kv_idx - q_idx <= 200 || t[q_idx + 98] > 0.0",
           "buffer t : f32[?]\nscore = score + (q_idx * kv_idx > 100000 ? t[q_idx - kv_idx] : 0.0)",
           "buffer t : f32[?]\nscore = score + (q_idx * kv_idx > 100000 ? t[h + 1000] + t[int(t[q_idx - 9]) * 200] : 0.0)",
           "buffer t : f32[?]\nmask = any(n in 0..2 : kv_idx * q_idx > 100000 + n && t[kv_idx * 50 * n] > 0.0) || q_idx >= "
           "kv_idx",
       })
    for (const Shape& shape : {kShape, kDecodeShape})
      for (const std::string& error : read_errors(program, shape)) EXPECT_EQ(error, "") << program;
}

TEST(ReadsOutOfRange, WhereALateGuardIsTrueOnce) {
  const auto last = [](const std::string& program, const std::vector<std::string>& parts) {
    for (const Shape& shape : {kShape, kDecodeShape}) {
      // The guard holds at the last query and key only.
      const std::string guard = "q_idx * kv_idx == " + std::to_string((shape.q_len - 1) * (shape.kv_len - 1));
      expect_read_error("let last = " + guard + "\nbuffer t : f32[?]\n" + program, parts, shape);
    }
  };
  last("score = score + (last ? t[kv_idx] : 0.0)", {"`t`", "index 129", "3:25"});
  last("mask = !last || t[kv_idx] > 0.0", {"`t`", "index 129", "3:17"});
  last("mask = !last || t[q_idx + 100] > 0.0", {"`t`", "index 1", "3:17"});
  last("mask = !last || t[h + 100] > 0.0", {"`t`", "index 10", "3:17"});
  last("score = score + (last ? t[kv_idx - q_idx + 97] : 0.0)", {"`t`", "index ", "3:25"});
}

TEST(ReadsOutOfRange, TheReferenceSaysTheSame) {
  Bindings bindings;
  std::vector<float> table(100, 0.5F);
  bindings.buffers["t"] = TensorView(table.data(), DType::kF32, {100});
  Problem tensors(kShape);
  Attention attention = compile_or_throw(engine_for("host"), spec_of("buffer t : f32[?]\nscore = score + t[kv_idx]", kShape));
  Result<RunStats> kernel = attention.run(tensors.args(&bindings)),
                   reference = attention.run_reference(tensors.args(&bindings));
  ASSERT_FALSE(kernel.has_value() || reference.has_value());
  EXPECT_EQ(render(kernel.diagnostics()), render(reference.diagnostics()));
}

TEST(ReadsOutOfRange, InEitherRowOfADot) {
  AttentionSpec spec =
      spec_of("buffer a : f32[?, 4]; buffer c : f32[?, 4]\nscore = score + dot(a[q_idx, :], c[kv_idx, :])", kShape);
  Attention attention = compile_or_throw(engine_for("host"), spec);
  for (bool first : {true, false}) {
    std::int64_t a_rows = first ? 50 : 70, c_rows = first ? 130 : 100;
    Captures captures;
    captures.add("a", {a_rows, 4}, std::vector<float>(static_cast<std::size_t>(a_rows) * 4, 0.5F));
    captures.add("c", {c_rows, 4}, std::vector<float>(static_cast<std::size_t>(c_rows) * 4, 0.5F));
    Problem tensors(kShape);
    RunArgs args = tensors.args(&captures.bindings());
    for (const Result<RunStats>& ran : {attention.run(args), attention.run_reference(args)}) {
      ASSERT_FALSE(ran.has_value());
      std::string text = render(ran.diagnostics());
      EXPECT_NE(text.find(first ? "`a` is out of range: index 50" : "`c` is out of range: index 100"), std::string::npos)
          << text;
      EXPECT_NE(text.find(first ? "extent is 50" : "extent is 100"), std::string::npos) << text;
    }
  }
}

// One handle must work again after a call that failed.
TEST(ReadsOutOfRange, TheNextCallIsClean) {
  AttentionSpec spec = spec_of("param far : int = 0\nbuffer t : f32[?]\nscore = score + t[far]", kShape);
  Attention attention = compile_or_throw(engine_for("host"), spec);
  std::vector<float> table(100, 0.0F);
  Bindings bindings;
  bindings.buffers["t"] = TensorView(table.data(), DType::kF32, {100});
  Problem tensors(kShape);
  bindings.params["far"] = 100;
  EXPECT_FALSE(attention.run(tensors.args(&bindings)).has_value());
  bindings.params["far"] = 99;
  EXPECT_TRUE(attention.run(tensors.args(&bindings)).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
