// What one case gave: our time, the limit measured beside it, and the peers' times on the same tensors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/case.h"
#include "flexjit/diagnostic.h"
#include "measure/limit.h"
#include "measure/verify.h"

namespace flexjit::tools::bench {

struct PeerTime {
  std::string peer;
  double ms = 0;
  double difference = 0;  // largest absolute difference from our output
  std::optional<std::int64_t>
      extra_bytes{};  // of a backward pass and its forward pass: the peak of memory beyond what was there
};

struct Row {
  Case test;
  double run_ms = 0;
  std::int64_t allowed_pairs = 0;  // over all batch entries and heads
  Work work;
  Limit limit;
  double compile_ms = 0;
  std::optional<std::int64_t> extra_bytes;  // see heap_probe.h
  std::int64_t result_bytes = 0;            // of the output, lse and gradients, which a peer's extra_bytes count
  std::optional<double> ratio_to_plain, speedup;
  // Our time over that of: contiguous keys in the order of the pages, the better order of these, the sequences one by one.
  std::optional<double> ratio_to_contiguous, ratio_to_best_contiguous, ratio_to_one_by_one;
  std::optional<double> over_f32, over_bf16;  // of `quantized`: keys a second over those of the same case in these types
  std::vector<PeerTime> peers;
  std::map<std::string, std::string> peer_notes;  // why a peer that was asked gave no time
  std::optional<Verification> verification;
  Diagnostics errors;  // then every number above that was not reached is 0

  bool reads() const { return limit.read_gbps.has_value(); }
  double useful_gflops() const { return run_ms > 0 ? work.operations / (run_ms * 1e6) : 0; }
  double rate() const { return limit.rate_of(work, run_ms); }  // GFLOP/s, or GB/s where reading is the limit
  double percent_of_limit() const { return percent_at(run_ms); }
  double percent_at(double ms) const { return limit.percent_of(work, ms); }  // of the same work in another time
  bool failed() const { return !errors.empty() || (verification && !verification->correct); }
};

}  // namespace flexjit::tools::bench
