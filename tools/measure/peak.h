// What this machine can do at most, measured the moment it is compared with: clocks differ from hour to hour and a table of
// processors would be wrong. Same instruction set and the same number of threads as the kernel that is judged by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "flexjit/tensor.h"

namespace flexjit::tools {

enum class Peak : std::uint8_t {
  kFmaF32,   // fused multiply-adds of fp32; on baseline x86-64 a multiplication and an addition
  kFmaF64,   // the same of fp64
  kDotBf16,  // AVX-512 BF16's vdpbf16ps: two products a lane, added to fp32
};
std::string_view name_of(Peak peak);  // "fp32-fma", "fp64-fma", "bf16-dot"

// The fastest arithmetic of `target` (as in EngineOptions) that attention on this dtype can be made of: bf16 is compared with
// the dot instruction where target and machine have it; fp16, which is widened, with fp32.
Peak peak_for(DType dtype, const std::string& target);
// That of multiply-adds alone, of which gradients are made.
inline Peak fma_peak_for(DType dtype) { return size_of(dtype) == sizeof(double) ? Peak::kFmaF64 : Peak::kFmaF32; }

struct PeakRate {
  double gflops = 0;
  double processors = 1;  // that it is the sum of: those that `threads` threads really have
  double share = 1;       // of the time on the wall that the measuring threads got a processor; less than 1: others use it too
};

// Summed over the processors that `threads` threads have (usable_processors), by processor time, which other processes do not
// prolong: the best of a few short measurements.
PeakRate measure_peak(Peak peak, const std::string& target, int threads);
inline double measure_peak_gflops(Peak peak, const std::string& target, int threads) {
  return measure_peak(peak, target, threads).gflops;
}

// GB/s (1e9 bytes) at which `threads` threads read these bytes once, each a contiguous part, with the prefetch that helps. The
// kernel is compared with the reading of its own K and V, so that what the caches hold helps both. One pass: what the memory
// gives changes with its other users, so passes belong between the runs that are judged by them.
double measure_read_gbps(std::span<const std::byte> first, std::span<const std::byte> second, int threads);

}  // namespace flexjit::tools
