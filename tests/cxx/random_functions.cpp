#include "random_functions.h"

#include <fmt/format.h>

#include <array>
#include <random>
#include <vector>

namespace flexjit::cxx_test {
namespace {

class Writer {
 public:
  explicit Writer(std::uint64_t seed) : random_(seed) {}

  std::string run() {
    std::string body = "  int r = 0;\n";
    const int statements = 2 + number(4);
    for (int i = 0; i < statements; ++i) body += statement(2);
    return body + fmt::format("  return r ^ static_cast<int>({});\n", any(3));
  }

 protected:
  int number(int count) { return static_cast<int>(random_() % static_cast<std::uint64_t>(count)); }
  template <std::size_t kSize>
  const char* pick(const std::array<const char*, kSize>& from) {
    return from[static_cast<std::size_t>(number(static_cast<int>(kSize)))];
  }

  std::string statement(int depth) {
    switch (number(depth > 0 ? 7 : 3)) {
      case 0:
        return fmt::format("  r = static_cast<int>(static_cast<unsigned>(r) * 31u + static_cast<unsigned>({}));\n", any(2));
      case 1: {
        const char* type = pick(kTypes);
        const int name = count_++;
        std::string made = fmt::format("  {0} v{1} = static_cast<{0}>({2});\n", type, name, any(2));
        return made + fmt::format("  r ^= static_cast<int>(v{});\n", name);
      }
      case 2: return fmt::format("  r {}= static_cast<int>({});\n", pick(kAssigned), any(2));
      case 3:
        return fmt::format("  if ({}) {{\n{}  }} else {{\n{}  }}\n", condition(2), statement(depth - 1), statement(depth - 1));
      case 4: {
        const int name = count_++;
        const char* early = pick(kEarly);
        return fmt::format("  for (int i{0} = 0; i{0} < {1}; ++i{0}) {{\n    if ({2}) {3}\n  {4}    r += i{0};\n  }}\n", name,
                           1 + number(4), condition(1), early, statement(depth - 1));
      }
      case 5: return fmt::format("  if ({}) return r;\n", condition(2));
      default:
        return fmt::format(
            "  switch (static_cast<unsigned>({}) % 4u) {{ case 0: {{ {} break; }} case 2: {{ {} }} default: {{ {} }} }}\n",
            any(1), statement(0), statement(0), statement(0));
    }
  }

  std::string condition(int depth) {
    switch (number(depth > 0 ? 4 : 1)) {
      case 0: return fmt::format("{} {} {}", any(1), pick(kCompared), any(1));
      case 1: return fmt::format("({}) && ({})", condition(depth - 1), condition(depth - 1));
      case 2: return fmt::format("({}) || ({})", condition(depth - 1), condition(depth - 1));
      default: return fmt::format("!({})", condition(depth - 1));
    }
  }

  // Of any arithmetic type, small where it is signed.
  std::string any(int depth) {
    if (depth <= 0) return leaf();
    switch (number(9)) {
      case 0: return fmt::format("({} {} {})", small(depth - 1), pick(kSums), small(depth - 1));
      case 1: return fmt::format("({} {} {})", wrapping(depth - 1), pick(kWrapping), wrapping(depth - 1));
      case 2: return fmt::format("({} {} ({} | 1))", small(depth - 1), pick(kDivisions), small(depth - 1));
      case 3: return fmt::format("({} {} ({} | 1u))", wrapping(depth - 1), pick(kDivisions), wrapping(depth - 1));
      case 4: return fmt::format("({} >> {})", any(depth - 1), number(7));
      case 5:
        return fmt::format("({} {} (static_cast<unsigned>({}) & 15u))", wrapping(depth - 1), pick(kShifts), any(depth - 1));
      case 6: return fmt::format("({} ? {} : {})", condition(1), any(depth - 1), any(depth - 1));
      case 7: return fmt::format("static_cast<{}>({})", pick(kTypes), any(depth - 1));
      default: return fmt::format("({})", condition(1));
    }
  }

  std::string small(int depth) { return fmt::format("static_cast<{}>({})", pick(kSmall), any(depth)); }
  std::string wrapping(int depth) { return fmt::format("static_cast<{}>({})", pick(kUnsigned), any(depth)); }

  std::string leaf() {
    switch (number(5)) {
      case 0: return "q_idx";
      case 1: return "kv_idx";
      case 2: return "(q_idx - kv_idx)";
      case 3: return fmt::format("{}", number(2000) - 1000);
      default: return fmt::format("{}u", random_() & 0xffffffffU);
    }
  }

 private:
  static constexpr std::array<const char*, 9> kTypes = {
      "int", "unsigned", "signed char", "unsigned char", "short", "unsigned short", "long", "unsigned long", "bool"};
  static constexpr std::array<const char*, 4> kSmall = {"signed char", "unsigned char", "short", "bool"};
  static constexpr std::array<const char*, 2> kUnsigned = {"unsigned", "unsigned long"};
  static constexpr std::array<const char*, 3> kSums = {"+", "-", "*"};
  static constexpr std::array<const char*, 6> kWrapping = {"+", "-", "*", "&", "|", "^"};
  static constexpr std::array<const char*, 2> kDivisions = {"/", "%"};
  static constexpr std::array<const char*, 2> kShifts = {"<<", ">>"};
  static constexpr std::array<const char*, 6> kCompared = {"<", "<=", ">", ">=", "==", "!="};
  static constexpr std::array<const char*, 3> kAssigned = {"^", "&", "|"};
  static constexpr std::array<const char*, 2> kEarly = {"break;", "continue;"};

