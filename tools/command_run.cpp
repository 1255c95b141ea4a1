// `flexjit run`: inputs -> compile -> block mask -> timed runs -> verification -> files and report. The peak is measured before
// and after the timed runs and the better one counts, so a busy moment cannot flatter the kernel.
#include <fmt/format.h>

#include <algorithm>

#include "bind.h"
#include "flexjit/engine.h"
#include "npy.h"
#include "options.h"
#include "pattern.h"
#include "peak.h"
#include "progress.h"
#include "report.h"
#include "timing.h"
#include "verify.h"

namespace flexjit::tools {
namespace {

// One `flexjit run`, in the order of its members' making; each step returns what was wrong.
class Run {
 public:
  explicit Run(const RunOptions& options) : options_(options) {}

  int operator()() {
    using Step = Diagnostics (Run::*)();
    for (Step step :
         {&Run::load, &Run::compile, &Run::bind, &Run::measure_mask, &Run::time_runs, &Run::verify_rows, &Run::write})
      if (const Diagnostics errors = (this->*step)(); !errors.empty()) {
        progress_.show("");
        return report_errors(errors, options_.output);
      }
    progress_.show("");
    print_report(report_, options_.output);
    const bool correct = !report_.verification || report_.verification->correct;
    return static_cast<int>(correct ? ExitCode::kFine : ExitCode::kFailed);
  }

 private:
  Diagnostics load() {
    Result<AttentionSpec> spec = load_pattern(options_.pattern);
    if (!spec) return spec.diagnostics();
    spec_ = std::move(*spec);
    progress_.show("making inputs");
    Result<Problem> problem = make_problem(options_);
    if (!problem) return problem.diagnostics();
    problem_ = std::move(*problem);
    apply_options(options_, problem_.sizes, spec_);
    report_.dtypes = options_.dtypes;
    report_.peak = peak_for(options_.dtypes.q, options_.target);
    report_.pattern = spec_.program_name;
    report_.target = options_.target;
    report_.sizes = problem_.sizes;
    report_.threads = resolve_threads(options_.threads);
    return {};
  }

  Diagnostics compile() {
    progress_.show("compiling");
    EngineOptions engine;
    engine.threads = report_.threads;
    engine.target = options_.target;
    if (options_.execution == Execution::kReference) engine.backend = Backend::kReference;
    Result<Attention> attention = Engine(engine).compile(spec_);
    if (!attention) return attention.diagnostics();
    attention_ = std::move(*attention);
    report_.kernel_source = attention_->kernel_source();
    report_.compile_ms = attention_->compile_ms();
    return {};
  }

  Diagnostics bind() {
    Result<BoundNames> names = bind_names(*attention_, options_.names, problem_.sizes);
    if (!names) return names.diagnostics();
    names_ = std::move(*names);
    report_.generated = names_.generated;
    return {};
  }

  Diagnostics measure_mask() {
    progress_.show("building the block mask");
    const BlockMaskOptions options = mask_options_of(problem_.sizes);
    const auto begin = Clock::now();
    const Result<BlockMask> mask = attention_->create_block_mask(options, &names_.bindings);
    if (!mask) return mask.diagnostics();
    report_.mask_ms = ms_since(begin);
    report_.sparsity = mask->sparsity();
    progress_.show("counting allowed pairs");
    const Result<std::int64_t> allowed = attention_->count_allowed(options, &names_.bindings);
    if (!allowed) return allowed.diagnostics();
    report_.allowed_pairs = *allowed;
    return {};
  }

  Diagnostics time_runs() {
    outputs_ = {problem_.make_output(), problem_.make_lse()};
    // Without a block mask: the kernel then derives one at the granularity of its own tiles, which is finer, and each timed run
    // pays for it.
    const RunArgs args = arguments_of(problem_, outputs_, names_.bindings);
    const bool reference = report_.kernel_source == KernelSource::kReference;
    report_.repeat = reference ? 1 : options_.repeat;
    progress_.show("measuring the peak");
    report_.peak_gflops = measure_peak_gflops(report_.peak, options_.target, report_.threads);
    std::vector<double> times;
    for (int i = reference ? 1 : 0; i <= report_.repeat; ++i) {  // run 0 warms up
      progress_.show(i == 0 ? "warming up" : fmt::format("running: {} of {}", i, report_.repeat));
      const auto begin = Clock::now();
      const Result<RunStats> stats = attention_->run(args);
      if (!stats) return stats.diagnostics();
      if (i > 0) times.push_back(ms_since(begin));
    }
    report_.run_ms = median(std::move(times));
    report_.peak_gflops = std::max(report_.peak_gflops, measure_peak_gflops(report_.peak, options_.target, report_.threads));
    return {};
  }

  Diagnostics verify_rows() {
    const VerifyRequest request{*attention_, problem_, names_.bindings, outputs_.out, outputs_.lse, options_.verify_rows};
    if (options_.verify_rows == 0 || problem_.sizes.q_len == 0) return {};
    Result<Verification> verification = verify(request, progress_);
    if (!verification) return verification.diagnostics();
    report_.verification = *verification;
    return {};
  }

  Diagnostics write() {
    Diagnostics errors;
    const auto save = [&errors](const std::string& path, const Array& array) {
      if (path.empty()) return;
      if (const Status status = write_npy(path, array); !status) errors = status.diagnostics();
    };
    save(options_.files.out, outputs_.out);
    save(options_.files.lse, outputs_.lse);
    return errors;
  }

  const RunOptions& options_;
  Progress progress_;
  AttentionSpec spec_;
  Problem problem_;
  std::optional<Attention> attention_;
  BoundNames names_;
  Outputs outputs_;
  RunReport report_;
};

}  // namespace

int run_command(const RunOptions& options) { return Run(options)(); }

}  // namespace flexjit::tools
