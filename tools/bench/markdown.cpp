// For people: lines on a terminal, and a document with one table a suite that has only the columns which the suite fills.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "bench/results.h"

namespace flexjit::tools::bench {
namespace {

std::string rate(const Row& row) { return fmt::format("{:.1f} {}", row.rate(), row.reads() ? "GB/s" : "GFLOP/s"); }

std::string limit(const Row& row) { return fmt::format("{:.1f} {}", row.limit.rate(), row.limit.kind()); }

// A peer whose output is this much farther from ours than ours from fp64 computes in a lower precision.
bool is_less_exact(const Row& row, const PeerTime& time) {
  constexpr double kTimes = 16;
  return row.verification && time.difference > kTimes * row.verification->max_abs_error;
}

std::string peer_ratio(const Row& row, const std::string& peer) {
  for (const PeerTime& time : row.peers)
    if (time.peer == peer)
      return fmt::format(fmt::runtime(is_less_exact(row, time) ? "({:.2f})" : "{:.2f}"), ratio_to(row, time));
  return "";
}

std::string mebibytes(std::int64_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); }

std::string peer_memory(const Row& row, const std::string& peer) {
  for (const PeerTime& time : row.peers)
    if (const auto ratio = memory_ratio_to(row, time); time.peer == peer && ratio) return fmt::format("{:.2f}", *ratio);
  return "";
}

struct Column {
  std::string heading;
  std::function<std::string(const Row&)> cell;  // empty where it does not apply
};

std::vector<Column> columns(const Report& report) {
  const auto optional = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.2f}", *value) : std::string();
  };
  std::vector<Column> all = {
      {"case", [](const Row& row) { return row.test.name; }},
      {"dtype", [](const Row& row) { return dtype_text(row.test); }},
      {"threads", [](const Row& row) { return fmt::format("{}", row.test.threads); }},
      {"useful", rate},
      {"limit", limit},
      {"of limit", [](const Row& row) { return fmt::format("{:.1f} %", row.percent_of_limit()); }},
      {"of plain", [optional](const Row& row) { return row.test.dropout ? "" : optional(row.ratio_to_plain); }},
      {"time of plain", [optional](const Row& row) { return row.test.dropout ? optional(1 / *row.ratio_to_plain) : ""; }},
      {"over 1 thread", [optional](const Row& row) { return optional(row.speedup); }},
      {"time of contiguous", [optional](const Row& row) { return optional(row.ratio_to_contiguous); }},
      {"time of best contiguous", [optional](const Row& row) { return optional(row.ratio_to_best_contiguous); }},
      {"time of one by one", [optional](const Row& row) { return optional(row.ratio_to_one_by_one); }},
      {"keys over f32", [optional](const Row& row) { return optional(row.over_f32); }},
      {"keys over bf16", [optional](const Row& row) { return optional(row.over_bf16); }},
  };
  for (const auto& [peer, version] : report.peers)
    all.push_back({"over " + peer, [name = peer](const Row& row) { return peer_ratio(row, name); }});
  for (const auto& [peer, version] : report.peers)
    all.push_back({"memory over " + peer, [name = peer](const Row& row) { return peer_memory(row, name); }});
  all.push_back({"compile ms", [](const Row& row) { return fmt::format("{:.1f}", row.compile_ms); }});
  all.push_back({"extra MiB", [](const Row& row) { return row.extra_bytes ? mebibytes(*row.extra_bytes) : ""; }});
  return all;
}

std::string failure_text(const Row& row) {
  return row.errors.empty() ? fmt::format("WRONG: off by {:.2e}", row.verification->max_abs_error) : row.errors[0].message;
}

std::string suite_table(const Report& report, const std::string& suite) {
  std::vector<const Row*> rows;
  std::string failures;
  for (const Row& row : report.rows) {
    if (row.test.suite != suite) continue;
    if (row.failed())
      failures += fmt::format("- {}, {}: {}\n", row.test.name, dtype_text(row.test), failure_text(row));
    else
      rows.push_back(&row);
  }
  std::string heading, rule;
  std::vector<Column> used;
  for (Column& column : columns(report)) {
    if (std::ranges::all_of(rows, [&](const Row* row) { return column.cell(*row).empty(); })) continue;
    heading += "| " + column.heading + " ";
    rule += used.size() < 2 ? "|---" : "|---:";
    used.push_back(std::move(column));
  }
  std::string out = "\n## " + suite + "\n\n";
  if (!rows.empty()) out += heading + "|\n" + rule + "|\n";
  for (const Row* row : rows) {
    for (const Column& column : used) out += "| " + column.cell(*row) + " ";
    out += "|\n";
  }
  return out + (failures.empty() ? "" : "\nDid not run:\n\n" + failures);
}

std::string machine_lines(const Report& report) {
  const Machine& m = report.machine;
  std::string out =
      fmt::format("- Machine: {}, {} processor{}; {}. Target `{}`.\n", m.processor.empty() ? "unknown" : m.processor,
                  m.processors, m.processors == 1 ? "" : "s", m.caches.empty() ? "caches unknown" : m.caches, report.target);
  for (const auto& [peer, version] : report.peers) out += fmt::format("- {}: {}\n", peer, version);
  for (const auto& [peer, why] : report.skipped) out += fmt::format("- {}: not run ({})\n", peer, why);
  return out;
}

