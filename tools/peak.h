// The fp32 FMA peak of this machine, measured the moment it is compared with: clocks differ from hour to hour and a table of
// processors would be wrong. Same vector width and the same number of threads as the kernel that is judged by it.
#pragma once

#include <string>

namespace flexjit::tools {

// GFLOP/s, two operations a fused (or, on baseline x86-64, a separate) multiply-add, summed over `threads`: the best of a few
// short measurements. `target` as in EngineOptions: the vector width follows from it.
double measure_peak_gflops(const std::string& target, int threads);

}  // namespace flexjit::tools
