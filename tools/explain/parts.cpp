// From the whole to the pieces: a part is measured once what it is inside of has proved to cost something.
//
// A part of the mask changes how much is computed. What it saves is seen in runs that derive their own blocks; what evaluating
// it costs, in runs over the same small blocks with and without it, by the time of one computed score.
#include <algorithm>
#include <utility>

#include "explain/explanation.h"

namespace flexjit::tools {
namespace {

constexpr std::size_t kMaxMeasured = 24;
constexpr double kWorthDetail = 2.0;  // percent
constexpr double kSavesWork = 1.05;   // times the scores without it
// Small, so that little is computed beside what the mask allows; in tiles of the kernels' heights.
constexpr std::int32_t kQueryBlock = 96, kKeyBlock = 32;
constexpr std::int64_t kMaxSmallBlocks = std::int64_t{1} << 22;

class PartRun {
 public:
  PartRun(Subject& subject, Explanation& explanation)
      : subject_(subject), explanation_(explanation), parts_(explanation.anatomy.parts) {
    explanation_.costs.resize(parts_.size());
  }

  Diagnostics run() {
    if (Diagnostics errors = make_small_blocks(); !errors.empty()) return errors;
    std::vector<std::size_t> level = parts_below(-1);
    double seconds = subject_.seconds;
    while (!level.empty()) {
      seconds /= 2;
      if (Diagnostics errors = measure(level, seconds); !errors.empty()) return errors;
      std::vector<std::size_t> next;
      for (std::size_t part : level) {
        if (!is_worth_detail(explanation_.costs[part])) continue;
        for (std::size_t inner : parts_below(static_cast<std::int32_t>(part))) next.push_back(inner);
      }
      level = std::move(next);
    }
    find_most_expensive();
    return {};
  }

