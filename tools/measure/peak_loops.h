// The innermost loops of the peaks, one an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "measure/peak.h"

namespace flexjit::tools {

inline constexpr std::int64_t kRounds = 1 << 16;  // about a tenth of a millisecond

// `burst` runs kRounds rounds; each does flops_per_round operations.
struct PeakLoop {
  void (*burst)();
  double flops_per_round;
};

// What `peak_for` has chosen exists here.
PeakLoop loop_for(Peak peak, const std::string& target);
// Target and running machine have vdpbf16ps.
bool has_bf16_dot(const std::string& target);

// Reads [data, data + bytes), whole rows of kReadRow bytes only.
inline constexpr std::size_t kReadRow = 512;
using ReadLoop = void (*)(const std::byte* data, std::size_t bytes);
ReadLoop read_loop();

}  // namespace flexjit::tools
