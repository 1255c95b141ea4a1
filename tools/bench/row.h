// What one case gave: our time, the limit measured beside it, and the peers' times on the same tensors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/case.h"
#include "flexjit/diagnostic.h"
#include "peak.h"
#include "verify.h"

namespace flexjit::tools::bench {

struct PeerTime {
  std::string peer;
  double ms = 0;
  double difference = 0;  // largest absolute difference from our output
};

struct Row {
  Case test;
  double run_ms = 0;
  std::int64_t allowed_pairs = 0;  // over all batch entries and heads
  std::int64_t kv_bytes = 0;       // of K and V, each once
  std::optional<Peak> arithmetic;  // the limit; absent: reading K and V
  double limit = 0;                // GFLOP/s; or GB/s, such that percent_of_limit is the median over the runs of what each
                                   // reached of the readings before and after it
  double compile_ms = 0;
  std::optional<std::int64_t> extra_bytes;  // see heap_probe.h
  std::optional<double> ratio_to_plain, speedup;
  std::vector<PeerTime> peers;
  std::map<std::string, std::string> peer_notes;  // why a peer that was asked gave no time
  std::optional<Verification> verification;
  Diagnostics errors;  // then every number above that was not reached is 0

  // 2 D + 2 Dv operations for every pair that the mask allows: 4 B H popcount(mask) D where Dv = D.
  double operations() const;
  double useful_gflops() const;
  double gbps() const;  // K and V read once in run_ms
  double percent_of_limit() const { return percent_at(run_ms); }
  double percent_at(double ms) const;  // of the same work in another time
  std::string limit_kind() const;      // a name of Peak, or "read-bandwidth"
  bool failed() const { return !errors.empty() || (verification && !verification->correct); }
};

}  // namespace flexjit::tools::bench
