// One call -> what bounds it, arithmetic or the reading of K and V, and how near its runs come to that. `run`, `bench`, `repl`
// and `explain` say the same of the same call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/problem.h"
#include "measure/peak.h"

namespace flexjit::tools {

// What a call must do; what else it does counts for nothing.
struct Work {
  double operations = 0;  // 2 D for the score and 2 Dv for the output of every allowed pair
  // Of K and V, the rows that a query may see, each once, where a call has few queries and reads more than it computes; else 0.
  double read_bytes = 0;
  std::optional<Peak> arithmetic{};  // what its products are made of; absent: the fastest for the element type
};
Work work_of(const Problem& problem, std::int64_t allowed_pairs);
// Of linear weights: 2 for each multiply-add of features that are products with a matrix, of features with the state and of
// what the state takes, and of causal ones for the pairs inside chunks of 32 tokens.
struct LinearCost {
  std::int64_t features = 0;
  bool projected = false, causal = false;
};
Work linear_work(const Problem& problem, const LinearCost& cost);

struct Limit {
  Peak peak = Peak::kFmaF32;
  double gflops = 0;                  // of `peak`
  std::optional<double> read_gbps{};  // of what reading bounds; such that percent_of() is the median over the runs
  double processors = 1, share = 1;   // as in PeakRate

  double rate() const { return read_gbps.value_or(gflops); }
  std::string kind() const { return read_gbps ? "read-bandwidth" : std::string(name_of(peak)); }
  double rate_of(const Work& work, double ms) const;  // GFLOP/s or GB/s
  double percent_of(const Work& work, double ms) const;
  // So few bytes that starting the threads takes longer than reading them: neither rate says anything.
  bool is_too_small(const Work& work) const;
  // "83.1 % of the fp32 peak, 90.2 GFLOP/s", "71 % of the bandwidth of reading, 12.1 GB/s".
  std::string text_of(const Work& work, double ms) const;
  // What a reader must know to trust the percent; empty where there is nothing.
  std::string warning(int threads) const;
};

// Arithmetic is measured before the runs and after them, and the better one counts, so that a busy moment flatters no kernel.
// Memory gives now more and now less, so that reading is measured before and after each run, and each run compared with its
// own.
class LimitMeter {
 public:
  // All must outlive the meter. Measures the arithmetic.
  LimitMeter(const Problem& problem, const Work& work, const std::string& target, int threads);

  void before_run();
  void after_run(double ms);
  // `run_ms`: that of all runs, their median.
  Limit finish(double run_ms);

 private:
  void measure_arithmetic();
  double read_gbps() const;

  const Problem& problem_;
  const Work& work_;
  const std::string& target_;
  int threads_;
  Limit limit_;
  bool reads_ = false;
  double before_ = 0;
  std::vector<double> readings_;  // GB/s times ms of each run
};

}  // namespace flexjit::tools
