// The parts of a kernel, and how its line table names them: an instruction of a part that computes no node has the part's line,
// one that computes a node has the node's, and in both cases the part's column.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ir/program/program.h"

namespace flexjit::plan {

enum class Part : std::uint8_t {
#define FLEXJIT_PART(name, title, meaning) k##name,
#include "plan/kernel_parts.def"
#undef FLEXJIT_PART
};

inline constexpr std::string_view kPartTitles[] = {
#define FLEXJIT_PART(name, title, meaning) title,
#include "plan/kernel_parts.def"
#undef FLEXJIT_PART
};
inline constexpr std::string_view kPartMeanings[] = {
#define FLEXJIT_PART(name, title, meaning) meaning,
#include "plan/kernel_parts.def"
#undef FLEXJIT_PART
};
inline constexpr std::uint32_t kPartCount = std::size(kPartTitles);

constexpr std::string_view title_of(Part part) { return kPartTitles[static_cast<std::size_t>(part)]; }

// Where an instruction comes from.
struct Provenance {
  Part part = Part::kLoops;
  std::optional<ir::Id> node{};
  bool operator==(const Provenance&) const = default;
};

// Line 0 means "nowhere" in a line table.
constexpr std::uint32_t line_of(const Provenance& from) {
  return from.node ? 1 + kPartCount + from.node->index : 1 + static_cast<std::uint32_t>(from.part);
}
constexpr std::uint32_t column_of(const Provenance& from) { return 1 + static_cast<std::uint32_t>(from.part); }
constexpr std::optional<Provenance> provenance_of(std::uint32_t line, std::uint32_t column) {
  if (line == 0 || column == 0 || column > kPartCount) return std::nullopt;
  Provenance from{.part = static_cast<Part>(column - 1)};
  if (line > kPartCount) from.node = ir::Id{line - 1 - kPartCount};
  return from;
}

}  // namespace flexjit::plan
