// How long a C++ text takes to become a program (docs/cxx.md), in a process that reads none before and in one that has read
// some: "first" holds the opening of libflexjit-cxx as well. Milliseconds, as JSON. Arguments: how many processes and, in each,
// texts (20).
//
// The program starts itself for each process.
#include <flexjit/flexjit.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Functions that differ, of the size that people write: alibi, a window and a soft cap, documents, a neighbourhood in two
// dimensions.
constexpr std::array<std::string_view, 4> kTexts = {
    "float score_mod(float score, int h, int q_idx, int kv_idx, [[flexjit::extents(\"num_heads\")]] const float* slope) {{\n"
    "  return score - slope[h] * float(q_idx - kv_idx + {});\n}}\n",
    "float score_mod(float score) {{ return {0}.0f * std::tanh(score / {0}.0f); }}\n"
    "bool mask_mod(int q_idx, int kv_idx) {{ const int d = q_idx - kv_idx; return d >= 0 && d < {0}; }}\n",
    "bool mask_mod(int q_idx, int kv_idx, [[flexjit::extents(\"q_len\")]] const int* doc) {{\n"
    "  if (doc[q_idx] != doc[kv_idx]) return false;\n  return q_idx >= kv_idx || kv_idx < {};\n}}\n",
    "struct Place {{ int row, column; }};\n"
    "constexpr Place place_of(int i) {{ return {{i / {0}, i % {0}}}; }}\n"
    "bool mask_mod(int q_idx, int kv_idx) {{\n  const Place q = place_of(q_idx), kv = place_of(kv_idx);\n"
    "  return std::abs(q.row - kv.row) <= 3 && std::abs(q.column - kv.column) <= 3;\n}}\n"};

double ms_of_text(std::size_t number) {
  flexjit::AttentionSpec spec;
  spec.language = flexjit::TextLanguage::kCxx;
  spec.program = fmt::format(fmt::runtime(kTexts[number % kTexts.size()]), 2 + number);
  const Clock::time_point begin = Clock::now();
  const auto made = flexjit::as_program(spec);
  const double took = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  if (!made) {
    fmt::print(stderr, "cxx_texts: {}", flexjit::render(made.diagnostics()));
    std::exit(1);
  }
  return took;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string row(const char* name, const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("  \"{}\": {{\"median_ms\": {:.2f}, \"min_ms\": {:.2f}, \"max_ms\": {:.2f}, \"count\": {}}}", name,
                     median(values), *least, *most, values.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--process") {
    for (std::size_t i = 0; i < std::strtoul(argv[2], nullptr, 10); ++i) fmt::print("{:.4f}\n", ms_of_text(i));
    return 0;
  }
  const unsigned long count = argc > 1 ? std::max(2UL, std::strtoul(argv[1], nullptr, 10)) : 20;
  std::vector<double> first, later;
  for (unsigned long process = 0; process < count; ++process) {
    std::FILE* lines = ::popen(fmt::format("'{}' --process {}", argv[0], count).c_str(), "r");
    if (lines == nullptr) return 1;
    double ms = 0;
    for (int line = 0; std::fscanf(lines, "%lf", &ms) == 1; ++line) (line == 0 ? first : later).push_back(ms);
    if (::pclose(lines) != 0) return 1;
  }
  fmt::print("{{\n{},\n{}\n}}\n", row("first", first), row("later", later));
}
