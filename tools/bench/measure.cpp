// Ratios to a run without the mod, or with one thread, come from runs that alternate with ours: a clock that drifts changes
// both.
#include "bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "bench/subject.h"
#include "timing.h"

namespace flexjit::tools::bench {
namespace {

constexpr std::size_t kCompilations = 7;
constexpr int kVerifiedRows = 16;  // of each head: the first and the last ones

class Measurement {
 public:
  Measurement(const Case& test, const BenchOptions& options, const Helpers& helpers)
      : test_(test), options_(options), peers_(helpers.peers), progress_(helpers.progress) {
    row_.test = test;
  }

  Row operator()() {
    using Step = Diagnostics (Measurement::*)();
    for (Step step : {&Measurement::make_inputs, &Measurement::prepare, &Measurement::count_work, &Measurement::run_first,
                      &Measurement::time_runs, &Measurement::verify_rows, &Measurement::ask_peers})
      if (row_.errors = (this->*step)(); !row_.errors.empty()) break;
    return std::move(row_);
  }

 private:
  void show(std::string_view what) const {
    progress_.show(fmt::format("{} {} {}: {}", test_.suite, test_.name, dtype_text(test_), what));
  }

  Diagnostics make_inputs() {
    show("making inputs");
    Result<Problem> problem = make_problem(run_options_of(test_));
    if (!problem) return problem.diagnostics();
    problem_ = std::move(*problem);
    row_.kv_bytes = static_cast<std::int64_t>(problem_.k.bytes.size() + problem_.v.bytes.size());
    return {};
  }

  Diagnostics prepare() {
    show("compiling");
    const SubjectRequest request{test_, problem_, test_.program, options_.target, test_.threads};
    auto subject = make_subject(request);
    if (!subject) return subject.diagnostics();
    subject_ = std::move(*subject);
    std::vector<double> compilations = {subject_->attention.compile_ms()};
    while (options_.effort == Effort::kFull && compilations.size() < kCompilations) {
      compilations.push_back(compile_case(request).value().compile_ms());
    }
    row_.compile_ms = median(std::move(compilations));
    if (test_.plain.empty() && test_.suite != "scaling") return {};
    auto beside = test_.plain.empty() ? make_subject({test_, problem_, test_.program, options_.target, 1})
                                      : make_subject({test_, problem_, test_.plain, options_.target, test_.threads});
    if (!beside) return beside.diagnostics();
    beside_ = std::move(*beside);
    return {};
  }

  Diagnostics count_work() {
    show("counting allowed pairs");
    const Result<std::int64_t> allowed =
        subject_->attention.count_allowed(mask_options_of(test_.sizes), &subject_->names.bindings);
    if (!allowed) return allowed.diagnostics();
    row_.allowed_pairs = *allowed;
    return {};
  }

  Diagnostics run_first() {
    show("warming up");
    const Result<RunStats> stats = subject_->attention.run(subject_->arguments(problem_));
    if (!stats) return stats.diagnostics();
    if (!beside_) return {};
    const Result<RunStats> other = beside_->attention.run(beside_->arguments(problem_));
    return other ? Diagnostics{} : other.diagnostics();
  }

  void measure_arithmetic() {
    show("measuring the limit");
    row_.arithmetic = peak_for(test_.dtypes.q, options_.target);
    row_.limit = std::max(row_.limit, measure_peak_gflops(*row_.arithmetic, options_.target, test_.threads));
  }

  double read_gbps() const { return measure_read_gbps(problem_.k.bytes, problem_.v.bytes, test_.threads); }

  // Few queries are limited by the reading of K and V, unless they are enough that their products take longer.
  bool is_limited_by_reading() const {
    return test_.is_decode() &&
           row_.operations() / (row_.limit * 1e9) < static_cast<double>(row_.kv_bytes) / (read_gbps() * 1e9);
  }

  Result<double> timed(Subject& subject) {
    const RunArgs args = subject.arguments(problem_);
    const auto begin = Clock::now();
    const Result<RunStats> stats = subject.attention.run(args);
    if (!stats) return stats.diagnostics();
    return ms_since(begin);
  }

  Diagnostics time_runs() {
    measure_arithmetic();
    const bool reads = is_limited_by_reading();
    std::vector<double> ours, ratios, readings;
    for (int i = 0; i < options_.repeat; ++i) {
      show(fmt::format("running {} of {}", i + 1, options_.repeat));
      const Result<double> other = beside_ ? timed(*beside_) : Result<double>(0.0);
      if (!other) return other.diagnostics();
      const double before = reads ? read_gbps() : 0;
      const Result<double> ms = timed(*subject_);
      if (!ms) return ms.diagnostics();
      if (reads) readings.push_back(*ms * (before + read_gbps()) / 2);
      ours.push_back(*ms);
      ratios.push_back(*other / *ms);
    }
    row_.run_ms = median(std::move(ours));
    if (beside_) (test_.plain.empty() ? row_.speedup : row_.ratio_to_plain) = median(std::move(ratios));
    if (reads) {
      row_.arithmetic.reset();
      row_.limit = median(std::move(readings)) / row_.run_ms;
    } else if (options_.effort == Effort::kFull) {
      measure_arithmetic();
    }
    return {};
  }

  Diagnostics verify_rows() {
    show("verifying");
    Result<Verification> verification = verify(
        {subject_->attention, problem_, subject_->names.bindings, subject_->outputs.out, subject_->outputs.lse, kVerifiedRows},
        progress_);
    if (!verification) return verification.diagnostics();
    row_.verification = *verification;
    return {};
  }

  Diagnostics ask_peers() {
    if (peers_ == nullptr || test_.suite == "scaling") return {};
    PeerTensors tensors{.q = problem_.q, .k = problem_.k, .v = problem_.v, .out = subject_->outputs.out, .buffers = {}};
    for (const auto& [name, view] : subject_->names.bindings.buffers)
      for (const Array& array : subject_->names.storage)
        if (array.bytes.data() == view.data) tensors.buffers.emplace(name, &array);
    peers_->measure(tensors, options_.repeat, row_, progress_);
    return {};
  }

  const Case& test_;
  const BenchOptions& options_;
  Peers* peers_;
  const Progress& progress_;
  Problem problem_;
  std::unique_ptr<Subject> subject_, beside_;  // beside_: what the ratio is to, or null
  Row row_;
};

}  // namespace

double Row::operations() const {
  return 2.0 * static_cast<double>(test.sizes.head_dim + test.sizes.v_head_dim) * static_cast<double>(allowed_pairs);
}

double Row::useful_gflops() const { return run_ms > 0 ? operations() / (run_ms * 1e6) : 0; }

double Row::gbps() const { return run_ms > 0 ? static_cast<double>(kv_bytes) / (run_ms * 1e6) : 0; }

double Row::percent_at(double ms) const {
  if (!(limit > 0) || !(ms > 0)) return 0;
  return 100.0 * (arithmetic ? useful_gflops() : gbps()) * (run_ms / ms) / limit;
}

std::string Row::limit_kind() const { return arithmetic ? std::string(name_of(*arithmetic)) : "read-bandwidth"; }

Row measure_case(const Case& test, std::size_t index, const BenchOptions& options, const Helpers& helpers) {
  Row row = Measurement(test, options, helpers)();
  row.extra_bytes = helpers.heap.extra_bytes(index);
  return row;
}

}  // namespace flexjit::tools::bench
