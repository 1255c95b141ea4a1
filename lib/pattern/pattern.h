// AttentionSpec -> everything about it that no call changes: the lowered programs, the interface that binding needs, the key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cache/kernel_cache.h"
#include "diagnostics/report.h"
#include "dsl/parse/source.h"
#include "flexjit/engine_options.h"
#include "flexjit/spec.h"
#include "ir/program/interface.h"
#include "ir/program/program.h"
#include "pattern/linear_pattern.h"
#include "plan/kernel_key.h"
#include "plan/target.h"
#include "support/precision.h"

namespace flexjit::engine {

inline constexpr std::int32_t kMaxHeadDim = 1024;

struct Pattern {
  ir::Program lowered;  // as the text and the flags say it, every read checked: what the reference interprets
  ir::Program program;  // simplified, reads proved: what the kernel computes
  ir::Interface interface;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;
  double scale = 1;
  plan::ElementTypes types;
  plan::Weights weights = plan::Weights::kSoftmax;
  std::optional<LinearPattern> linear{};  // of linear weights
  cache::SharedKey key;  // null where the reference computes: its backend, or linear weights under a mask that no nest has
  std::string name;      // see pattern_name.h
  Diagnostics warnings;  // of the texts
  dsl::Source source;    // the spec's text, without those of flags
};

// What the floats of a spec's texts are.
support::Precision precision_of(const AttentionSpec& spec);

// Element types with their defaults filled in.
plan::ElementTypes types_of(const AttentionSpec& spec);

// The spec's text in the form that the front end takes, where it is C++ after its translation. The spec has at most one form.
// Feature maps are not in it.
struct TextSource {
  dsl::Source source;
  Diagnostics warnings{};  // of the translation
};
Result<TextSource> source_of(const AttentionSpec& spec);
// The spec's text, `source`, lowered, with the feature map of linear weights; and findings.
Result<ir::Lowered> lower_spec(const AttentionSpec& spec, const dsl::Source& source);
// What is linear about a pattern of linear weights; its programs are there. Adds a warning where no nest has its mask.
void make_linear(const AttentionSpec& spec, Pattern& pattern, Report& report);

// lowered -> simplified, with the reads proved that can be.
ir::Program optimise(const ir::Program& lowered, const ir::Interface& interface);

// What a pattern is prepared for: to be run by this machine, or only to be looked at, for any target.
enum class Purpose : std::uint8_t { kRun, kShow };

// Parses, checks, lowers, composes with the flags, simplifies and plans. All diagnostics of the spec at once.
Result<std::shared_ptr<const Pattern>> prepare_pattern(const AttentionSpec& spec, const EngineOptions& options,
                                                       Purpose purpose);

// The key of the pattern's own kernel for a target.
plan::KernelKey prefill_key_of(const Pattern& pattern, const plan::Target& target);

// Equality and hash over every field of a spec, for the map from specs to patterns. A NaN scale equals itself.
struct SpecEqual {
  bool operator()(const AttentionSpec& a, const AttentionSpec& b) const;
};
struct SpecHash {
  std::size_t operator()(const AttentionSpec& spec) const;
};

}  // namespace flexjit::engine
