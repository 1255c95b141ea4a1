// `flexjit run`: inputs -> compile -> block mask -> timed runs beside what bounds them -> verification -> files and report. A
// trace is of runs that are not timed.
#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "command_line/options.h"
#include "command_line/progress.h"
#include "commands/report.h"
#include "commands/run_backward.h"
#include "commands/score_dump.h"
#include "data/alignment.h"
#include "data/bind.h"
#include "data/file_uses.h"
#include "data/npy.h"
#include "data/pattern.h"
#include "data/trace_file.h"
#include "flexjit/engine.h"
#include "measure/timing.h"
#include "measure/verify.h"

namespace flexjit::tools {
namespace {

std::vector<FileUse> files_read(const RunOptions& options) {
  std::vector<FileUse> uses = inputs_of(options.pattern, options.names, options.files);
  for (const auto& [option, path] : options.sequences.files()) uses.push_back({option, path});
  for (FileUse& use : backward_inputs_of(options.backward)) uses.push_back(std::move(use));
  return uses;
}

std::vector<FileUse> files_written(const RunOptions& options) {
  std::vector<FileUse> uses = {{"--out", options.files.out},
                               {"--lse", options.files.lse},
                               {"--dump-scores", options.scores.file},
                               {"--heat-map", options.scores.heat_map},
                               {"--trace", options.trace}};
  for (FileUse& use : backward_outputs_of(options.backward)) uses.push_back(std::move(use));
  return uses;
}

// One `flexjit run`, in the order of its members' making; each step returns what was wrong.
class Run {
 public:
  explicit Run(const RunOptions& options) : options_(options) {
    if (!options.trace.empty()) trace_.emplace();
  }

  int operator()() {
    struct Step {
      const char* name;
      Diagnostics (Run::*run)();
    };
    for (const Step step :
         {Step{"inputs", &Run::load}, Step{"compile", &Run::compile}, Step{"buffers", &Run::bind},
          Step{"block mask", &Run::measure_mask}, Step{"runs", &Run::time_runs}, Step{"verify", &Run::verify_rows},
          Step{"backward", &Run::run_gradients}, Step{"scores", &Run::save_scores}, Step{"picture", &Run::draw_heat_map},
          Step{"write", &Run::write}, Step{"trace", &Run::save_trace}}) {
      const Diagnostics errors = phase(step.name, [&] { return (this->*step.run)(); });
      if (errors.empty()) continue;
      progress_.show("");
      return report_errors(errors, options_.output);
    }
    progress_.show("");
    print_report(report_, options_.output);
    return static_cast<int>(report_.is_correct() ? ExitCode::kFine : ExitCode::kFailed);
  }

 private:
  // work(), as a phase of the trace.
  template <typename Work>
  std::invoke_result_t<const Work&> phase(const char* name, const Work& work) {
    const std::int64_t begin = now_ns();
    auto result = work();
    phases_.push_back({name, begin, now_ns()});
    return result;
  }

  Trace* trace() { return trace_ ? &*trace_ : nullptr; }

  Diagnostics load() {
    if (Diagnostics wrong = check_file_uses(files_read(options_), files_written(options_)); !wrong.empty()) return wrong;
    Result<AttentionSpec> spec = load_pattern(options_.pattern, options_.dtypes.q);
    if (!spec) return spec.diagnostics();
    spec_ = std::move(*spec);
    progress_.show("making inputs");
    Result<Problem> problem = make_problem(options_);
    if (!problem) return problem.diagnostics();
    problem_ = std::move(*problem);
    if (Diagnostics forgotten = forgotten_inputs(options_); !forgotten.empty()) return forgotten;
    if (problem_.ragged && !(options_.scores.file + options_.scores.heat_map).empty())
      return {failure("usage", "--dump-scores", "and --heat-map show calls of one length; run one of the sequences alone")};
    if (problem_.weights != Weights::kSoftmax && !options_.files.lse.empty())
      return {failure("usage", "--lse", "is of a softmax; other weights have none")};
    options_.dtypes = problem_.dtypes;
    apply_options(options_, problem_.sizes, spec_);
    report_.dtypes = options_.dtypes;
    report_.pattern = spec_.program_name;
    report_.target = options_.target;
    report_.sizes = problem_.sizes;
    if (problem_.ragged) report_.sequences = describe(*problem_.ragged);
    const Result<ScoreRows> rows = find_score_rows(options_.scores, problem_.sizes);
    if (!rows) return rows.diagnostics();
    if (!options_.scores.file.empty()) score_rows_ = *rows;
    report_.threads = resolve_threads(options_.threads);
    return {};
  }

