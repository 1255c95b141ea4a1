// What `flexjit explain` found: data for the text and the JSON, and the steps that find it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "command_line/options.h"
#include "data/bind.h"
#include "data/problem.h"
#include "explain/compare.h"
#include "flexjit/anatomy.h"
#include "flexjit/engine.h"
#include "measure/limit.h"

namespace flexjit::tools {

// What is spared where something is left out or changed.
struct Cost {
  double percent = 0;             // of the run
  double noise_percent = 0;       // a cost below it may be none
  double ns_per_1000_scores = 0;  // of the scores that are computed

  // What cannot be told from nothing.
  double least_percent() const { return std::max(kLeastPercent, noise_percent); }
  bool is_measurable() const { return percent > least_percent(); }
  // The run is faster with the part than without it, as code around it changes too.
  bool is_gain() const { return percent < -least_percent(); }

  static constexpr double kLeastPercent = 0.5;
};

// What a part of a mask does to the amount of work.
struct Skipping {
  double times_longer = 1;          // the run takes without it
  std::int64_t scores_without = 0;  // that are computed without it
};

struct PartCost {
  std::optional<Cost> cost;          // absent: not measured, see `why_not`
  std::optional<Skipping> skipping;  // of parts of the mask
  std::string why_not;
};

// Of a captured buffer, in a backward pass that leaves its gradient out.
struct GradientCost {
  std::string buffer;
  Cost cost;
};

enum class Rule : std::uint8_t {
  kConstantDivisor,    // a param that divides could be a const
  kGather,             // a read for every score that is not of neighbouring elements
  kOpaqueMask,         // blocks are decided by evaluating elements, because buffers hide the mask's structure
  kKeptBlockMask,      // each call derives the same block mask
  kHoistable,          // a function for every score that does not depend on the score
  kUnprovedRead,       // declared extents would spare the check
  kRaggedValues,       // v_head_dim is no multiple of the vector
  kWideKeysAndValues,  // decoding reads fp32 K and V
  kScatteredMask       // many times what the mask allows is computed
};
std::string_view name_of(Rule rule);

struct Advice {
  Rule rule = Rule::kGather;
  std::string text;
  TextPlace place{};           // line 0: not about a place
  std::optional<Cost> gain{};  // of a change that was tried in this run
  std::optional<Cost> cost{};  // of the part that a fact is about

  // Only what was measured to matter, and facts that no part stands for, is worth saying.
  bool is_worth_saying() const { return gain ? gain->is_measurable() : !cost || cost->is_measurable(); }
};

struct Explanation {
  std::string pattern;
  std::string target;
  Sizes sizes;
  DTypeOptions dtypes;
  int threads = 1;
  ExplainedPass pass = ExplainedPass::kForward;
  std::vector<std::string> generated;
  PatternAnatomy anatomy;
  bool has_mask = false;
  BlockCounts blocks;  // of 128 x 128
  BlockMaskReport found;
  std::string note;         // about the mask; empty: none
  std::int64_t scores = 0;  // of all batch entries and heads
  std::int64_t scores_computed = 0;
  std::int64_t allowed_pairs = 0;  // of the scores
  double run_ms = 0;
  Work work;
  Limit limit;
  std::vector<PartCost> costs;                // by part of the anatomy
  std::vector<GradientCost> gradients;        // of a backward pass
  std::optional<std::size_t> most_expensive;  // part
  std::vector<Advice> advice;                 // whatever was looked at; not all is worth saying
};

// The pattern that is explained, compiled and bound; what the steps share.
struct Subject {
  const RunOptions& options;
  const Progress& progress;
  double seconds = 0;  // that measuring may take
  ExplainedPass pass = ExplainedPass::kForward;
  Engine engine;
  AttentionSpec spec{};
  Problem problem{};
  std::optional<Attention> attention{};
  BoundNames names{};
  std::optional<BlockMask> blocks{};  // 128 x 128

  Outputs outputs{};

  Contender contender(Attention other) {
    return {.attention = std::move(other),
            .problem = &problem,
            .outputs = &outputs,
            .bindings = &names.bindings,
            .training = pass == ExplainedPass::kBackward ? std::make_shared<Training>() : nullptr};
  }
};

Cost cost_of(const Comparison& comparison);

// What each part costs, the costly ones in more detail. Errors: those of the pattern's own run.
Diagnostics measure_parts(Subject& subject, Explanation& explanation);

// Of a backward pass, what the gradient of each captured buffer costs.
Diagnostics measure_gradients(Subject& subject, Explanation& explanation);

// What would make it faster. Fills `advice`.
Diagnostics find_advice(Subject& subject, Explanation& explanation);

void print_explanation(const Explanation& explanation, Output output);

}  // namespace flexjit::tools
