// Ratios to a run without the mod, or with one thread, come from runs that alternate with ours: a clock that drifts changes
// both.
#include "bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "bench/subject.h"
#include "measure/timing.h"

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
    row_.work = work_of(problem_, *allowed);
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

  Result<double> timed(Subject& subject) {
    const RunArgs args = subject.arguments(problem_);
    const auto begin = Clock::now();
    const Result<RunStats> stats = subject.attention.run(args);
    if (!stats) return stats.diagnostics();
    return ms_since(begin);
  }

  Diagnostics time_runs() {
    show("measuring the limit");
    LimitMeter meter(problem_, row_.work, options_.target, test_.threads);
    std::vector<double> ours, ratios;
    for (int i = 0; i < options_.repeat; ++i) {
      show(fmt::format("running {} of {}", i + 1, options_.repeat));
      const Result<double> other = beside_ ? timed(*beside_) : Result<double>(0.0);
      if (!other) return other.diagnostics();
      meter.before_run();
      const Result<double> ms = timed(*subject_);
      if (!ms) return ms.diagnostics();
      meter.after_run(*ms);
      ours.push_back(*ms);
      ratios.push_back(*other / *ms);
    }
    row_.run_ms = median(std::move(ours));
    if (beside_) (test_.plain.empty() ? row_.speedup : row_.ratio_to_plain) = median(std::move(ratios));
    row_.limit = meter.finish(row_.run_ms);
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

Row measure_case(const Case& test, std::size_t index, const BenchOptions& options, const Helpers& helpers) {
  Row row = Measurement(test, options, helpers)();
  row.extra_bytes = helpers.heap.extra_bytes(index);
  return row;
}

}  // namespace flexjit::tools::bench
