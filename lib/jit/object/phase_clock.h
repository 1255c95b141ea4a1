// Laps of one compilation -> how long each phase took.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "plan/phase_time.h"

namespace flexjit::jit {

class PhaseClock {
 public:
  // What ran since the last lap, or since the clock was made, was `phase`.
  void lap(std::string phase) {
    const Clock::time_point now = Clock::now();
    phases_.push_back({std::move(phase), ms_between(last_, now)});
    last_ = now;
  }
  double total_ms() const { return ms_between(begin_, last_); }
  std::vector<plan::PhaseTime> take() { return std::move(phases_); }

 private:
  using Clock = std::chrono::steady_clock;
  static double ms_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
  }

  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  std::vector<plan::PhaseTime> phases_;
};

}  // namespace flexjit::jit