  Diagnostics compile() {
    progress_.show("compiling");
    EngineOptions engine;
    engine.threads = report_.threads;
    engine.target = options_.target;
    if (options_.execution == Execution::kReference) engine.backend = Backend::kReference;
    Result<Attention> attention = Engine(engine).compile(spec_, trace());
    if (!attention) return attention.diagnostics();
    attention_ = std::move(*attention);
    report_.kernel_source = attention_->kernel_source();
    report_.compile_ms = attention_->compile_ms();
    report_.warnings = attention_->warnings();
    return {};
  }

  Diagnostics bind() {
    Result<BoundNames> names =
        bind_names(*attention_, with_flag_files(options_.names, options_.pattern.flags), problem_.sizes, inputs_of(options_));
    if (!names) return names.diagnostics();
    names_ = std::move(*names);
    report_.generated = names_.generated;
    return {};
  }

  Diagnostics measure_mask() {
    outputs_ = {problem_.make_output(), problem_.make_lse()};
    if (problem_.ragged) return count_pairs();
    progress_.show("building the block mask");
    const BlockMaskOptions options = mask_options_of(problem_.sizes);
    const auto begin = Clock::now();
    const Result<BlockMask> mask = attention_->create_block_mask(options, &names_.bindings);
    if (!mask) return mask.diagnostics();
    report_.mask_ms = ms_since(begin);
    report_.sparsity = mask->sparsity();
    report_.note = alignment_note(*mask);
    return count_pairs();
  }

  Diagnostics count_pairs() {
    progress_.show("counting allowed pairs");
    const Result<std::int64_t> allowed = attention_->count_allowed(arguments_of(problem_, outputs_, names_.bindings));
    if (!allowed) return allowed.diagnostics();
    report_.allowed_pairs = *allowed;
    report_.pairs = problem_.pairs();
    report_.work = work_of(problem_, *allowed);
    if (problem_.weights == Weights::kLinear) report_.work = linear_work(problem_, linear_cost_of(*attention_, spec_));
    return {};
  }

  static LinearCost linear_cost_of(const Attention& attention, const AttentionSpec& spec) {
    for (const BufferDeclaration& buffer : attention.buffers()) {
      const bool declares =
          buffer.extents.size() == 2 && buffer.extents[0].find_first_not_of("0123456789") == std::string::npos;
      if (declares || spec.linear.features > 0)
        return {.features = spec.linear.features > 0 ? spec.linear.features : std::stoll(buffer.extents[0]),
                .projected = true,
                .causal = true};
    }
    return {.features = spec.head_dim, .causal = true};
  }

