// Files -> sources, plus the few texts that are too long to be files.
#include "source_files.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "dsl/parse/lexer.h"
#include "dsl/vocabulary/vocabulary.h"
#include "sources.h"

namespace flexjit::dsl_test {
namespace {

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

Scalar zero_of(const std::string& type) {
  if (type == "float") return 0.0f;
  if (type == "bool") return false;
  return std::int32_t{0};
}

dsl::Source string_form(const std::string& name, const std::string& text) {
  dsl::Source source;
  bool is_mask = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string mark, what, declared, type;
    int rank = 0;
    words >> mark >> what;
    if (mark != "#|") continue;
    if (what == "mask") is_mask = true;
    if (what == "buffer" && words >> declared >> type >> rank) {
      source.buffers.push_back({declared, dsl::find_dtype(type).value(), rank});
    }
    if (what == "param" && words >> declared >> type) source.params.push_back({declared, zero_of(type)});
  }
  (is_mask ? source.mask : source.score) = dsl::SourceText{name, text};
  return source;
}

std::vector<NamedSource> generated_sources() {
  std::string doubling = "def f0(x) = x + x\n";
  for (int i = 0; i < 20; ++i) {
    const std::string callee = "f" + std::to_string(i) + "(x)";
    doubling += "def f" + std::to_string(i + 1) + "(x) = " + callee + " + " + callee + "\n";
  }
  return {
      {"source-too-long", file("score = score" + std::string(dsl::kMaxSourceBytes, ' '))},
      {"too-complex-inlining", file(doubling + "score = f20(score)\n")},
      {"too-deep-brackets", score(repeated("(", 201) + "score" + repeated(")", 201))},
      {"too-deep-chain", score(repeated("score + ", 1000) + "score")},
      {"too-deep-minus", score(repeated("- ", 201) + "score")},
      {"too-many-errors", score("(" + repeated("x + ", 21) + "x)")},
  };
}

}  // namespace

std::filesystem::path diagnostics_folder() { return std::filesystem::path(FLEXJIT_DSL_TESTS) / "diagnostics"; }

std::string read_text(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<NamedSource> diagnostic_sources() {
  std::vector<NamedSource> sources = generated_sources();
  for (const auto& entry : std::filesystem::directory_iterator(diagnostics_folder())) {
    const std::string name = entry.path().filename().string();
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".flex") {
      sources.push_back({stem, file(read_text(entry.path()))});
      sources.back().source.file->name = name;
    } else if (entry.path().extension() == ".expr") {
      sources.push_back({stem, string_form(name, read_text(entry.path()))});
    }
  }
  std::sort(sources.begin(), sources.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return sources;
}

}  // namespace flexjit::dsl_test
