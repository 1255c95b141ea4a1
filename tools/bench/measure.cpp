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
                      &Measurement::time_runs, &Measurement::verify_results, &Measurement::ask_peers})
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
    const SubjectRequest request{test_, problem_, options_.target, test_.threads};
    auto subject = make_subject(request);
    if (!subject) return subject.diagnostics();
    subject_ = std::move(*subject);
    std::vector<double> compilations = {subject_->compile_ms};
    while (options_.effort == Effort::kFull && compilations.size() < kCompilations)
      compilations.push_back(compile_ms_of(request).value());
    row_.compile_ms = median(std::move(compilations));
    return prepare_beside();
  }

  Diagnostics prepare_beside() {
    if (test_.beside == Beside::kNothing || test_.beside == Beside::kOneByOne) return {};
    if (test_.beside == Beside::kContiguous) return prepare_contiguous();
    plain_ = plain_version(test_);
    auto beside = test_.beside == Beside::kOneThread ? make_subject({test_, problem_, options_.target, 1})
                                                     : make_subject({plain_, problem_, options_.target, test_.threads});
    if (!beside) return beside.diagnostics();
    beside_ = std::move(*beside);
    return {};
  }

  Diagnostics prepare_contiguous() {
    for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
      auto& own = contiguous_.emplace_back(std::make_unique<Contiguous>());
      own->test = contiguous_version(test_, layout);
      Result<Problem> problem = make_problem(run_options_of(own->test));
      if (!problem) return problem.diagnostics();
      own->problem = std::move(*problem);
      auto subject = make_subject({own->test, own->problem, options_.target, test_.threads});
      if (!subject) return subject.diagnostics();
      own->subject = std::move(*subject);
    }
    return {};
  }

  void count_results() {
    const auto add = [this](const Array& array) { row_.result_bytes += static_cast<std::int64_t>(array.bytes.size()); };
    add(subject_->outputs.out);
    add(subject_->outputs.lse);
    if (test_.pass == Pass::kForward) return;
    const GradientArrays& gradients = subject_->gradients;
    for (const Array* array : {&gradients.q, &gradients.k, &gradients.v}) add(*array);
    for (const auto& [name, array] : gradients.buffers) add(array);
  }

  Diagnostics count_work() {
    count_results();
    show("counting allowed pairs");
    const Result<std::int64_t> allowed = subject_->attention.count_allowed(subject_->arguments(problem_));
    if (!allowed) return allowed.diagnostics();
    row_.allowed_pairs = *allowed;
    row_.work = test_.pass == Pass::kBackward ? backward_work(problem_, *allowed) : work_of(problem_, *allowed);
    if (test_.linear) {
      const std::int32_t features = test_.linear->features;
      row_.work = linear_work(
          problem_, {.features = features > 0 ? features : problem_.sizes.head_dim, .projected = features > 0, .causal = true});
    }
    return {};
  }

  Diagnostics run_first() {
    show("warming up");
    const Result<RunStats> stats = subject_->run(problem_);
    if (!stats) return stats.diagnostics();
    const Result<double> plain = beside_ ? timed(*beside_) : Result<double>(0.0);
    if (!plain) return plain.diagnostics();
    const Result<Others> others = time_others();
    return others ? Diagnostics{} : others.diagnostics();
  }

  // Milliseconds of what a ragged case is compared with.
  struct Others {
    double one_by_one = 0, same_order = 0, best_order = 0;
  };
  Result<Others> time_others() {
    Others others;
    if (test_.beside == Beside::kOneByOne) {
      const auto begin = Clock::now();
      const Result<RunStats> stats = subject_->run_one_by_one(problem_);
      if (!stats) return stats.diagnostics();
      others.one_by_one = ms_since(begin);
    }
    for (const auto& own : contiguous_) {
      const auto begin = Clock::now();
      const Result<RunStats> stats = own->subject->run(own->problem);
      if (!stats) return stats.diagnostics();
      const double ms = ms_since(begin);
      if (own->test.layout == test_.layout) others.same_order = ms;
      others.best_order = others.best_order == 0 ? ms : std::min(others.best_order, ms);
    }
    return others;
  }

  Result<double> timed(Subject& subject) {
    const auto begin = Clock::now();
    const Result<RunStats> stats = subject.run(problem_);
    if (!stats) return stats.diagnostics();
    return ms_since(begin);
  }

  Diagnostics time_runs() {
    show("measuring the limit");
    LimitMeter meter(problem_, row_.work, options_.target, test_.threads);
    std::vector<double> ours, ratios, one_by_one, same_order, best_order;
    for (int i = 0; i < options_.repeat; ++i) {
      show(fmt::format("running {} of {}", i + 1, options_.repeat));
      const Result<double> other = beside_ ? timed(*beside_) : Result<double>(0.0);
      if (!other) return other.diagnostics();
      const Result<Others> others = time_others();
      if (!others) return others.diagnostics();
      meter.before_run();
      const Result<double> ms = timed(*subject_);
      if (!ms) return ms.diagnostics();
      meter.after_run(*ms);
      ours.push_back(*ms);
      ratios.push_back(*other / *ms);
      one_by_one.push_back(*ms / others->one_by_one);
      same_order.push_back(*ms / others->same_order);
      best_order.push_back(*ms / others->best_order);
    }
    if (test_.beside == Beside::kOneByOne) row_.ratio_to_one_by_one = median(std::move(one_by_one));
    if (test_.beside == Beside::kContiguous) {
      row_.ratio_to_contiguous = median(std::move(same_order));
      row_.ratio_to_best_contiguous = median(std::move(best_order));
    }
    row_.run_ms = median(std::move(ours));
    if (beside_) (test_.beside == Beside::kOneThread ? row_.speedup : row_.ratio_to_plain) = median(std::move(ratios));
    row_.limit = meter.finish(row_.run_ms);
    return {};
  }

  Diagnostics verify_results() {
    show("verifying");
    return test_.pass == Pass::kBackward ? verify_gradients() : verify_rows();
  }

  // Every gradient of keys and buffers is a sum over all rows, of which no sample says anything: the same pattern is verified
  // on small sizes, in full.
  Diagnostics verify_gradients() {
    const Case small = small_version(test_);
    const Result<Problem> problem = make_problem(run_options_of(small));
    if (!problem) return problem.diagnostics();
    const auto subject = make_subject({small, *problem, options_.target, test_.threads});
    if (!subject) return subject.diagnostics();
    Subject& own = **subject;
    const Result<RunStats> stats = own.run(*problem);
    if (!stats) return stats.diagnostics();
    const Result<BackwardErrors> errors = verify_backward(own.attention, own.arguments(*problem), *problem, own.gradients);
    if (!errors) return errors.diagnostics();
    row_.verification = {.max_abs_error = std::max({errors->q, errors->k, errors->v, errors->buffers.value_or(0)}),
                         .correct = errors->correct};
    return {};
  }

  // Rows in an order by the pattern that has none.
  Diagnostics verify_rows() {
    const Subject& by = test_.windows ? *beside_ : *subject_;
    Result<Verification> verification = verify(
        {by.attention, problem_, by.names.bindings, subject_->outputs.out, subject_->outputs.lse, kVerifiedRows}, progress_);
    if (!verification) return verification.diagnostics();
    row_.verification = *verification;
    return {};
  }

  Diagnostics ask_peers() {
    if (peers_ == nullptr || test_.beside == Beside::kOneThread || !test_.lengths.empty() || test_.windows) return {};
    // Peers drop nothing, by a path that could, so that what they compute can be compared.
    Subject& compared = test_.dropout ? *beside_ : *subject_;
    PeerTensors tensors{.q = problem_.q, .k = problem_.k, .v = problem_.v, .results = {}, .grad_out = nullptr, .buffers = {}};
    GradientArrays& gradients = compared.gradients;
    switch (test_.pass) {
      case Pass::kForward: tensors.results = {&compared.outputs.out}; break;
      case Pass::kBackward:
        tensors.grad_out = &gradients.out;
        tensors.results = {&gradients.q, &gradients.k, &gradients.v};
        for (const std::string& name : test_.gradients) tensors.results.push_back(&gradients.buffers.at(name));
        break;
    }
    for (const auto& [name, view] : subject_->names.bindings.buffers)
      for (const Array& array : subject_->names.storage)
        if (array.bytes.data() == view.data) tensors.buffers.emplace(name, &array);
    peers_->measure(tensors, options_.repeat, row_, progress_);
    return {};
  }

  // Caches of the same lengths.
  struct Contiguous {
    Case test;
    Problem problem;
    std::unique_ptr<Subject> subject;
  };

  const Case& test_;
  Case plain_;
  const BenchOptions& options_;
  Peers* peers_;
  const Progress& progress_;
  Problem problem_;
  std::unique_ptr<Subject> subject_, beside_;  // beside_: what the ratio is to, or null
  std::vector<std::unique_ptr<Contiguous>> contiguous_;
  Row row_;
};

}  // namespace

Row measure_case(const Case& test, std::size_t index, const BenchOptions& options, const Helpers& helpers) {
  Row row = Measurement(test, options, helpers)();
  row.extra_bytes = helpers.heap.extra_bytes(index);
  return row;
}

}  // namespace flexjit::tools::bench