  Diagnostics time_runs() {
    // Without a block mask: the kernel then derives one at the granularity of its own tiles, which is finer, and each timed run
    // pays for it.
    RunArgs args = arguments_of(problem_, outputs_, names_.bindings);
    const bool reference = report_.kernel_source == KernelSource::kReference;
    report_.repeat = reference ? 1 : options_.repeat;
    progress_.show("measuring the peak");
    LimitMeter meter(problem_, report_.work, options_.target, report_.threads);
    // What is timed is not traced, but for the reference, which runs once.
    args.trace = trace();
    if (!reference) {
      progress_.show("warming up");
      const Result<RunStats> stats = phase("first run", [&] { return attention_->run(args); });
      if (!stats) return stats.diagnostics();
      args.trace = nullptr;
    }
    std::vector<double> times;
    for (int i = 1; i <= report_.repeat; ++i) {
      progress_.show(fmt::format("running: {} of {}", i, report_.repeat));
      meter.before_run();
      const auto begin = Clock::now();
      const Result<RunStats> stats = attention_->run(args);
      if (!stats) return stats.diagnostics();
      times.push_back(ms_since(begin));
      meter.after_run(times.back());
    }
    report_.run_ms = median(std::move(times));
    report_.limit = meter.finish(report_.run_ms);
    return reference || !trace_ ? Diagnostics{} : run_traced(args);
  }

  Diagnostics run_traced(RunArgs args) {
    args.trace = trace();
    const Result<RunStats> stats = phase("traced run", [&] { return attention_->run(args); });
    return stats ? Diagnostics{} : stats.diagnostics();
  }

  Diagnostics verify_rows() {
    if (options_.verify_rows == 0 || problem_.sizes.q_len == 0) return {};
    const VerifyRequest request{*attention_,
                                problem_,
                                names_.bindings,
                                outputs_.out,
                                outputs_.lse,
                                options_.verify_rows,
                                score_rounding(spec_, problem_, names_.bindings)};
    Result<Verification> verification = verify(request, progress_);
    if (!verification) return verification.diagnostics();
    report_.verification = *verification;
    return {};
  }

  Diagnostics run_gradients() {
    if (!options_.backward.wanted) return {};
    const BackwardRequest request{.options = options_,
                                  .attention = *attention_,
                                  .problem = problem_,
                                  .bindings = names_.bindings,
                                  .outputs = outputs_,
                                  .allowed_pairs = report_.allowed_pairs,
                                  .repeat = report_.repeat,
                                  .threads = report_.threads,
                                  .trace = trace()};
    const Result<BackwardReport> backward = measure_backward(request, progress_);
    if (!backward) return backward.diagnostics();
    report_.backward = *backward;
    return {};
  }

  Diagnostics save_scores() {
    if (!score_rows_) return {};
    progress_.show("computing scores");
    const Result<Array> scores =
        dump_scores(*attention_, arguments_of(problem_, outputs_, names_.bindings), *score_rows_, problem_.sizes);
    if (!scores) return scores.diagnostics();
    report_.scores = ScoresWritten{options_.scores.file, *score_rows_, scores->shape};
    const Status status = write_npy(options_.scores.file, *scores);
    return status ? Diagnostics{} : status.diagnostics();
  }

  Diagnostics draw_heat_map() {
    if (options_.scores.heat_map.empty()) return {};
    progress_.show("drawing scores");
    const Status status = draw_scores(*attention_, arguments_of(problem_, outputs_, names_.bindings), options_.scores,
                                      spec_.program_name, problem_.sizes);
    return status ? Diagnostics{} : status.diagnostics();
  }

  Diagnostics save_trace() {
    if (!trace_) return {};
    const TraceFile file{.title = "flexjit run " + spec_.program_name,
                         .phases = phases_,
                         .events = trace_->events(),
                         .dropped = trace_->dropped()};
    report_.trace = TraceWritten{options_.trace, static_cast<std::int64_t>(file.events.size()), file.dropped};
    const Status status = write_trace(options_.trace, file);
    return status ? Diagnostics{} : status.diagnostics();
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

  RunOptions options_;  // with the element types that the files have
  Progress progress_;
  AttentionSpec spec_;
  Problem problem_;
  std::optional<Attention> attention_;
  BoundNames names_;
  Outputs outputs_;
  std::optional<ScoreRows> score_rows_;
  std::optional<Trace> trace_;
  std::vector<CommandPhase> phases_;
  RunReport report_;
};

}  // namespace

int run_command(const RunOptions& options) { return Run(options)(); }

}  // namespace flexjit::tools
