// Few queries are limited by the reading of K and V, unless they are so many that their products take longer.
#include "measure/limit.h"

#include <fmt/format.h>

#include <algorithm>

#include "measure/timing.h"

namespace flexjit::tools {
namespace {

constexpr std::int64_t kFewQueries = 8;
constexpr std::int64_t kManyKeys = 64;  // a query

std::string_view words_of(Peak peak) {
  switch (peak) {
    case Peak::kFmaF32: return "fp32";
    case Peak::kFmaF64: return "fp64";
    case Peak::kDotBf16: return "bf16";
  }
  return "";
}

std::span<const std::byte> begin_of(const Array& array, double share) {
  const std::span<const std::byte> all(array.bytes.data(), array.bytes.size());
  return all.first(static_cast<std::size_t>(share * static_cast<double>(all.size())));
}

double all_bytes(const Problem& problem) { return static_cast<double>(problem.k.bytes.size() + problem.v.bytes.size()); }

}  // namespace

Work work_of(const Problem& problem, std::int64_t allowed_pairs) {
  const Sizes& s = problem.sizes;
  Work work{.operations = 2.0 * static_cast<double>(s.head_dim + s.v_head_dim) * static_cast<double>(allowed_pairs)};
  if (s.q_len == 0 || s.q_len > kFewQueries || s.kv_len <= kManyKeys * s.q_len) return work;
  // The query rows of a key head share its keys: the keys that one of them sees, on average.
  const double pairs = static_cast<double>(s.heads) * problem.pairs();
  const auto bytes = [](const Array& array, std::int64_t dim) {
    return static_cast<double>(dim) * static_cast<double>(size_of(array.dtype));
  };
  const double row = static_cast<double>(s.kv_heads) * (bytes(problem.k, s.head_dim) + bytes(problem.v, s.v_head_dim));
  work.read_bytes = row * static_cast<double>(problem.keys()) * static_cast<double>(allowed_pairs) / pairs;
  return work;
}

Work linear_work(const Problem& problem, const LinearCost& cost) {
  constexpr double kChunk = 32;
  const Sizes& s = problem.sizes;
  const auto features = static_cast<double>(cost.features), dim = static_cast<double>(s.head_dim),
             v_dim = static_cast<double>(s.v_head_dim);
  const double row = (cost.projected ? features * dim : 0) + features * v_dim;
  const double pairs = cost.causal ? (kChunk + 1) / 2 * (features + v_dim) : 0;
  const double queries = static_cast<double>(s.batch * s.heads * s.q_len),
               keys = static_cast<double>(s.kv_heads * problem.keys());
  return {.operations = 2 * (queries * (row + pairs) + keys * row)};
}

double Limit::rate_of(const Work& work, double ms) const {
  return ms > 0 ? (read_gbps ? work.read_bytes : work.operations) / (ms * 1e6) : 0;
}

double Limit::percent_of(const Work& work, double ms) const { return rate() > 0 ? 100 * rate_of(work, ms) / rate() : 0; }

bool Limit::is_too_small(const Work& work) const {
  constexpr double kLeastBytes = 1 << 15;
  return read_gbps && work.read_bytes < kLeastBytes;
}

std::string Limit::text_of(const Work& work, double ms) const {
  if (is_too_small(work)) return fmt::format("too small to measure: {:.0f} bytes of K and V are read", work.read_bytes);
  if (read_gbps) return fmt::format("{:.1f} % of the read bandwidth of {:.1f} GB/s", percent_of(work, ms), *read_gbps);
  return fmt::format("{:.1f} % of the {} peak of {:.1f} GFLOP/s", percent_of(work, ms), words_of(peak), gflops);
}

std::string Limit::warning(int threads) const {
  constexpr double kOwn = 0.9;
  std::string text;
  if (processors < threads)
    text = fmt::format("{} threads have {:.4g} processor{} here, of which the limit is measured", threads, processors,
                       processors == 1 ? "" : "s");
  if (share < kOwn)
    text +=
        fmt::format("{}the machine is shared: this process got {:.0f} % of the time, so that the run could be as much faster",
                    text.empty() ? "" : "; ", 100 * share);
  return text;
}

LimitMeter::LimitMeter(const Problem& problem, const Work& work, const std::string& target, int threads)
    : problem_(problem), work_(work), target_(target), threads_(threads) {
  limit_.peak = work.arithmetic.value_or(peak_for(problem.dtypes.q, target));
  measure_arithmetic();
  if (work.read_bytes == 0) return;
  reads_ = work.operations / (limit_.gflops * 1e9) < work.read_bytes / (read_gbps() * 1e9);
}

void LimitMeter::measure_arithmetic() {
  const PeakRate peak = measure_peak(limit_.peak, target_, threads_);
  limit_.gflops = std::max(limit_.gflops, peak.gflops);
  limit_.processors = peak.processors;
  limit_.share = std::min(limit_.share, peak.share);
}

// Of as many bytes as the call reads: caches that hold them help both.
double LimitMeter::read_gbps() const {
  const double share = std::min(work_.read_bytes / all_bytes(problem_), 1.0);
  return measure_read_gbps(begin_of(problem_.k, share), begin_of(problem_.v, share), threads_);
}

void LimitMeter::before_run() {
  if (reads_) before_ = read_gbps();
}

void LimitMeter::after_run(double ms) {
  if (reads_) readings_.push_back(ms * (before_ + read_gbps()) / 2);
}

Limit LimitMeter::finish(double run_ms) {
  measure_arithmetic();
  if (!readings_.empty()) limit_.read_gbps = median(std::move(readings_)) / run_ms;
  return limit_;
}

}  // namespace flexjit::tools
