// PyTorch's own results (golden/README.md): which there are, and their tensors.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "data/npy.h"

namespace flexjit::conformance {

inline const std::filesystem::path kGolden = std::filesystem::path(FLEXJIT_SOURCE_DIR) / "tests/conformance/golden";

struct GoldenCase {
  std::string name;
  std::vector<std::string> buffers;
  std::string rows;                         // of the checklist, that it shows
  std::vector<std::string> differentiated;  // those of the buffers that have a gradient
  friend void PrintTo(const GoldenCase& golden, std::ostream* out) { *out << golden.name; }
};

inline std::vector<GoldenCase> golden_cases() {
  std::ifstream file(kGolden / "index.json");
  const nlohmann::json index = nlohmann::json::parse(file);
  std::vector<GoldenCase> cases;
  for (const auto& pattern : index.at("patterns")) {
    cases.push_back({pattern.at("name"), pattern.at("buffers"), pattern.value("rows", ""), pattern.at("gradients")});
  }
  return cases;
}

inline tools::Array load_golden(const std::string& file) { return tools::read_npy((kGolden / file).string()).value(); }

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace flexjit::conformance
