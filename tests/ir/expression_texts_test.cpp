// Expressions as people write them: no parenthesis too many, and none too few, because what is printed reads back as the
// program that it was printed from.
#include "ir/program/expression_texts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>
#include <sstream>

#include "random_ir.h"
#include "text.h"

namespace flexjit::ir::test {
namespace {

std::string mask_text(const std::string& expression) {
  const Lowered ir = lowered("buffer t : i32[?]\nbuffer s : f32[num_heads, 8]\nparam w : int = 3\nmask = " + expression + "\n");
  return ExpressionTexts(ir.program, ir.interface)[ir.program.mask()];
}

TEST(ExpressionTexts, KeepsWhatPeopleWrite) {
  for (const char* text : {"q_idx - kv_idx < w && kv_idx <= q_idx", "(q_idx + 1) * 2 == kv_idx", "q_idx - (kv_idx - w) > 0",
                           "t[q_idx // 2] == t[kv_idx % w]", "q_idx >> 2 & 3 == kv_idx | w", "!(q_idx < 3 || kv_idx < 3)",
                           "q_idx > 0 && (kv_idx > 0 || h == 1)", "-q_idx + kv_idx != -1", "max(q_idx, kv_idx) < 8",
                           "(q_idx < w) == (kv_idx < w)", "dot(s[h, :], s[num_heads - 1, :]) > 0.5",
                           "(h == 0 ? q_idx : kv_idx) < w", "float(q_idx) / 2.0 - (float(kv_idx) - 1.0) < inf"})
    EXPECT_EQ(mask_text(text), text);
}

TEST(ExpressionTexts, NamesStandForNodes) {
  const Lowered ir = lowered("mask = (q_idx + 1) * kv_idx > 3\n");
  const ir::Id product = ir.program.operand(ir.program.mask(), 0);
  std::vector<std::string> names(ir.program.size());
  names[ir.program.operand(product, 0).index] = "sum";
  const ExpressionTexts texts(ir.program, ir.interface, names);
  EXPECT_EQ(texts[ir.program.mask()], "sum * kv_idx > 3");
  EXPECT_EQ(texts[ir.program.operand(product, 0)], "q_idx + 1");
}

TEST(ExpressionTexts, LongOperandsBecomeNumbers) {
  std::string text = "let a0 = q_idx * kv_idx + 1\n";
  for (int i = 1; i < 60; ++i)
    text += "let a" + std::to_string(i) + " = a" + std::to_string(i - 1) + " * a" + std::to_string(i - 1) + "\n";
  const Lowered ir = lowered(text + "mask = a59 > 0\n");
  const ExpressionTexts texts(ir.program, ir.interface);
  for (std::uint32_t i = 0; i < ir.program.size(); ++i) EXPECT_LT(texts[Id{i}].size(), 3 * ExpressionTexts::kMaxOperand);
  EXPECT_TRUE(std::regex_match(texts[ir.program.mask()], std::regex("%\\d+ \\* %\\d+ > 0"))) << texts[ir.program.mask()];
}

// A small call of a pattern: buffers of small numbers, so that most indices that are read from them are in range.
class PatternCall {
 public:
  PatternCall(const Lowered& ir, std::uint64_t seed) : random_(seed) {
    for (std::size_t slot = 0; slot < ir.interface.params.size(); ++slot) params_.push_back(param(ir, slot));
    for (const BufferInterface& buffer : ir.interface.buffers) views_.push_back(view(ir, buffer));
    environment_.buffers = views_;
    environment_.params = params_;
  }
  const Environment& environment() const { return environment_; }

 private:
  static Scalar param(const Lowered& ir, std::size_t slot) {
    const ParamInterface& param = ir.interface.params[slot];
    if (param.has_default) return param.default_value;
    return ir.program.params()[slot] == Type::kFloat ? Scalar(0.5F) : Scalar(std::int32_t{3});
  }

