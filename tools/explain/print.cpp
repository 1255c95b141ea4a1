// Numbers of one run, in plain sentences for people and as one JSON object for programs.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands/report.h"
#include "explain/explanation.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

double percent(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string sentence_of(Loop loop, bool decodes) {
  switch (loop) {
    case Loop::kTile: return decodes ? "once a kv head and range of keys" : "once a tile of query rows";
    case Loop::kRow: return "once a query row of a tile";
    case Loop::kColumn: return "once a key of a tile";
    case Loop::kDiagonal: return "once a diagonal (kv_idx - q_idx) of a tile";
    case Loop::kScore: return "for every score";
  }
  return "";
}

std::string shortened(const std::string& text) {
  constexpr std::size_t kWidth = 72;
  return text.size() <= kWidth ? text : text.substr(0, kWidth - 3) + "...";
}

class Text {
 public:
  explicit Text(const Explanation& explanation) : e_(explanation), parts_(explanation.anatomy.parts) {}

  void print() const {
    const Sizes& s = e_.sizes;
    fmt::print("{}: batch {}, heads {} (kv {}), q_len {}, kv_len {}, head_dim {}, v_head_dim {}, {}, {} thread{}\n", e_.pattern,
               s.batch, s.heads, s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.v_head_dim, name_of(e_.dtypes.q), e_.threads,
               e_.threads == 1 ? "" : "s");
    for (const std::string& buffer : e_.generated) fmt::print("generated {}\n", buffer);
    print_skipped();
    print_fused();
    print_costs();
    print_gradients();
    print_most_expensive();
    print_advice();
  }

 private:
  void print_skipped() const {
    fmt::print("\nSkipped\n");
    if (!e_.has_mask) return fmt::print("  Nothing: without a mask every score is computed.\n");
    const std::int64_t all = e_.blocks.full + e_.blocks.partial + e_.blocks.empty;
    fmt::print(
        "  Of {} blocks of 128 x 128 pairs, {} are full, {} partial and {} empty. {:.1f} % of the scores are not computed.\n",
        all, e_.blocks.full, e_.blocks.partial, e_.blocks.empty, percent(e_.scores - e_.scores_computed, e_.scores));
    if (!e_.note.empty()) fmt::print("  Note: {}.\n", e_.note);
    const std::size_t evaluated = e_.found.evaluated.size();
    fmt::print("  {} full or empty blocks were proved by interval arithmetic; ", e_.found.proved);
    if (evaluated == 0) return fmt::print("no pair had to be evaluated.\n");
    fmt::print("of {} blocks, pairs were evaluated ({:.2f} ms in all).\n", evaluated, e_.found.build_ms);
  }

  // The outermost parts, and inside them what is computed less often.
  void print_fused() const {
    fmt::print("\nFused into the kernel\n");
    if (parts_.empty()) return fmt::print("  Nothing: this is plain attention.\n");
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const PatternPart& part = parts_[i];
      if (!is_shown_as_fused(part) || !part.loop) continue;
      const char* only = part.decides_mask && part.loop == Loop::kScore ? ", in partial blocks alone" : "";
      fmt::print("  {}{}: `{}`\n", sentence_of(*part.loop, e_.anatomy.decodes), only, shortened(part.text));
    }
    for (const CapturedRead& read : e_.anatomy.reads) {
      const char* how = read.loop != Loop::kScore ? "" : read.contiguous ? ", a vector of keys at once" : ", key by key";
      fmt::print("  `{}` is read {}{}, {}\n", read.buffer, sentence_of(read.loop, e_.anatomy.decodes), how,
                 read.proved ? "proved in range" : "each index checked");
    }
  }

  bool is_shown_as_fused(const PatternPart& part) const {
    if (part.parent < 0) return true;
    const std::optional<Loop>& outer = parts_[static_cast<std::size_t>(part.parent)].loop;
    return part.role != PartRole::kDivision && outer && part.loop && *part.loop != *outer;
  }

  void print_costs() const {
    fmt::print("\nWhat it costs: {:.3f} ms{} a {}, {:.0f} ns per 1000 computed scores\n", e_.run_ms,
               e_.threads == 1 ? " of processor time" : "", e_.pass == ExplainedPass::kBackward ? "backward pass" : "run",
               e_.scores_computed > 0 ? e_.run_ms * 1e9 / static_cast<double>(e_.scores_computed) : 0);
    fmt::print("  {}\n", e_.limit.text_of(e_.work, e_.run_ms));
    // By processor time the run of one thread does not suffer from others.
    const std::string warning = e_.threads == 1 && e_.limit.processors >= 1 ? "" : e_.limit.warning(e_.threads);
    if (!warning.empty()) fmt::print("  Warning: {}.\n", warning);
    if (parts_.empty()) return;
    fmt::print("     of run   ns/1000   part (how the run changes without it)\n");
    print_below(-1, 0);
  }

  void print_below(std::int32_t parent, int depth) const {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].parent != parent) continue;
      const PartCost& cost = e_.costs[i];
      if (cost.cost || !cost.why_not.empty()) print_cost(i, depth);
      print_below(static_cast<std::int32_t>(i), depth + 1);
    }
  }

  void print_cost(std::size_t i, int depth) const {
    const PatternPart& part = parts_[i];
    const PartCost& cost = e_.costs[i];
    const std::string what = fmt::format("{:{}}{} `{}`", "", 2 * depth, name_of(part.role), shortened(part.text));
    if (!cost.cost)
      fmt::print("          -         -   {} ({})\n", what, cost.why_not);
    else if (cost.cost->is_gain())
      fmt::print("   {:5.1f} %         -   {} (the run is faster with it)\n", cost.cost->percent, what);
    else if (cost.cost->percent < 0)
      fmt::print("      none         -   {}\n", what);
    else if (!cost.cost->is_measurable())
      fmt::print("  <{:5.1f} %         -   {}\n", cost.cost->least_percent(), what);
    else
      fmt::print("   {:5.1f} %  {:8.1f}   {}\n", cost.cost->percent, cost.cost->ns_per_1000_scores, what);
    if (!cost.skipping) return;
    fmt::print(
        "                        {:{}}without it the run takes {:.2f} times as long and computes {:.2f} times the scores\n", "",
        2 * depth, cost.skipping->times_longer,
        static_cast<double>(cost.skipping->scores_without) / static_cast<double>(e_.scores_computed));
  }

  void print_gradients() const {
    if (e_.gradients.empty()) return;
    fmt::print("\nGradients of captured buffers\n");
    for (const GradientCost& gradient : e_.gradients) {
      const std::string cost = gradient.cost.is_measurable() ? fmt::format("{:5.1f} %", gradient.cost.percent)
                                                             : fmt::format("<{:.1f} %", gradient.cost.least_percent());
      fmt::print("   {:>7}   that of `{}`\n", cost, gradient.buffer);
    }
  }

  void print_place(const TextPlace& place) const {
    if (place.line == 0) return;
    fmt::print("  {:>4} | {}\n       | {:{}}{}\n", place.line, place.snippet, "", place.column - 1,
               "^" + std::string(place.length > 0 ? place.length - 1 : 0, '~'));
  }

  void print_most_expensive() const {
    if (parts_.empty() || e_.scores_computed == 0) return;
    fmt::print("\nMost expensive\n");
    if (!e_.most_expensive) return fmt::print("  No part costs more than the noise of these measurements.\n");
    const PatternPart& part = parts_[*e_.most_expensive];
    const Cost& cost = *e_.costs[*e_.most_expensive].cost;
    fmt::print("  `{}`: {:.1f} % of the run (+- {:.1f})\n", shortened(part.text), cost.percent, cost.noise_percent);
    print_place(part.place);
  }

  void print_advice() const {
    fmt::print("\nWhat would make it faster\n");
    if (std::ranges::none_of(e_.advice, &Advice::is_worth_saying))
      return fmt::print("  Nothing that was tried or looked for.\n");
    for (const Advice& advice : e_.advice) {
      if (!advice.is_worth_saying()) continue;
      fmt::print("  - {}", advice.text);
      if (advice.cost) fmt::print("; it costs {:.1f} % of the run", advice.cost->percent);
      if (advice.gain)
        fmt::print("; tried, it saves {:.1f} % of the run (+- {:.1f})", advice.gain->percent, advice.gain->noise_percent);
      fmt::print(".\n");
      print_place(advice.place);
    }
  }

  const Explanation& e_;
  const std::vector<PatternPart>& parts_;
};

