// Ratios to a run without the mod, or with one thread, come from runs that alternate with ours: a clock that drifts changes
// both.
#include "bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "bind.h"
#include "flexjit/engine.h"
#include "heap_meter.h"
#include "timing.h"

namespace flexjit::tools::bench {
namespace {

constexpr int kVerifiedRows = 16;  // of each head: the first and the last ones

// The ids of consecutive documents whose lengths vary between half and one and a half times `mean`.
void fill_documents(Array& ids, std::int64_t mean) {
  std::int32_t* id = ids.as<std::int32_t>();
  std::uint64_t state = 1;
  std::int64_t left = 0;
  std::int32_t document = -1;
  for (std::int64_t i = 0; i < ids.count(); ++i, --left) {
    if (left == 0) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      left = mean / 2 + static_cast<std::int64_t>((state >> 33) % static_cast<std::uint64_t>(mean + 1));
      left = std::max<std::int64_t>(left, 1);
      ++document;
    }
    id[i] = document;
  }
}

// A program compiled for some number of threads, with its bindings and outputs.
struct Subject {
  Attention attention;
  BoundNames names;
  Array out, lse;

  RunArgs arguments(const Problem& problem) {
    return {.q = view_of(problem.q, problem.layout),
            .k = view_of(problem.k, problem.layout),
            .v = view_of(problem.v, problem.layout),
            .out = mutable_view_of(out, problem.layout),
            .lse = mutable_lse_view(lse),
            .bindings = &names.bindings};
  }
};

class Measurement {
 public:
  Measurement(const Case& test, const BenchOptions& options, Peers* peers, const Progress& progress)
      : test_(test), options_(options), peers_(peers), progress_(progress) {
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
    const Sizes& s = test_.sizes;
    run_options_.sizes = {s.batch, s.heads, s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.v_head_dim};
    run_options_.dtypes = test_.dtypes;
    Result<Problem> problem = make_problem(run_options_);
    if (!problem) return problem.diagnostics();
    problem_ = std::move(*problem);
    row_.kv_bytes = static_cast<std::int64_t>(problem_.k.bytes.size() + problem_.v.bytes.size());
    return {};
  }

  Result<std::unique_ptr<Subject>> compile(const std::string& program, int threads) const {
    AttentionSpec spec;
    spec.program = program;
    spec.program_name = test_.pattern;
    spec.dtype = test_.dtypes.q;
    spec.kv_dtype = test_.dtypes.kv;
    spec.out_dtype = test_.dtypes.out;
    spec.head_dim = static_cast<std::int32_t>(test_.sizes.head_dim);
    spec.v_head_dim = static_cast<std::int32_t>(test_.sizes.v_head_dim);
    EngineOptions engine;
    engine.threads = threads;
    engine.target = options_.target;
    Result<Attention> attention = Engine(engine).compile(spec);
    if (!attention) return attention.diagnostics();
    Result<BoundNames> names = bind_names(*attention, run_options_, test_.sizes);
    if (!names) return names.diagnostics();
    for (Array& buffer : names->storage)
      if (test_.document_length > 0 && buffer.dtype == DType::kI32) fill_documents(buffer, test_.document_length);
    return std::make_unique<Subject>(
        Subject{std::move(*attention), std::move(*names), problem_.make_output(), problem_.make_lse()});
  }

  Diagnostics prepare() {
    show("compiling");
    auto subject = compile(test_.program, test_.threads);
    if (!subject) return subject.diagnostics();
    subject_ = std::move(*subject);
    row_.compile_ms = subject_->attention.compile_ms();
    if (test_.plain.empty() && test_.suite != "scaling") return {};
    auto beside = test_.plain.empty() ? compile(test_.program, 1) : compile(test_.plain, test_.threads);
    if (!beside) return beside.diagnostics();
    beside_ = std::move(*beside);
    return {};
  }

