// Random programs as text, what they capture, and how a failing one is made smaller.
#include <algorithm>
#include <bit>
#include <cstring>

#include "random_expression.h"

namespace flexjit::conformance {
namespace {

constexpr std::string_view kPrelude =
    "param small : int = 3; param large : int = 100000; param slope : float = 0.25; param flag : bool = true\n"
    "const factor : int = 3\n"
    "buffer f1 : f32[?]; buffer f2 : f32[num_heads, kv_len]; buffer f3 : f32[batch_size, q_len, 7]\n"
    "buffer f4 : f32[batch_size, num_heads, q_len, kv_len]; buffer i1 : i32[40]; buffer i2 : i64[q_len, 3]\n"
    "buffer u1 : u8[kv_len]; buffer s1 : i8[kv_len]; buffer m1 : bool[kv_len]; buffer m2 : bool[q_len, kv_len]\n"
    "buffer bf : bf16[kv_len]; buffer hf : f16[kv_len]; buffer df : f64[kv_len]\n"
    "buffer da : f32[batch_size, q_len, 5]; buffer dc : f32[kv_len, 5]\n"
    "def twist(x, y) = (x * factor - y) % 11\n"
    "def softcap(x, cap) = cap * tanh(x / cap)\n";

template <typename T>
std::vector<unsigned char> bytes_of(const std::vector<T>& values) {
  std::vector<unsigned char> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Eighths in [-2, 2], which every float format holds exactly.
std::vector<float> eighths(std::size_t count, Random& random) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.integer(-16, 16)) / 8.0F;
  return values;
}

// For 0 and normal numbers that fp16 holds exactly.
std::uint16_t half_bits(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if (value == 0.0F) return 0;
  std::uint32_t exponent = ((bits >> 23) & 0xFF) - 127 + 15;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3FF));
}

void add_narrow_floats(std::int32_t count, Random& random, Captures& captures) {
  std::vector<std::uint16_t> brain, half;
  std::vector<double> wide;
  for (float value : eighths(static_cast<std::size_t>(count), random)) {
    brain.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
    half.push_back(half_bits(value));
    wide.push_back(static_cast<double>(value) * 1.1);
  }
  captures.add_bytes("bf", DType::kBF16, {count}, bytes_of(brain)).add_bytes("hf", DType::kF16, {count}, bytes_of(half));
  captures.add_bytes("df", DType::kF64, {count}, bytes_of(wide));
}

Expression plain(Kind kind) {
  switch (kind) {
    case Kind::kInt: return {kind, "1", {}, 1, 0};
    case Kind::kFloat: return {kind, "0.5", {}, 0.5, 0};
    case Kind::kBool: return {kind, "true", {}, 1, 0};
  }
  return {};
}

bool no_worse(const Expression& candidate, const Expression& node) {
  return candidate.kind == node.kind && candidate.magnitude <= node.magnitude && candidate.error <= node.error;
}

void collect_simpler(Expression& node, const auto& emit) {
  const Expression whole = node;
  if (!whole.operands.empty()) {
    for (const Expression& operand : whole.operands) {
      if (!no_worse(operand, whole)) continue;
      node = operand;
      emit();
    }
    if (no_worse(plain(whole.kind), whole)) {
      node = plain(whole.kind);
      emit();
    }
    node = whole;
    for (Expression& operand : node.operands) collect_simpler(operand, emit);
  }
}

}  // namespace

std::string text_of(const Expression& expression) {
  if (expression.operands.empty()) return expression.form;
  std::string text;
  for (std::size_t i = 0; i < expression.form.size(); ++i) {
    if (expression.form[i] != '$') {
      text += expression.form[i];
      continue;
    }
    text += text_of(expression.operands[static_cast<std::size_t>(expression.form[++i] - '0')]);
  }
  return "(" + text + ")";
}

std::string text_of(const RandomProgram& program) {
  std::string text(kPrelude);
  for (const NamedExpression& let : program.lets) text += "let " + let.name + " = " + text_of(let.value) + "\n";
  for (const Expression& score : program.score) text += "score = " + text_of(score) + "\n";
  for (const Expression& mask : program.mask) text += "mask = " + text_of(mask) + "\n";
  return text;
}

Captures random_captures(const Shape& shape, Random& random) {
  auto size = [](std::int32_t a, std::int32_t b = 1, std::int32_t c = 1, std::int32_t d = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
           static_cast<std::size_t>(d);
  };
  std::int32_t batch = shape.batch, heads = shape.q_heads, rows = shape.q_len, columns = shape.kv_len;
  Captures captures;
  captures.add("f1", {40}, eighths(40, random)).add("f2", {heads, columns}, random.normals(size(heads, columns)));
  captures.add("f3", {batch, rows, 7}, random.normals(size(batch, rows, 7)));
  captures.add("f4", {batch, heads, rows, columns}, random.normals(size(batch, heads, rows, columns)));
  captures.add("i1", {40}, random.integers(40, -5, 50));
  std::vector<std::int64_t> wide;
  for (std::int32_t value : random.integers(size(rows, 3), -9, 9))
    wide.push_back(value + (value % 2 == 0 ? std::int64_t{1} << 33 : 0));
  captures.add_bytes("i2", DType::kI64, {rows, 3}, bytes_of(wide));
  std::vector<unsigned char> bytes;
  for (std::int32_t value : random.integers(size(columns), 0, 255)) bytes.push_back(static_cast<unsigned char>(value));
  captures.add_bytes("u1", DType::kU8, {columns}, bytes).add_bytes("s1", DType::kI8, {columns}, bytes);
  auto coin = [&](std::size_t count) {
    std::vector<bool> flips(count);
    for (std::size_t i = 0; i < count; ++i) flips[i] = random.chance(0.5);
    return flips;
  };
  captures.add("m1", {columns}, coin(size(columns))).add("m2", {rows, columns}, coin(size(rows, columns)));
  add_narrow_floats(columns, random, captures);
  captures.add("da", {batch, rows, 5}, random.normals(size(batch, rows, 5), 0.5F))
      .add("dc", {columns, 5}, random.normals(size(columns, 5), 0.5F));
  captures.set("small", random.integer(-4, 7)).set("large", random.integer(-2147483647, 2147483647));
  captures.set("slope", static_cast<float>(random.unit())).set("flag", random.chance(0.5));
  return captures;
}

std::vector<RandomProgram> simpler(const RandomProgram& program) {
  std::vector<RandomProgram> found;
  RandomProgram work = program;
  auto emit = [&] { found.push_back(work); };
  if (!work.score.empty() && !work.mask.empty()) {
    work.mask.clear();
    emit();
    work = program;
    work.score.clear();
    emit();
    work = program;
  }
  for (std::size_t i = 0; i < program.lets.size(); ++i) {
    work.lets.erase(work.lets.begin() + static_cast<std::ptrdiff_t>(i));
    emit();
    work = program;
  }
  for (Expression& root : work.score) collect_simpler(root, emit);
  for (Expression& root : work.mask) collect_simpler(root, emit);
  for (NamedExpression& let : work.lets) collect_simpler(let.value, emit);
  return found;
}

}  // namespace flexjit::conformance
