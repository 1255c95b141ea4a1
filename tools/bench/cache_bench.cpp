// `flexjit bench --kv-bench` and `--varlen-bench`: a table of contiguous caches beside pages, and of ragged calls beside one
// call a sequence. Sizes of memory are those of the tensors that were made.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/subject.h"
#include "command_line/failure.h"
#include "command_line/options.h"
#include "command_line/progress.h"
#include "commands/report.h"
#include "data/embedded.h"
#include "measure/timing.h"
#include "measure/verify.h"

namespace flexjit::tools::bench {
namespace {

using Json = nlohmann::ordered_json;

// A problem, compiled, with its memory.
struct Measured {
  Problem problem;
  std::unique_ptr<Subject> subject;
  double ms = 0;
  double max_abs_error = 0;

  double mebibytes() const { return static_cast<double>(problem.k.bytes.size() + problem.v.bytes.size()) / (1 << 20); }
};

struct Combination {
  std::string label;
  Case test;
};

Case case_of(const CacheBenchOptions& options, std::int64_t heads, std::int64_t dim, std::vector<SequenceLengths> lengths) {
  const Sizes sizes{.batch = 1, .heads = heads, .kv_heads = heads, .q_len = 1, .kv_len = 1, .head_dim = dim, .v_head_dim = dim};
  const char* pattern = options.causal ? "causal_bottom_right" : "full";
  return {.suite = "kvcache",
          .name = {},
          .pattern = pattern,
          .program = std::string(embedded_example(pattern)),
          .dtypes = {.q = options.dtype, .kv = {}, .out = {}},
          .sizes = with_lengths(sizes, lengths),
          .lengths = std::move(lengths),
          .layout = Layout::kBshd};
}

// Caches that could not hold their keys are no combination.
std::vector<Combination> combinations_of_pages(const CacheBenchOptions& o) {
  std::vector<Combination> all;
  for (std::int64_t batch : o.batch_sizes)
    for (std::int64_t live : o.live_lengths)
      for (std::int64_t cache : o.cache_lengths)
        for (std::int64_t page : o.page_sizes)
          for (std::int64_t heads : o.head_counts)
            for (std::int64_t dim : o.head_dims) {
              if (live > cache) continue;
              Case test = case_of(o, heads, dim, {static_cast<std::size_t>(batch), {std::min(o.seqlen_q, live), live}});
              test.page_size = page;
              test.cache_rows = cache;
              all.push_back({fmt::format("B{} L{} M{} P{} H{} D{}", batch, live, cache, page, heads, dim), std::move(test)});
            }
  return all;
}

std::vector<Combination> combinations_of_varlen(const CacheBenchOptions& o) {
  std::vector<Combination> all;
  for (std::int64_t batch : o.varlen_batch_sizes)
    for (std::int64_t length : o.varlen_lengths)
      for (std::int64_t heads : o.varlen_head_counts)
        for (std::int64_t dim : o.varlen_head_dims)
          all.push_back({fmt::format("B{} S{} H{} D{}", batch, length, heads, dim),
                         case_of(o, heads, dim, {static_cast<std::size_t>(batch), {length, length}})});
  return all;
}

class CacheBench {
 public:
  explicit CacheBench(const BenchOptions& options) : options_(options) {}

  int operator()() {
    Json json = Json::object();
    for (const bool pages : {true, false}) {
      if (pages ? !options_.caches.pages : !options_.caches.varlen) continue;
      const auto combinations = pages ? combinations_of_pages(options_.caches) : combinations_of_varlen(options_.caches);
      if (combinations.empty())
        return report_errors(
            {failure("usage", "--kv-live-lengths", "are all longer than the caches of --kv-max-cache-lengths")},
            options_.output);
      if (options_.output == Output::kTable) print_heading(pages);
      std::vector<double> ratios;
      for (const Combination& one : combinations) {
        const Result<Json> row = pages ? row_of_pages(one) : row_of_varlen(one);
        progress_.show("");
        if (!row) return report_errors(row.diagnostics(), options_.output);
        ratios.push_back((*row)["speedup"]);
        if (options_.output == Output::kTable) print_row(pages, *row);
        json[pages ? "kv_bench" : "varlen_bench"].push_back(*row);
      }
      if (options_.output == Output::kTable)
        fmt::print("\n{} to {}: median speedup {:.2f}x\n\n", combinations.front().label, combinations.back().label,
                   median(std::move(ratios)));
    }
    if (options_.output == Output::kJson) print_json(json);
    return static_cast<int>(wrong_ ? ExitCode::kFailed : ExitCode::kFine);
  }

 private:
  Result<std::unique_ptr<Measured>> prepare(const Case& test) {
    auto measured = std::make_unique<Measured>();
    Result<Problem> problem = make_problem(run_options_of(test));
    if (!problem) return problem.diagnostics();
    measured->problem = std::move(*problem);
    auto subject = make_subject({test, measured->problem, options_.target, options_.threads});
    if (!subject) return subject.diagnostics();
    measured->subject = std::move(*subject);
    return measured;
  }