  Diagnostics count_work() {
    show("counting allowed pairs");
    const Sizes& s = test_.sizes;
    const auto narrow = [](std::int64_t size) { return static_cast<std::int32_t>(size); };
    const Result<std::int64_t> allowed = subject_->attention.count_allowed({.batch = narrow(s.batch),
                                                                            .heads = narrow(s.heads),
                                                                            .kv_heads = narrow(s.kv_heads),
                                                                            .q_len = narrow(s.q_len),
                                                                            .kv_len = narrow(s.kv_len)},
                                                                           &subject_->names.bindings);
    if (!allowed) return allowed.diagnostics();
    row_.allowed_pairs = *allowed;
    return {};
  }

  Diagnostics run_first() {
    show("warming up");
    const RunArgs args = subject_->arguments(problem_);
    const HeapMeter meter;
    const Result<RunStats> stats = subject_->attention.run(args);
    if (!stats) return stats.diagnostics();
    row_.extra_bytes = meter.peak_bytes();
    if (!beside_) return {};
    const Result<RunStats> other = beside_->attention.run(beside_->arguments(problem_));
    return other ? Diagnostics{} : other.diagnostics();
  }

  void measure_limit() {
    show("measuring the limit");
    if (test_.is_decode()) {
      row_.limit = std::max(row_.limit, measure_read_gbps(problem_.k.bytes, problem_.v.bytes, test_.threads));
      return;
    }
    row_.arithmetic = peak_for(test_.dtypes.q, options_.target);
    row_.limit = std::max(row_.limit, measure_peak_gflops(*row_.arithmetic, options_.target, test_.threads));
  }

  Result<double> timed(Subject& subject) {
    const RunArgs args = subject.arguments(problem_);
    const auto begin = Clock::now();
    const Result<RunStats> stats = subject.attention.run(args);
    if (!stats) return stats.diagnostics();
    return ms_since(begin);
  }

  Diagnostics time_runs() {
    measure_limit();
    std::vector<double> ours, ratios;
    for (int i = 0; i < options_.repeat; ++i) {
      show(fmt::format("running {} of {}", i + 1, options_.repeat));
      const Result<double> other = beside_ ? timed(*beside_) : Result<double>(0.0);
      if (!other) return other.diagnostics();
      const Result<double> ms = timed(*subject_);
      if (!ms) return ms.diagnostics();
      ours.push_back(*ms);
      ratios.push_back(*other / *ms);
    }
    row_.run_ms = median(std::move(ours));
    if (beside_) (test_.plain.empty() ? row_.speedup : row_.ratio_to_plain) = median(std::move(ratios));
    if (options_.effort == Effort::kFull) measure_limit();
    return {};
  }

  Diagnostics verify_rows() {
    show("verifying");
    Result<Verification> verification = verify(
        {subject_->attention, problem_, subject_->names.bindings, subject_->out, subject_->lse, kVerifiedRows}, progress_);
    if (!verification) return verification.diagnostics();
    row_.verification = *verification;
    return {};
  }

  Diagnostics ask_peers() {
    if (peers_ == nullptr || test_.suite == "scaling") return {};
    PeerTensors tensors{.q = problem_.q, .k = problem_.k, .v = problem_.v, .out = subject_->out, .buffers = {}};
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
  RunOptions run_options_;
  Problem problem_;
  std::unique_ptr<Subject> subject_, beside_;  // beside_: what the ratio is to, or null
  Row row_;
};

}  // namespace

double Row::useful_gflops() const {
  const double operations =
      2.0 * static_cast<double>(test.sizes.head_dim + test.sizes.v_head_dim) * static_cast<double>(allowed_pairs);
  return run_ms > 0 ? operations / (run_ms * 1e6) : 0;
}

double Row::gbps() const { return run_ms > 0 ? static_cast<double>(kv_bytes) / (run_ms * 1e6) : 0; }

double Row::percent_at(double ms) const {
  if (!(limit > 0) || !(ms > 0)) return 0;
  return 100.0 * (arithmetic ? useful_gflops() : gbps()) * (run_ms / ms) / limit;
}

std::string Row::limit_kind() const { return arithmetic ? std::string(name_of(*arithmetic)) : "read-bandwidth"; }

Row measure_case(const Case& test, const BenchOptions& options, Peers* peers, const Progress& progress) {
  return Measurement(test, options, peers, progress)();
}

}  // namespace flexjit::tools::bench