 private:
  std::vector<std::size_t> parts_below(std::int32_t parent) const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].parent == parent) found.push_back(i);
    }
    return found;
  }

  // What could not be measured may hold what can.
  bool is_worth_detail(const PartCost& part) const {
    if (!part.cost || (part.skipping && saves_work(*part.skipping))) return true;
    return part.cost->percent >= std::max(kWorthDetail, part.cost->noise_percent);
  }

  // By scores rather than by times: which parts are looked into does not depend on a busy machine.
  bool saves_work(const Skipping& skipping) const {
    return static_cast<double>(skipping.scores_without) > kSavesWork * static_cast<double>(explanation_.scores_computed);
  }

  Diagnostics make_small_blocks() {
    BlockMaskOptions options = mask_options_of(subject_.problem.sizes);
    options.q_block = kQueryBlock;
    options.kv_block = kKeyBlock;
    while (std::int64_t{options.q_len} / options.q_block * (options.kv_len / options.kv_block) > kMaxSmallBlocks) {
      options.q_block *= 2;
      options.kv_block *= 2;
    }
    Result<BlockMask> blocks = subject_.attention->create_block_mask(options, &subject_.names.bindings);
    if (!blocks) return blocks.diagnostics();
    small_blocks_ = std::move(*blocks);
    return {};
  }

  // Compiles and compares; parts that cannot be measured say why.
  Diagnostics measure(const std::vector<std::size_t>& level, double seconds) {
    std::vector<std::size_t> free_parts, mask_parts;
    std::vector<Contender> free, fixed;
    for (std::size_t part : level) {
      if (!is_comparable(parts_[part])) continue;
      if (measured_ == kMaxMeasured) {
        explanation_.costs[part].why_not = "not measured: there are many parts";
        continue;
      }
      Result<Attention> variant = subject_.engine.compile(parts_[part].variant);
      if (!variant) return variant.diagnostics();
      ++measured_;
      if (parts_[part].decides_mask) {
        mask_parts.push_back(part);
        fixed.push_back(subject_.contender(*variant));
        fixed.back().block_mask = &*small_blocks_;
      }
      free_parts.push_back(part);
      free.push_back(subject_.contender(std::move(*variant)));
    }
    const double share = seconds / static_cast<double>(std::max<std::size_t>(free.size() + fixed.size(), 1));
    if (Diagnostics errors = measure_free(free_parts, free, share * static_cast<double>(free.size())); !errors.empty())
      return errors;
    return measure_fixed(mask_parts, fixed, share * static_cast<double>(fixed.size()));
  }

  // Without a number that a mask compares it is any other mask, and what that costs says nothing of the number.
  static bool is_comparable(const PatternPart& part) {
    return !part.decides_mask || part.role == PartRole::kMask || part.role == PartRole::kCondition;
  }

  void keep_errors(std::size_t part, const Diagnostics& errors) {
    explanation_.costs[part].why_not =
        errors[0].kind == "buffer-read" ? "not measured: without it `" + buffer_in(errors[0].message) + "` is read out of range"
                                        : "not measured: " + errors[0].message;
  }

  // "a read of `bias` is out of range: ..."
  static std::string buffer_in(const std::string& message) {
    const std::size_t begin = message.find('`') + 1;
    return message.substr(begin, message.find('`', begin) - begin);
  }

  Diagnostics measure_free(const std::vector<std::size_t>& parts, const std::vector<Contender>& rivals, double seconds) {
    if (parts.empty()) return {};
    const Contender base = subject_.contender(*subject_.attention);
    const auto compared = compare(base, rivals, {.threads = explanation_.threads, .seconds = seconds}, subject_.progress);
    if (!compared) return compared.diagnostics();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      PartCost& cost = explanation_.costs[parts[i]];
      const Result<Comparison>& result = (*compared)[i];
      if (!result)
        keep_errors(parts[i], result.diagnostics());
      else if (parts_[parts[i]].decides_mask)
        cost.skipping = Skipping{.times_longer = result->ratio, .scores_without = result->rival_scores};
      else
        cost.cost = cost_of(*result);
    }
    return {};
  }

  Diagnostics measure_fixed(const std::vector<std::size_t>& parts, const std::vector<Contender>& rivals, double seconds) {
    if (parts.empty()) return {};
    Contender base = subject_.contender(*subject_.attention);
    base.block_mask = &*small_blocks_;
    const auto compared = compare(base, rivals, {.threads = explanation_.threads, .seconds = seconds}, subject_.progress);
    if (!compared) return compared.diagnostics();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Result<Comparison>& result = (*compared)[i];
      PartCost& cost = explanation_.costs[parts[i]];
      if (!result)
        keep_errors(parts[i], result.diagnostics());
      else if (cost.skipping && cost.skipping->scores_without < explanation_.scores_computed)
        cost.why_not = "without it less is allowed";
      else
        cost.cost = cost_of(*result);
    }
    return {};
  }

  // A let costs what all that follows from it costs, and an index what its read costs; what is known at a coarser loop than
  // what it is inside of costs by keeping all of that in the inner loop. Neither is where the time goes.
  bool is_where_time_goes(std::size_t part) const {
    if (parts_[part].role == PartRole::kLet || parts_[part].role == PartRole::kIndex) return false;
    if (parts_[part].parent < 0 || !parts_[part].loop) return true;
    const std::optional<Loop>& outer = parts_[static_cast<std::size_t>(parts_[part].parent)].loop;
    return !outer || *outer == *parts_[part].loop;
  }

  // Nothing inside a part costs more than the part: where it seems to, leaving it out changed something else.
  double percent(std::size_t part) const {
    const std::optional<Cost>& cost = explanation_.costs[part].cost;
    if (!cost || !cost->is_measurable() || !is_where_time_goes(part)) return 0;
    const std::int32_t parent = parts_[part].parent;
    const auto outer = parent < 0 ? std::nullopt : explanation_.costs[static_cast<std::size_t>(parent)].cost;
    return outer ? std::min(cost->percent, outer->percent) : cost->percent;
  }

  bool is_result(std::size_t part) const {
    return parts_[part].role == PartRole::kScore || parts_[part].role == PartRole::kMask;
  }

  // The innermost of those that cost nearly as much as the costliest; all of a result only where nothing in it stands out.
  void find_most_expensive() {
    constexpr double kNearly = 0.8;
    const auto costliest = [&](bool among_results) {
      std::optional<std::size_t> found;
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        if (is_result(i) == among_results && percent(i) > (found ? percent(*found) : 0)) found = i;
      }
      return found;
    };
    std::optional<std::size_t> best = costliest(false);
    if (!best) best = costliest(true);
    for (std::optional<std::size_t> inner = best; inner;) {
      best = inner;
      inner.reset();
      for (std::size_t i : parts_below(static_cast<std::int32_t>(*best))) {
        if (percent(i) >= kNearly * percent(*best) && (!inner || percent(i) > percent(*inner))) inner = i;
      }
    }
    explanation_.most_expensive = best;
  }

  Subject& subject_;
  Explanation& explanation_;
  const std::vector<PatternPart>& parts_;
  std::optional<BlockMask> small_blocks_;
  std::size_t measured_ = 0;
};

}  // namespace

Cost cost_of(const Comparison& c) {
  // By computed score, which is by run where both compute as many.
  const auto ratio_of_scores = [](std::int64_t a, std::int64_t b) {
    return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : 1;
  };
  const double ratio = c.ratio * ratio_of_scores(c.base_scores, c.rival_scores);
  Cost cost;
  cost.percent = 100 * (1 - ratio);
  cost.noise_percent = 100 * c.noise;
  if (c.base_scores > 0) cost.ns_per_1000_scores = (1 - ratio) * c.base_ms * 1e9 / static_cast<double>(c.base_scores);
  return cost;
}

Diagnostics measure_parts(Subject& subject, Explanation& explanation) { return PartRun(subject, explanation).run(); }

}  // namespace flexjit::tools
