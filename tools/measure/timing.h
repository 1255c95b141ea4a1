// What every measurement needs: a clock, a median, and how many threads "all" are.
#pragma once

#include <chrono>
#include <vector>

namespace flexjit::tools {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point begin);

// The upper one of the two in the middle. At least one value.
double median(std::vector<double> values);

// `wanted`, or for 0 what OpenMP would take: OMP_NUM_THREADS, else the processors that this process may use.
int resolve_threads(int wanted);

}  // namespace flexjit::tools
