// The flags of a spec -> texts of the language, composed with the caller's text into one pattern. Nothing behind this knows
// that there are flags.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diagnostics/report.h"
#include "dsl/parse/source.h"
#include "flexjit/spec.h"
#include "ir/program/interface.h"

namespace flexjit::engine {

// Where a flag's text stands: the mask tensor is added to the score that the caller's text has made.
enum class FlagPlace : std::uint8_t { kBeforeText, kAfterText };

// A number of the spec that is a param of the flag's text.
struct FlagValue {
  std::string_view name;
  Scalar value;
  ir::ParamDomain domain;
};

struct Flag {
  std::string name;  // of the field of AttentionSpec
  std::string text;  // a program in the file form
  std::vector<std::string_view> tensors{};
  std::vector<FlagValue> values{};
  FlagPlace place = FlagPlace::kBeforeText;
  support::Precision precision = support::Precision::kFp32;
  // In the place of a text, which is then empty: the language has no words for it.
  std::optional<DropoutGenerator> generator{};

  bool uses(std::string_view declared) const;
  dsl::Source source() const;
};

// Those that the spec sets, in the order in which they apply. What is wrong with their fields is found by compose_flags.
std::vector<Flag> flags_of(const AttentionSpec& spec);

// The caller's lowered text with the flags around it. Reports values that a flag cannot have and names that it shares with the
// text; the result is then `text` alone.
ir::Lowered compose_flags(const AttentionSpec& spec, ir::Lowered text, Report& report);

// Reports a value that the param cannot have.
void check_domain(const ir::ParamInterface& param, const Scalar& value, Report& report);

}  // namespace flexjit::engine
