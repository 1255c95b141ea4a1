// Functions with a pole or an edge mostly get an argument away from it, so that most values and derivatives are of ordinary
// size.
#include "random_smooth.h"

#include <random>
#include <string_view>
#include <vector>

namespace flexjit::ir::test {
namespace {

// `$` stands for the operands, one after the other.
constexpr std::string_view kLeaves[] = {"score",
                                        "score",
                                        "score",
                                        "score",
                                        "t[kv_idx]",
                                        "t[n[kv_idx] % kv_len]",
                                        "u[q_idx]",
                                        "w[h, (q_idx + kv_idx) % 5]",
                                        "dot(a[q_idx, :], c[kv_idx, :])",
                                        "dot(a[q_idx, :], a[kv_idx % q_len, :])",
                                        "p",
                                        "0.75",
                                        "-1.5",
                                        "float(kv_idx - q_idx) * 0.3"};
constexpr std::string_view kUnary[] = {"tanh($)",
                                       "erf($)",
                                       "sin($)",
                                       "cos($)",
                                       "exp(0.5 * $)",
                                       "exp2(0.5 * $)",
                                       "sigmoid($)",
                                       "silu($)",
                                       "gelu($)",
                                       "relu($)",
                                       "abs($)",
                                       "(-$)",
                                       "sqrt(abs($) + 0.5)",
                                       "log(abs($) + 0.5)",
                                       "log2(abs($) + 0.5)",
                                       "log1p(abs($))",
                                       "rsqrt(abs($) + 0.5)",
                                       "pow(abs($) + 0.5, 1.5)",
                                       "pow($, 3.0)",
                                       "pow($, 2.0)",
                                       "sqrt($)",
                                       "log($)",
                                       "floor($)",
                                       "ceil($)",
                                       "round($)",
                                       "($ % 1.25)",
                                       "float(int($ * 3.0))"};
constexpr std::string_view kBinary[] = {"($ + $)",
                                        "($ + $)",
                                        "($ - $)",
                                        "($ * $)",
                                        "($ * $)",
                                        "($ / (abs($) + 0.5))",
                                        "($ / $)",
                                        "min($, $)",
                                        "max($, $)",
                                        "pow(abs($) + 0.5, $)",
                                        "pow($, $)",
                                        "($ % (abs($) + 0.75))",
                                        "($ // (abs($) + 0.75))"};
constexpr std::string_view kTernary[] = {"clamp($, $, $)", "clamp($, -0.5, 1.0) * $ + $", "min($, $, $)"};
constexpr std::string_view kConditions[] = {"$ > 0.25",
                                            "$ < $",
                                            "!($ > $)",
                                            "kv_idx > q_idx",
                                            "(kv_idx + h) % 2 == 0",
                                            "kv_idx >= 1 && $ < 0.5",
                                            "n[kv_idx] > 3 || $ > 0.0"};

class Writer {
 public:
  explicit Writer(std::uint64_t seed) : random_(seed) {}

  std::string program() {
    std::string text =
        "param p : float = 0.7\nbuffer t : f64[kv_len]\nbuffer u : f64[q_len]\nbuffer w : f64[num_heads, 5]\n"
        "buffer a : f64[q_len, 3]\nbuffer c : f64[kv_len, 3]\nbuffer n : i32[kv_len]\n";
    for (int i = 0; i < 2; ++i) {
      const std::string name = "x" + std::to_string(i);
      text += "let " + name + " = " + real(3) + "\n";
      lets_.push_back(name);
    }
    return text + "score = score * 0.5 + " + real(4) + "\n";
  }

 private:
  std::size_t below(std::size_t limit) { return random_() % limit; }
  template <std::size_t N>
  std::string_view pick(const std::string_view (&from)[N]) {
    return from[below(N)];
  }

  std::string real(int depth) {
    if (!lets_.empty() && below(6) == 0) return lets_[below(lets_.size())];
    if (depth == 0 || below(8) == 0) return std::string(pick(kLeaves));
    switch (below(8)) {
      case 0:
      case 1: return "where(" + filled(pick(kConditions), 1) + ", " + real(depth - 1) + ", " + real(depth - 1) + ")";
      case 2: return filled(pick(kTernary), depth - 1);
      case 3:
      case 4: return filled(pick(kUnary), depth - 1);
      default: return filled(pick(kBinary), depth - 1);
    }
  }

  std::string filled(std::string_view form, int depth) {
    std::string text;
    for (char c : form) {
      if (c == '$') text += real(depth);
      if (c != '$') text += c;
    }
    return text;
  }

  std::mt19937_64 random_;
  std::vector<std::string> lets_;
};

}  // namespace

std::string random_smooth_text(std::uint64_t seed) { return Writer(seed).program(); }

}  // namespace flexjit::ir::test
