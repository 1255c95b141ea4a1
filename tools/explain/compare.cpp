// The first run of everyone warms up, finds who cannot run, and is not timed.
#include "explain/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>

#include "measure/timing.h"

namespace flexjit::tools {
namespace {

constexpr int kMinRounds = 3, kMaxRounds = 41;

double quantile(std::vector<double> values, double share) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::llround(share * static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

struct Samples {
  std::vector<double> base_ms, rival_ms, ratios;
  std::int64_t scores = 0;
  Diagnostics errors;
};

class Race {
 public:
  Race(Contender base, std::vector<Contender> rivals, const CompareOptions& options)
      : base_(std::move(base)), rivals_(std::move(rivals)), options_(options), samples_(rivals_.size()) {}

  Diagnostics warm_up() {
    const Result<RunStats> stats = warm(base_);
    if (!stats) return stats.diagnostics();
    base_scores_ = stats->scores_visited;
    for (std::size_t i = 0; i < rivals_.size(); ++i) {
      const Result<RunStats> own = warm(rivals_[i]);
      if (own)
        samples_[i].scores = own->scores_visited;
      else
        samples_[i].errors = own.diagnostics();
    }
    return {};
  }

  void run(const Progress& progress) {
    const auto begin = Clock::now();
    for (int round = 0; round < kMaxRounds; ++round) {
      if (round >= kMinRounds && ms_since(begin) > options_.seconds * 1e3) return;
      progress.show(fmt::format("comparing {} variants, round {}", rivals_.size(), round + 1));
      run_round();
    }
  }

  std::vector<Result<Comparison>> results() const {
    std::vector<Result<Comparison>> results;
    for (const Samples& samples : samples_) {
      if (samples.errors.empty())
        results.emplace_back(summary(samples));
      else
        results.emplace_back(samples.errors);
    }
    return results;
  }

 private:
  static Result<RunStats> warm(Contender& contender) {
    if (Diagnostics errors = contender.prepare(); !errors.empty()) return errors;
    return contender.run();
  }

  double timed(const Contender& contender) const {
    const double begin = clock_ms(options_.threads);
    (void)contender.run();  // has run before with the same arguments
    return clock_ms(options_.threads) - begin;
  }

  void run_round() {
    double before = timed(base_);
    for (std::size_t i = 0; i < rivals_.size(); ++i) {
      Samples& samples = samples_[i];
      if (!samples.errors.empty()) continue;
      const double own = timed(rivals_[i]);
      const double after = timed(base_);
      samples.rival_ms.push_back(own);
      samples.base_ms.push_back((before + after) / 2);
      samples.ratios.push_back(own / samples.base_ms.back());
      before = after;
    }
  }

  Comparison summary(const Samples& samples) const {
    const double spread = quantile(samples.ratios, 0.75) - quantile(samples.ratios, 0.25);
    return {.base_ms = median(samples.base_ms),
            .rival_ms = median(samples.rival_ms),
            .ratio = median(samples.ratios),
            .noise = spread / std::sqrt(static_cast<double>(samples.ratios.size())),
            .rounds = static_cast<int>(samples.ratios.size()),
            .base_scores = base_scores_,
            .rival_scores = samples.scores};
  }

  Contender base_;
  std::vector<Contender> rivals_;
  const CompareOptions& options_;
  std::vector<Samples> samples_;
  std::int64_t base_scores_ = 0;
};

}  // namespace

double clock_ms(int threads) {
  timespec time{};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

RunArgs Contender::arguments(Outputs& to) const {
  RunArgs args = arguments_of(*problem, to, own_bindings ? *own_bindings : *bindings);
  args.block_mask = block_mask;
  return args;
}

Diagnostics Contender::prepare() {
  if (training == nullptr) return {};
  Result<std::vector<std::string>> buffers = gradient_buffers(attention);
  if (!buffers) return buffers.diagnostics();
  std::erase(*buffers, training->left_out);
  Result<Array> out = generated_output_gradient(*problem, 0);
  if (!out) return out.diagnostics();
  training->outputs = {problem->make_output(), problem->make_lse()};
  training->gradients = make_gradients(*problem, own_bindings ? *own_bindings : *bindings, *std::move(out), *buffers);
  const Result<RunStats> stats = attention.run(arguments(training->outputs));
  return stats ? Diagnostics{} : stats.diagnostics();
}

Result<RunStats> Contender::run() const {
  if (training == nullptr) return attention.run(arguments(*outputs));
  return run_backward(attention, arguments(training->outputs), gradients_of(training->gradients, *problem));
}

Result<std::vector<Result<Comparison>>> compare(const Contender& base, const std::vector<Contender>& rivals,
                                                const CompareOptions& options, const Progress& progress) {
  Race race(base, rivals, options);
  if (const Diagnostics errors = race.warm_up(); !errors.empty()) return errors;
  race.run(progress);
  return race.results();
}

}  // namespace flexjit::tools
