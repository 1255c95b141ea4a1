// `flexjit bench`: cases -> rows, printed as they come, then the documents.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "bench/measure.h"
#include "bench/peers.h"
#include "bench/results.h"
#include "command_line/failure.h"
#include "command_line/options.h"
#include "commands/report.h"
#include "data/file_uses.h"
#include "data/output_file.h"
#include "flexjit/engine.h"

namespace flexjit::tools::bench {
namespace {

// The first compilation of a process also loads the compiler, which is no pattern's own time.
Diagnostics load_compiler(const BenchOptions& options) {
  EngineOptions engine;
  engine.target = options.target;
  engine.threads = options.threads;
  AttentionSpec spec;
  spec.head_dim = 8;
  const Result<Attention> attention = Engine(engine).compile(spec);
  return attention ? Diagnostics{} : attention.diagnostics();
}

// What was asked for and cannot be had is one line and no failure: the peers are optional.
std::unique_ptr<Peers> start_peers(const BenchOptions& options, Report& report, const Progress& progress) {
  if (options.python.empty()) return nullptr;
  Result<std::unique_ptr<Peers>> peers = Peers::start(options.python, progress);
  progress.show("");
  if (!peers) {
    const Diagnostic& error = peers.diagnostics()[0];
    report.skipped["all"] = fmt::format("{}: {}", options.python, error.message);
  } else {
    report.peers = (*peers)->versions();
    report.skipped = (*peers)->skipped();
  }
  for (const auto& [peer, why] : report.skipped)
    fmt::print(stderr, "peers: {} skipped: {}\n", peer == "all" ? "all of them are" : peer, why);
  return peers ? std::move(*peers) : nullptr;
}

// The plot is named relative to the document.
Diagnostics write_documents(const BenchOptions& options, const Report& report) {
  Diagnostics errors;
  const auto append = [&errors](const Status& written) {
    if (!written) errors.insert(errors.end(), written.diagnostics().begin(), written.diagnostics().end());
  };
  if (!options.plot.empty()) append(write_file(options.plot, to_svg(report)));
  if (options.markdown.empty()) return errors;
  std::string plot;
  if (!options.plot.empty())
    plot = std::filesystem::absolute(options.plot)
               .lexically_proximate(std::filesystem::absolute(options.markdown).parent_path())
               .generic_string();
  append(write_file(options.markdown, to_markdown(report, plot)));
  return errors;
}

// The last row of `quantized` with those before it.
void compare_types(Report& report) {
  Row& row = report.rows.back();
  if (row.test.suite != "quantized" || row.run_ms == 0) return;
  for (const Row& other : report.rows) {
    if (other.test.suite != row.test.suite || other.test.name != row.test.name) continue;
    const DType kv = other.test.dtypes.kv_dtype();
    if (kv == DType::kF32) row.over_f32 = other.run_ms / row.run_ms;
    if (kv == DType::kBF16) row.over_bf16 = other.run_ms / row.run_ms;
  }
}

}  // namespace
}  // namespace flexjit::tools::bench

namespace flexjit::tools {

int bench_command(const BenchOptions& options) {
  using namespace bench;
  if (const Diagnostics errors = check_file_uses({}, {{"--svg", options.plot}, {"--markdown", options.markdown}});
      !errors.empty())
    return report_errors(errors, options.output);
  const std::vector<Case> cases = select_cases(options);
  if (cases.empty())
    return report_errors({failure("usage", "bench", fmt::format("no case matches `{}`", options.filter))}, options.output);
  HeapProbe heap(cases, options);  // before anything starts a thread
  const Progress progress;
  progress.show("loading the compiler");
  if (const Diagnostics errors = load_compiler(options); !errors.empty()) return report_errors(errors, options.output);
  Report report{.machine = describe_machine(),
                .target = options.target,
                .repeat = options.repeat,
                .peers = {},
                .skipped = {},
                .rows = {}};
  const std::unique_ptr<Peers> peers = start_peers(options, report, progress);
  const bool table = options.output == Output::kTable;
  progress.show("");
  if (table) fmt::print("{}\n", table_heading());
  bool failed = false;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    report.rows.push_back(measure_case(cases[i], i, options, {heap, peers.get(), progress}));
    compare_types(report);
    progress.show("");
    failed = failed || report.rows.back().failed();
    if (table) fmt::print("{}\n", table_line(report.rows.back()));
    std::fflush(stdout);
  }
  if (const Diagnostics errors = write_documents(options, report); !errors.empty())
    return report_errors(errors, options.output);
  if (!table) fmt::print("{}\n", to_json(report));
  return static_cast<int>(failed ? ExitCode::kFailed : ExitCode::kFine);
}

}  // namespace flexjit::tools
