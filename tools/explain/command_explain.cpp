// `flexjit explain`: a pattern and sizes -> what is skipped, what is fused where, what each part costs, and what would be
// faster.
#include <algorithm>
#include <utility>

#include "command_line/progress.h"
#include "commands/report.h"
#include "data/alignment.h"
#include "data/file_uses.h"
#include "data/pattern.h"
#include "explain/explanation.h"
#include "measure/timing.h"

namespace flexjit::tools {
namespace {

constexpr std::int32_t kManyRows = 1024;  // of queries, for which no kernel decodes

EngineOptions engine_options(const ExplainOptions& options) {
  EngineOptions engine;
  engine.threads = resolve_threads(options.run.threads);
  engine.target = options.run.target;
  engine.cache_dir.clear();  // nobody will ask for the variants again
  return engine;
}

// One `flexjit explain`, in the order of its members' making; each step returns what was wrong.
class ExplainRun {
 public:
  explicit ExplainRun(const ExplainOptions& options)
      : options_(options.run),
        subject_{.options = options_,
                 .progress = progress_,
                 .seconds = options.seconds,
                 .pass = options.pass,
                 .engine = Engine(engine_options(options))} {}

  int operator()() {
    using Step = Diagnostics (ExplainRun::*)();
    for (Step step : {&ExplainRun::load, &ExplainRun::compile, &ExplainRun::bind, &ExplainRun::find_blocks,
                      &ExplainRun::run_once, &ExplainRun::measure, &ExplainRun::advise})
      if (const Diagnostics errors = (this->*step)(); !errors.empty()) {
        progress_.show("");
        return report_errors(errors, options_.output);
      }
    progress_.show("");
    print_explanation(explanation_, options_.output);
    return static_cast<int>(ExitCode::kFine);
  }

 private:
  Diagnostics load() {
    if (Diagnostics wrong = check_file_uses(inputs_of(options_.pattern, options_.names, options_.files), {}); !wrong.empty())
      return wrong;
    if (options_.sequences.any())
      return {
          failure("usage", "--lengths",
                  "is for run, inspect and bench; explain measures calls of one length, as --batch, --q-len and --kv-len say")};
    Result<AttentionSpec> spec = load_pattern(options_.pattern, options_.dtypes.q);
    if (!spec) return spec.diagnostics();
    subject_.spec = std::move(*spec);
    if (subject_.spec.program.empty()) subject_.spec.program = "score = score\n";  // flags alone
    progress_.show("making inputs");
    Result<Problem> problem = make_problem(options_);
    if (!problem) return problem.diagnostics();
    subject_.problem = std::move(*problem);
    if (Diagnostics forgotten = forgotten_inputs(options_); !forgotten.empty()) return forgotten;
    options_.dtypes = subject_.problem.dtypes;
    apply_options(options_, subject_.problem.sizes, subject_.spec);
    explanation_.pattern = subject_.spec.program_name;
    explanation_.pass = subject_.pass;
    explanation_.target = options_.target;
    explanation_.sizes = subject_.problem.sizes;
    explanation_.dtypes = options_.dtypes;
    explanation_.threads = resolve_threads(options_.threads);
    return {};
  }

  Diagnostics compile() {
    progress_.show("compiling");
    Result<Attention> attention = subject_.engine.compile(subject_.spec);
    if (!attention) return attention.diagnostics();
    subject_.attention = std::move(*attention);
    BlockMaskOptions call = mask_options_of(subject_.problem.sizes);
    // A backward pass has no kernel of its own for few query rows.
    if (subject_.pass == ExplainedPass::kBackward) call.q_len = std::max(call.q_len, kManyRows);
    Result<PatternAnatomy> anatomy = dissect(subject_.spec, subject_.engine.options(), call);
    if (!anatomy) return anatomy.diagnostics();
    explanation_.anatomy = std::move(*anatomy);
    return {};
  }

  Diagnostics bind() {
    Result<BoundNames> names = bind_names(*subject_.attention, with_flag_files(options_.names, options_.pattern.flags),
                                          subject_.problem.sizes, inputs_of(options_));
    if (!names) return names.diagnostics();
    subject_.names = std::move(*names);
    explanation_.generated = subject_.names.generated;
    return {};
  }

  Diagnostics find_blocks() {
    progress_.show("building the block mask");
    Result<BlockMask> blocks = subject_.attention->create_block_mask(mask_options_of(subject_.problem.sizes),
                                                                     &subject_.names.bindings, &explanation_.found);
    if (!blocks) return blocks.diagnostics();
    subject_.blocks = std::move(*blocks);
    explanation_.blocks = subject_.blocks->counts();
    explanation_.note = alignment_note(*subject_.blocks);
    for (const PatternPart& part : explanation_.anatomy.parts) explanation_.has_mask |= part.decides_mask;
    explanation_.has_mask |= explanation_.blocks.partial + explanation_.blocks.empty > 0;  // flags are no part of the text
    return {};
  }

  Diagnostics run_once() {
    progress_.show("warming up");
    subject_.outputs = {subject_.problem.make_output(), subject_.problem.make_lse()};
    Contender contender = subject_.contender(*subject_.attention);
    if (Diagnostics errors = contender.prepare(); !errors.empty()) return errors;
    const Result<RunStats> stats = contender.run();
    if (!stats) return stats.diagnostics();
    const Sizes& s = subject_.problem.sizes;
    explanation_.scores = s.batch * s.heads * s.q_len * s.kv_len;
    explanation_.scores_computed = stats->scores_visited;
    const Result<std::int64_t> allowed = subject_.attention->count_allowed(mask_options_of(s), &subject_.names.bindings);
    if (!allowed) return allowed.diagnostics();
    explanation_.allowed_pairs = *allowed;
    const bool backward = subject_.pass == ExplainedPass::kBackward;
    explanation_.work = backward ? backward_work(subject_.problem, *allowed) : work_of(subject_.problem, *allowed);
    LimitMeter meter(subject_.problem, explanation_.work, options_.target, explanation_.threads);
    std::vector<double> times;
    const auto begin = Clock::now();
    while (times.size() < kTimedRuns && (times.size() < 3 || ms_since(begin) < subject_.seconds * 1e2)) {
      meter.before_run();
      const double before = clock_ms(explanation_.threads);
      if (const auto again = contender.run(); !again) return again.diagnostics();
      times.push_back(clock_ms(explanation_.threads) - before);
      meter.after_run(times.back());
    }
    explanation_.run_ms = median(std::move(times));
    explanation_.limit = meter.finish(explanation_.run_ms);
    return {};
  }

  Diagnostics measure() {
    if (explanation_.scores_computed == 0) return {};
    if (Diagnostics errors = measure_parts(subject_, explanation_); !errors.empty()) return errors;
    return measure_gradients(subject_, explanation_);
  }

  Diagnostics advise() {
    if (explanation_.scores_computed == 0) return {};
    return find_advice(subject_, explanation_);
  }

  static constexpr std::size_t kTimedRuns = 25;

  RunOptions options_;  // with the element types that the files have
  Progress progress_;
  Subject subject_;
  Explanation explanation_;
};

}  // namespace

int explain_command(const ExplainOptions& options) { return ExplainRun(options)(); }

}  // namespace flexjit::tools