  // Both in turn, so that a clock that drifts changes both.
  template <typename First, typename Second>
  Result<std::array<double, 2>> time_both(const First& first, const Second& second) const {
    std::array<std::vector<double>, 2> times;
    for (int i = 0; i < options_.caches.warmup + options_.caches.iterations; ++i) {
      const auto timed = [&](const auto& run, std::vector<double>& into) -> Diagnostics {
        const auto begin = Clock::now();
        const Result<RunStats> stats = run();
        if (i >= options_.caches.warmup) into.push_back(ms_since(begin));
        return stats ? Diagnostics{} : stats.diagnostics();
      };
      if (Diagnostics wrong = timed(first, times[0]); !wrong.empty()) return wrong;
      if (Diagnostics wrong = timed(second, times[1]); !wrong.empty()) return wrong;
    }
    return std::array{median(std::move(times[0])), median(std::move(times[1]))};
  }

  Diagnostics compare(Measured& measured, Json& row, const char* name) {
    if (!options_.caches.compared) return {};
    Subject& subject = *measured.subject;
    const Result<Verification> found = verify(
        {subject.attention, measured.problem, subject.names.bindings, subject.outputs.out, subject.outputs.lse, {}}, progress_);
    if (!found) return found.diagnostics();
    row[name] = found->max_abs_error;
    wrong_ = wrong_ || !found->correct;
    return {};
  }

  Result<Json> row_of_pages(const Combination& one) {
    progress_.show(one.label);
    Case in_pages = one.test, in_caches = one.test;
    in_pages.cache_rows = 0;
    in_caches.page_size = 0;
    const auto paged = prepare(in_pages), contiguous = prepare(in_caches);
    if (!paged) return paged.diagnostics();
    if (!contiguous) return contiguous.diagnostics();
    Measured &p = **paged, &c = **contiguous;
    const auto ms = time_both([&] { return c.subject->run(c.problem); }, [&] { return p.subject->run(p.problem); });
    if (!ms) return ms.diagnostics();
    Json row = {{"config", one.label},
                {"contiguous_ms", (*ms)[0]},
                {"paged_ms", (*ms)[1]},
                {"speedup", (*ms)[0] / (*ms)[1]},
                {"contiguous_mib", c.mebibytes()},
                {"paged_mib", p.mebibytes()},
                {"savings", c.mebibytes() / p.mebibytes()}};
    if (Diagnostics wrong = compare(c, row, "contiguous_error"); !wrong.empty()) return wrong;
    if (Diagnostics wrong = compare(p, row, "paged_error"); !wrong.empty()) return wrong;
    return row;
  }

  Result<Json> row_of_varlen(const Combination& one) {
    progress_.show(one.label);
    const auto ragged = prepare(one.test);
    if (!ragged) return ragged.diagnostics();
    Measured& r = **ragged;
    const auto ms = time_both([&] { return r.subject->run_one_by_one(r.problem); }, [&] { return r.subject->run(r.problem); });
    if (!ms) return ms.diagnostics();
    Json row = {{"config", one.label}, {"one_by_one_ms", (*ms)[0]}, {"varlen_ms", (*ms)[1]}, {"speedup", (*ms)[0] / (*ms)[1]}};
    if (Diagnostics wrong = compare(r, row, "varlen_error"); !wrong.empty()) return wrong;
    return row;
  }

  void print_heading(bool pages) const {
    const char* errors = options_.caches.compared ? "  max errors against fp64" : "";
    if (pages)
      fmt::print("{:<32} {:>10} {:>10} {:>8} {:>11} {:>10} {:>8}{}\n", "Config", "Contig ms", "Paged ms", "Speedup",
                 "Contig MiB", "Paged MiB", "Savings", errors);
    else
      fmt::print("{:<32} {:>13} {:>10} {:>8}{}\n", "Config", "One by one ms", "Varlen ms", "Speedup", errors);
  }

  static void print_row(bool pages, const Json& row) {
    const auto number = [&](const char* name) { return row[name].get<double>(); };
    const std::string label = row["config"];
    if (pages)
      fmt::print("{:<32} {:>10.3f} {:>10.3f} {:>7.2f}x {:>11.1f} {:>10.1f} {:>7.1f}x", label, number("contiguous_ms"),
                 number("paged_ms"), number("speedup"), number("contiguous_mib"), number("paged_mib"), number("savings"));
    else
      fmt::print("{:<32} {:>13.3f} {:>10.3f} {:>7.2f}x", label, number("one_by_one_ms"), number("varlen_ms"),
                 number("speedup"));
    for (const char* name : {"contiguous_error", "paged_error", "varlen_error"})
      if (row.contains(name)) fmt::print("  {:.1e}", number(name));
    fmt::print("\n");
  }

  const BenchOptions& options_;
  Progress progress_;
  bool wrong_ = false;
};

}  // namespace
}  // namespace flexjit::tools::bench

namespace flexjit::tools {

int cache_bench_command(const BenchOptions& options) { return bench::CacheBench(options)(); }

}  // namespace flexjit::tools
