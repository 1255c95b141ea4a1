// One function a rule. A rule that proposes a change tries it and speaks only where the change gained; the others state facts,
// with what the part was measured to cost.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "explain/explanation.h"
#include "explain/trials.h"

namespace flexjit::tools {
namespace {

constexpr std::array<std::string_view, 13> kCostlyFunctions = {"exp", "exp2", "log",  "log2", "log1p", "tanh", "sigmoid",
                                                               "erf", "gelu", "silu", "sin",  "cos",   "pow"};

class Advisor {
 public:
  Advisor(Subject& subject, Explanation& explanation) : subject_(subject), explanation_(explanation), trials_(subject) {}

  Diagnostics run() {
    advise_constants();
    advise_extents();
    advise_kept_mask();
    advise_problem();
    if (Diagnostics errors = trials_.run(explanation_.threads, explanation_.advice); !errors.empty()) return errors;
    for (Advice& unproved : trials_.facts()) {
      const auto cost = cost_at(unproved.place);
      state(std::move(unproved), cost);
    }
    state_gathers();
    state_hoistable();
    state_opaque_mask();
    state_scattered_mask();
    return {};
  }

 private:
  const std::vector<PatternPart>& parts() const { return explanation_.anatomy.parts; }

  // Params that divide in a part that may matter.
  void advise_constants() {
    std::set<std::string> done;
    for (const PatternPart& part : parts()) {
      for (const std::string& name : part.divisors) {
        if (!done.insert(name).second) continue;
        trials_.try_constant(
            {.rule = Rule::kConstantDivisor,
             .text = fmt::format("`{}` divides by the param `{}`, whose value is known only when it runs: make it "
                                 "a const if it rarely changes",
                                 part.text, name),
             .place = part.place},
            name);
      }
    }
  }

  void advise_extents() {
    std::set<std::string> done;
    for (const CapturedRead& read : explanation_.anatomy.reads) {
      if (read.proved || !done.insert(read.buffer).second) continue;
      Advice advice{
          .rule = Rule::kUnprovedRead,
          .text = fmt::format("the reads of `{}` are not proved in range, so each is checked{}", read.buffer,
                              read.loop == Loop::kScore ? "" : ", though only where its index is known, not for every score"),
          .place = read.place};
      trials_.try_extents(std::move(advice), read);
    }
  }

  // A mask that reads no buffer is kept by the handle anyway.
  void advise_kept_mask() {
    const auto& reads = explanation_.anatomy.reads;
    const bool reads_buffers = std::ranges::any_of(reads, [](const CapturedRead& read) { return read.in_mask; });
    if (!explanation_.has_mask || !reads_buffers) return;
    trials_.try_kept_mask({.rule = Rule::kKeptBlockMask,
                           .text =
                               "each call finds its blocks anew, because the mask reads buffers: make the block mask once with "
                               "create_block_mask and give it to the calls that share it"});
  }

  void advise_problem() {
    const std::int64_t lanes = explanation_.anatomy.lanes, width = subject_.problem.sizes.v_head_dim;
    if (width % lanes != 0) {
      trials_.try_v_head_dim(
          {.rule = Rule::kRaggedValues,
           .text = fmt::format("v_head_dim {} is no multiple of the {} elements of a vector: pad v with zeros to {}", width,
                               lanes, (width + lanes - 1) / lanes * lanes)},
          (width + lanes - 1) / lanes * lanes);
    }
    if (subject_.pass == ExplainedPass::kForward && subject_.problem.sizes.q_len <= kDecodeRows &&
        subject_.spec.kv_dtype.value_or(subject_.spec.dtype) == DType::kF32) {
      trials_.try_bf16_keys({.rule = Rule::kWideKeysAndValues,
                             .text = "with few queries the time goes into reading K and V: keep them in bf16, half the bytes"});
    }
  }

  // The part whose text the place is, if it was measured.
  std::optional<Cost> cost_at(const TextPlace& place) const {
    for (std::size_t i = 0; i < parts().size(); ++i) {
      const TextPlace& own = parts()[i].place;
      if (own.line == place.line && own.column == place.column && own.length == place.length) return explanation_.costs[i].cost;
    }
    return std::nullopt;
  }