Json json_of(const Cost& cost) {
  return {{"percent", cost.percent}, {"noise_percent", cost.noise_percent}, {"ns_per_1000_scores", cost.ns_per_1000_scores}};
}

Json json_of(const TextPlace& place) {
  return {{"line", place.line}, {"column", place.column}, {"length", place.length}, {"snippet", place.snippet}};
}

Json part_json(const PatternPart& part, const PartCost& cost) {
  Json json = {{"role", name_of(part.role)},
               {"text", part.text},
               {"place", json_of(part.place)},
               {"parent", part.parent},
               {"replacement", part.replacement},
               {"loop", nullptr},
               {"mask", part.decides_mask},
               {"cost", nullptr},
               {"skipping", nullptr},
               {"why_not", cost.why_not}};
  if (part.loop) json["loop"] = name_of(*part.loop);
  if (cost.cost) json["cost"] = json_of(*cost.cost);
  if (cost.skipping)
    json["skipping"] = {{"times_longer", cost.skipping->times_longer}, {"scores_without", cost.skipping->scores_without}};
  return json;
}

Json explanation_json(const Explanation& e) {
  Json json = {{"pattern", e.pattern},
               {"target", e.target},
               {"pass", e.pass == ExplainedPass::kBackward ? "backward" : "forward"},
               {"threads", e.threads},
               {"decodes", e.anatomy.decodes},
               {"sizes", sizes_json(e.sizes)},
               {"dtype", name_of(e.dtypes.q)},
               {"kv_dtype", name_of(e.dtypes.kv_dtype())},
               {"out_dtype", name_of(e.dtypes.out_dtype())},
               {"generated_buffers", e.generated},
               {"blocks", {{"full", e.blocks.full}, {"partial", e.blocks.partial}, {"empty", e.blocks.empty}}},
               {"blocks_proved", e.found.proved},
               {"blocks_evaluated", e.found.evaluated.size()},
               {"mask_ms", e.found.build_ms},
               {"scores", e.scores},
               {"scores_computed", e.scores_computed},
               {"allowed_pairs", e.allowed_pairs},
               {"note", e.note.empty() ? Json() : Json(e.note)},
               {"run_ms", e.run_ms},
               {"limit_kind", e.limit.kind()},
               {"limit", e.limit.rate()},
               {"percent_of_limit", e.limit.percent_of(e.work, e.run_ms)},
               {"processors", e.limit.processors},
               {"processor_share", e.limit.share},
               {"most_expensive", nullptr},
               {"parts", Json::array()},
               {"gradients", Json::array()},
               {"reads", Json::array()},
               {"advice", Json::array()}};
  if (e.most_expensive) json["most_expensive"] = *e.most_expensive;
  for (std::size_t i = 0; i < e.anatomy.parts.size(); ++i)
    json["parts"].push_back(part_json(e.anatomy.parts[i], i < e.costs.size() ? e.costs[i] : PartCost{}));
  for (const GradientCost& gradient : e.gradients)
    json["gradients"].push_back({{"buffer", gradient.buffer}, {"cost", json_of(gradient.cost)}});
  for (const CapturedRead& read : e.anatomy.reads)
    json["reads"].push_back({{"buffer", read.buffer},
                             {"place", json_of(read.place)},
                             {"loop", name_of(read.loop)},
                             {"mask", read.in_mask},
                             {"contiguous", read.contiguous},
                             {"proved", read.proved}});
  for (const Advice& advice : e.advice) {
    Json entry = {{"rule", name_of(advice.rule)},
                  {"text", advice.text},
                  {"place", json_of(advice.place)},
                  {"gain", nullptr},
                  {"cost", nullptr},
                  {"worth_saying", advice.is_worth_saying()}};
    if (advice.cost) entry["cost"] = json_of(*advice.cost);
    if (advice.gain) entry["gain"] = json_of(*advice.gain);
    json["advice"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

void print_explanation(const Explanation& explanation, Output output) {
  if (output == Output::kJson)
    print_json(explanation_json(explanation));
  else
    Text(explanation).print();
}

}  // namespace flexjit::tools