constexpr const char* kIntroduction = R"(# Results

Made by `bench/make-results`; every figure below is of one run on one machine.

)";

constexpr const char* kExplanation = R"(
Times are medians of {} runs after one that does not count. *Useful* counts `2 (D + Dv)` operations for each pair that the mask allows, for decode
the bytes of K and V, each once. Compilations are medians of 7. The limit is measured with the same number of threads: multiply-adds of the dtype or bf16 dot products before and
after each row, the better one counts; for few queries reading K and V, before and after every run, each run compared with its own. A ratio
*over* a peer is our useful throughput over its, on the same tensors with the same number of threads, measured right after our row; it is in parentheses where the peer's output is more than 16 times as far from ours as ours from fp64, as it
computes in a lower precision (OpenVINO fp16 as bf16); the peers' masks, biases and block masks are made before their clock starts, ours inside the run. *Of plain* compares
with the same run without the mod, *over 1 thread* with one thread, both alternating with it. *Extra* is the peak of heap beyond inputs and outputs
in the first run. *Keys over* f32 and bf16 compares with the rows of the same case and those keys, measured before. Every row is verified against fp64.

The rows of *backward* are the pass from the gradient of the output to those of q, k and v, and of what the row names: `2 (3 D + 2 Dv)` operations a
pair, beside multiply-adds of fp32 for every dtype. *Memory over* a peer is the peak of its memory in a forward and a backward pass, beyond what was there,
over ours with the same results. *Of plain* is without the mod, or, of the gradient of a buffer, without that gradient. `pytorch-dropout` is `pytorch-sdpa` with a dropout that drops nothing, which
takes its path for dropout. Gradients are verified on sequences of a sixteenth of the length.

In *dropout* a tenth of the weights is dropped, by a block of Philox4x32-7 for each weight (*word 0*) or for four neighbouring keys. *Time of plain* is
the time over that of the same call without dropout.

In *varlen* sequences are packed and attended to in one call; *time of one by one* is its time over that of a call for each, on the same tensors. In
*kvcache* and *paged* each query reads the keys of its own sequence, in a cache of a batch entry each or in pages in random order; *time of contiguous* is
over such caches in the order that the pages have, *of best contiguous* over the better of (heads, rows) and (rows, heads), both alternating with ours.

In *linear* the operations are those of features and states and of the pairs inside chunks of 32 tokens; *of plain* is the time of exact causal attention over
ours, alternating with it.

In *windows* rows stand window by window, with a block of the mask for each; *of plain* is the time of the same windows in raster order over ours.

Tensors begin at 2 MiB and ask the system for pages of that size: with those of 4 KiB, short runs of keys cost a fifth more and worse.

To reproduce: `bench/make-results`, with `FLEXJIT_PEERS_PYTHON` naming a Python that has torch, openvino and numpy.
)";

}  // namespace

std::string to_markdown(const Report& report, const std::string& plot) {
  std::string out = kIntroduction + machine_lines(report);
  out += fmt::format(fmt::runtime(kExplanation), report.repeat);
  if (!plot.empty()) out += fmt::format("\n![Percent of the limit of each case, with the peers]({})\n", plot);
  for (const std::string& suite : suite_names())
    if (std::ranges::any_of(report.rows, [&](const Row& row) { return row.test.suite == suite; }))
      out += suite_table(report, suite);
  return out;
}

std::string table_heading() {
  return fmt::format("{:<8} {:<30} {:<12} {:>7} {:>14} {:>23} {:>8} {:>8}  {}", "suite", "case", "dtype", "threads", "useful",
                     "limit", "of limit", "compile", "ratios");
}

std::string table_line(const Row& row) {
  std::string line =
      fmt::format("{:<8} {:<30} {:<12} {:>7} ", row.test.suite, row.test.name, dtype_text(row.test), row.test.threads);
  if (row.failed()) return line + failure_text(row);
  line += fmt::format("{:>14} {:>23} {:>6.1f} % {:>5.0f} ms ", rate(row), limit(row), row.percent_of_limit(), row.compile_ms);
  if (row.ratio_to_plain && !row.test.dropout) line += fmt::format(" plain {:.2f}", *row.ratio_to_plain);
  if (row.ratio_to_plain && row.test.dropout) line += fmt::format(" time of plain {:.2f}", 1 / *row.ratio_to_plain);
  if (row.speedup) line += fmt::format(" 1 thread {:.2f}", *row.speedup);
  if (row.ratio_to_contiguous) line += fmt::format(" time of contiguous {:.2f}", *row.ratio_to_contiguous);
  if (row.ratio_to_best_contiguous) line += fmt::format(" of the best {:.2f}", *row.ratio_to_best_contiguous);
  if (row.ratio_to_one_by_one) line += fmt::format(" time of one by one {:.2f}", *row.ratio_to_one_by_one);
  if (row.over_f32) line += fmt::format(" keys over f32 {:.2f}", *row.over_f32);
  if (row.over_bf16) line += fmt::format(" over bf16 {:.2f}", *row.over_bf16);
  if (row.limit.share < 0.9) line += fmt::format(" (shared: had {:.0f} % of the time)", 100 * row.limit.share);
  for (const PeerTime& time : row.peers) line += fmt::format(" {} {:.2f}", time.peer, ratio_to(row, time));
  return line;
}

}  // namespace flexjit::tools::bench