  std::int64_t extent(const Lowered& ir, const Extent& extent) const {
    if (extent.kind == Extent::Kind::kLiteral) return extent.literal;
    if (extent.kind == Extent::Kind::kParam) return std::get<std::int32_t>(param(ir, extent.param));
    if (extent.kind == Extent::Kind::kAny) return environment_.q_len + environment_.kv_len;
    const std::pair<Op, std::int32_t> sizes[] = {{Op::kQLen, environment_.q_len},
                                                 {Op::kKvLen, environment_.kv_len},
                                                 {Op::kNumHeads, environment_.num_heads},
                                                 {Op::kNumKvHeads, environment_.num_kv_heads},
                                                 {Op::kBatchSize, environment_.batch_size}};
    return std::ranges::find(sizes, extent.builtin, &std::pair<Op, std::int32_t>::first)->second;
  }

  TensorView view(const Lowered& ir, const BufferInterface& buffer) {
    std::vector<std::int64_t> shape;
    std::int64_t count = 1;
    for (const Extent& one : buffer.extents) count *= shape.emplace_back(extent(ir, one));
    auto& bytes = storage_.emplace_back(static_cast<std::size_t>(count) * size_of(buffer.dtype));
    for (std::size_t at = 0; at < static_cast<std::size_t>(count); ++at) store(buffer.dtype, bytes.data(), at);
    TensorView view;
    view.data = bytes.data();
    view.dtype = buffer.dtype;
    view.rank = static_cast<int>(shape.size());
    std::int64_t step = 1;
    for (std::size_t d = shape.size(); d-- > 0; step *= shape[d]) view.shape[d] = shape[d], view.strides[d] = step;
    return view;
  }

  void store(DType dtype, std::uint8_t* bytes, std::size_t at) {
    const auto value = static_cast<std::int32_t>(random_() % (dtype == DType::kBool ? 2 : 5));
    const auto number = static_cast<float>(value);
    const bool is_float = dtype == DType::kF32;
    // Little-endian: the low bytes of an int are the int of fewer bytes. Small ints are tiny numbers in the other float types.
    std::memcpy(bytes + at * size_of(dtype), is_float ? static_cast<const void*>(&number) : &value,
                std::min(size_of(dtype), sizeof value));
  }

  std::mt19937_64 random_;
  std::deque<std::vector<std::uint8_t>> storage_;
  std::vector<TensorView> views_;
  std::vector<Scalar> params_;
  Environment environment_{
      .batch_size = 2, .num_heads = 4, .num_kv_heads = 2, .q_len = 9, .kv_len = 12, .buffers = {}, .params = {}};
};

// Rows in which a read is out of range say nothing: how often one is read depends on how often it is written. Returns the
// rows that say something.
std::size_t expect_same_values(const Lowered& a, const Lowered& b, std::uint64_t seed) {
  const PatternCall call(a, seed);
  const auto before = run_all_rows(a.program, call.environment()), after = run_all_rows(b.program, call.environment());
  std::size_t compared = 0;
  for (std::size_t r = 0; r < before.size(); ++r) {
    if (!before[r].faulted_sites.empty() || !after[r].faulted_sites.empty()) continue;
    ++compared;
    EXPECT_EQ(before[r].allowed, after[r].allowed) << "row " << r;
    for (std::size_t l = 0; l < before[r].scores.size(); ++l) {
      const double x = before[r].scores[l], y = after[r].scores[l];
      EXPECT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << "row " << r << ", key " << l << ": " << x << ", " << y;
    }
  }
  return compared;
}

TEST(ExpressionTexts, EveryExampleReadsBackAsItself) {
  int examples = 0;
  for (const auto& file : std::filesystem::directory_iterator(FLEXJIT_SOURCE_DIR "/dsl-examples")) {
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    const Lowered ir = lowered(text.str());
    const ExpressionTexts texts(ir.program, ir.interface);
    std::string printed, line;
    while (std::getline(text, line))
      if (line.starts_with("buffer") || line.starts_with("param") || line.starts_with("const")) printed += line + "\n";
    if (ir.program.score().valid()) printed += "score = " + texts[ir.program.score()] + "\n";
    if (ir.program.mask().valid()) printed += "mask = " + texts[ir.program.mask()] + "\n";
    if (std::regex_search(printed, std::regex("%\\d"))) continue;  // too long to be written out
    ++examples;
    SCOPED_TRACE(printed);
    const Lowered back = lowered(printed);
    std::size_t compared = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) compared += expect_same_values(ir, back, seed);
    EXPECT_GT(compared, 0U);
  }
  EXPECT_GT(examples, 40);
}

}  // namespace
}  // namespace flexjit::ir::test