  std::mt19937_64 random_;

 protected:
  int count_ = 0;
};

// Every value is a float, and no operation's result is kept in more digits.
class FloatWriter : Writer {
 public:
  explicit FloatWriter(std::uint64_t seed) : Writer(seed) {}

  std::string run() {
    std::string body = "  const float x = kValues[q_idx & 7], y = kValues[kv_idx & 7];\n  float r = x;\n";
    const int statements = 2 + number(4);
    for (int i = 0; i < statements; ++i) body += float_statement(2);
    return body + fmt::format("  return r + {};\n", real(3));
  }

 private:
  std::string float_statement(int depth) {
    switch (number(depth > 0 ? 6 : 3)) {
      case 0: return fmt::format("  r {}= {};\n", pick(kOperators), real(2));
      case 1: return fmt::format("  r = {};\n", real(3));
      case 2: {
        const int name = count_++;
        return fmt::format("  int n{0} = {1};\n  r += n{0};\n", name, cut(2));
      }
      case 3:
        return fmt::format("  if ({}) {{\n{}  }} else {{\n{}  }}\n", real_condition(2), float_statement(depth - 1),
                           float_statement(depth - 1));
      case 4: {
        const int name = count_++;
        return fmt::format(
            "  for (int i{0} = 0; i{0} < {1}; ++i{0}) {{\n    if ({2}) break;\n  {3}    r += 0.5f * i{0};\n  }}\n", name,
            1 + number(4), real_condition(1), float_statement(depth - 1));
      }
      default: return fmt::format("  if ({}) return r;\n", real_condition(2));
    }
  }

  std::string real_condition(int depth) {
    switch (number(depth > 0 ? 7 : 2)) {
      case 0: return fmt::format("{} {} {}", real(1), pick(kCompared), real(1));
      case 1: return fmt::format("{} {} {}", real(1), pick(kCompared), leaf());
      case 2: return fmt::format("({}) && ({})", real_condition(depth - 1), real_condition(depth - 1));
      case 3: return fmt::format("({}) || ({})", real_condition(depth - 1), real_condition(depth - 1));
      case 4: return fmt::format("!({})", real_condition(depth - 1));
      case 5: return fmt::format("{}({})", pick(kTests), real(1));
      default: return fmt::format("static_cast<bool>({})", real(1));
    }
  }

  std::string real(int depth) {
    if (depth <= 0) return real_leaf();
    switch (number(9)) {
      case 0:
      case 1: return fmt::format("({} {} {})", real(depth - 1), pick(kOperators), real(depth - 1));
      case 2: return fmt::format("(-{})", real(depth - 1));
      case 3: return fmt::format("({} ? {} : {})", real_condition(1), real(depth - 1), real(depth - 1));
      case 4: return fmt::format("{}({})", pick(kFunctions), real(depth - 1));
      case 5: return fmt::format("static_cast<float>({})", any(depth - 1));
      case 6: return fmt::format("({} {} {})", real(depth - 1), pick(kOperators), any(1));
      case 7: return fmt::format("static_cast<float>({})", cut(depth - 1));
      default:
        return fmt::format("static_cast<float>(static_cast<double>({}) {} {})", real(depth - 1), pick(kOperators),
                           real(depth - 1));
    }
  }

  // NaN becomes the least.
  std::string cut(int depth) {
    return fmt::format("static_cast<{}>(std::fmin(std::fmax({}, 0.0f), 30000.0f){})", pick(kIntegers), real(depth),
                       number(2) == 0 ? "" : " / 2");
  }

  std::string real_leaf() {
    switch (number(4)) {
      case 0: return "x";
      case 1: return "y";
      case 2: return pick(kLiterals);
      default: return fmt::format("static_cast<float>({})", leaf());
    }
  }

  static constexpr std::array<const char*, 4> kOperators = {"+", "-", "*", "/"};
  static constexpr std::array<const char*, 6> kCompared = {"<", "<=", ">", ">=", "==", "!="};
  static constexpr std::array<const char*, 3> kTests = {"std::isnan", "std::isinf", "std::isfinite"};
  static constexpr std::array<const char*, 7> kFunctions = {"std::floor", "std::ceil", "std::trunc", "std::round",
                                                            "std::fabs",  "std::abs",  "std::sqrt"};
  static constexpr std::array<const char*, 5> kIntegers = {"int", "unsigned", "short", "long", "unsigned short"};
  static constexpr std::array<const char*, 6> kLiterals = {"0.1f", "(-2.5f)", "1e-3f", "16777216.0f", "3.0f", "1e30f"};
};

}  // namespace

std::string random_function(std::uint64_t seed) { return Writer(seed).run(); }

std::string random_float_function(std::uint64_t seed) { return FloatWriter(seed).run(); }

const char* const kFloatValues =
    "constexpr float kValues[8] = {0.0f, 1.5f, -2.75f, 1e-3f, 8388609.0f, -1e20f, INFINITY, NAN};\n";

}  // namespace flexjit::cxx_test
