// Where the nodes of a program stand in files that a debugger can open. A kernel with it carries debug information; its
// instructions are the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flexjit::plan {

// Which of the two functions of a pattern a node belongs to.
enum class Mod : std::uint8_t { kScore, kMask };

struct SourcePosition {
  std::uint32_t file = 0;  // index into DebugSource::files
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  Mod mod = Mod::kScore;
  bool operator==(const SourcePosition&) const = default;
};

struct DebugSource {
  std::vector<std::string> files;                    // absolute paths, at least one
  std::vector<std::optional<SourcePosition>> nodes;  // by node
  bool operator==(const DebugSource&) const = default;
};

}  // namespace flexjit::plan