  // Of what was not measured nothing is said: what it is inside of costs next to nothing.
  void state(Advice advice, const std::optional<Cost>& cost) {
    advice.cost = cost.value_or(Cost{});
    explanation_.advice.push_back(std::move(advice));
  }

  void state_gathers() {
    for (const CapturedRead& read : explanation_.anatomy.reads) {
      if (read.loop != Loop::kScore || read.contiguous) continue;
      state({.rule = Rule::kGather,
             .text = fmt::format(
                 "`{}` is read for every score, each element by itself: only a read whose last index is kv_idx plus "
                 "something that no key changes, and whose other indices no key changes, takes a vector at once",
                 read.buffer),
             .place = read.place},
            cost_at(read.place));
    }
  }

  void state_hoistable() {
    for (std::size_t i = 0; i < parts().size(); ++i) {
      const PatternPart& part = parts()[i];
      const bool costly = std::ranges::find(kCostlyFunctions, part.function) != kCostlyFunctions.end();
      if (!costly || part.depends_on_score || part.loop != Loop::kScore) continue;
      state({.rule = Rule::kHoistable,
             .text = fmt::format(
                 "`{}` does not depend on the score, yet is computed for every one, because it mixes q_idx and kv_idx{}: "
                 "split it into one part of q_idx and one of kv_idx, as exp(a + b) into exp(a) * exp(b), or read it from a "
                 "table",
                 part.text, explanation_.anatomy.decodes ? "" : " other than as kv_idx - q_idx"),
             .place = part.place},
            explanation_.costs[i].cost);
    }
  }

  void state_opaque_mask() {
    const auto evaluated = static_cast<std::int64_t>(explanation_.found.evaluated.size());
    const bool reads_buffers =
        std::ranges::any_of(explanation_.anatomy.reads, [](const CapturedRead& read) { return read.in_mask; });
    if (!reads_buffers || evaluated <= explanation_.found.proved) return;
    explanation_.advice.push_back(
        {.rule = Rule::kOpaqueMask,
         .text =
             fmt::format("only {} blocks are proved full or empty and {} had to be evaluated pair by pair ({:.1f} ms), because "
                         "the mask's structure is hidden in buffers: say what is known of it with positions, as "
                         "`&& q_idx >= kv_idx`, or keep ids that only grow",
                         explanation_.found.proved, evaluated, explanation_.found.build_ms)});
  }

  // The kernel computes what lies in one tile with what is allowed. Below some thousand pairs that is a matter of small sizes.
  void state_scattered_mask() {
    constexpr std::int64_t kTimes = 10, kFewScores = 1 << 16;
    const std::int64_t allowed = explanation_.allowed_pairs, computed = explanation_.scores_computed;
    if (allowed == 0 || computed < kFewScores || computed < kTimes * allowed) return;
    explanation_.advice.push_back(
        {.rule = Rule::kScatteredMask,
         .text = fmt::format(
             "{} scores are computed for the {} that the mask allows, {:.0f} times as many, because those lie scattered and "
             "whole tiles are computed: reorder the tokens so that those which attend to each other are neighbours (for "
             "`(q_idx - kv_idx) % n == 0`, all of one remainder after the other; for a picture, by windows), with q, k, v and "
             "the output in that order",
             computed, allowed, static_cast<double>(computed) / static_cast<double>(allowed))});
  }

  static constexpr std::int64_t kDecodeRows = 8;

  Subject& subject_;
  Explanation& explanation_;
  Trials trials_;
};

}  // namespace

std::string_view name_of(Rule rule) {
  switch (rule) {
    case Rule::kConstantDivisor: return "constant-divisor";
    case Rule::kGather: return "gather";
    case Rule::kOpaqueMask: return "opaque-mask";
    case Rule::kKeptBlockMask: return "kept-block-mask";
    case Rule::kHoistable: return "hoistable";
    case Rule::kUnprovedRead: return "unproved-read";
    case Rule::kRaggedValues: return "ragged-values";
    case Rule::kWideKeysAndValues: return "wide-keys-and-values";
    case Rule::kScatteredMask: return "scattered-mask";
  }
  return "";
}

Diagnostics find_advice(Subject& subject, Explanation& explanation) { return Advisor(subject, explanation).run(); }

}  // namespace flexjit::tools
