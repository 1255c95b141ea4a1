// Numbers that do not exist (no verification, a peak of nothing) are null in JSON and a word in the table, never a made-up
// zero.
#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

// Kinds of which the user's input is innocent.
constexpr std::array<std::string_view, 8> kFailures = {"buffer-read", "cache-directory", "internal", "no-compiler",
                                                       "no-kernel",   "out-of-memory",   "system",   "unwritable-file"};

Json report_json(const RunReport& r) {
  Json json = {{"pattern", r.pattern},
               {"target", r.target},
               {"threads", r.threads},
               {"sizes", sizes_json(r.sizes)},
               {"dtype", name_of(r.dtypes.q)},
               {"kv_dtype", name_of(r.dtypes.kv_dtype())},
               {"out_dtype", name_of(r.dtypes.out_dtype())},
               {"generated_buffers", r.generated},
               {"kernel_source", name_of(r.kernel_source)},
               {"compile_ms", r.compile_ms},
               {"mask_ms", r.mask_ms},
               {"sparsity", r.sparsity},
               {"allowed_pairs", r.allowed_pairs},
               {"repeat", r.repeat},
               {"run_ms", r.run_ms},
               {"useful_gflops", r.useful_gflops()},
               {"peak_kind", name_of(r.peak)},
               {"peak_gflops", r.peak_gflops},
               {"percent_of_peak", r.percent_of_peak()},
               {"max_abs_error", nullptr},
               {"max_lse_error", nullptr},
               {"rows_verified", 0},
               {"correct", nullptr},
               {"scores", nullptr},
               {"trace", nullptr}};
  if (r.verification) {
    json["max_abs_error"] = r.verification->max_abs_error;
    json["max_lse_error"] = r.verification->max_lse_error;
    json["rows_verified"] = r.verification->rows;
    json["correct"] = r.verification->correct;
  }
  if (r.scores) {
    const Json rows = Json::array({r.scores->rows.q.begin, r.scores->rows.q.end});
    json["scores"] = {{"file", r.scores->file}, {"rows", rows}, {"shape", r.scores->shape}};
  }
  if (r.trace) json["trace"] = {{"file", r.trace->file}, {"events", r.trace->events}, {"dropped_events", r.trace->dropped}};
  json["warnings"] = diagnostics_json(r.warnings);
  return json;
}

void line(std::string_view label, const std::string& text) { fmt::print("  {:<11} {}\n", label, text); }

double share_allowed(const RunReport& r) {
  const double pairs = static_cast<double>(r.sizes.batch * r.sizes.heads) * static_cast<double>(r.sizes.q_len) *
                       static_cast<double>(r.sizes.kv_len);
  return pairs > 0 ? 100.0 * static_cast<double>(r.allowed_pairs) / pairs : 0;
}

// "f32", or "bf16 (kv f16, out f32)".
std::string dtypes_text(const DTypeOptions& dtypes) {
  std::string extra;
  if (dtypes.kv_dtype() != dtypes.q) extra += fmt::format("kv {}", name_of(dtypes.kv_dtype()));
  if (dtypes.out_dtype() != dtypes.q) extra += fmt::format("{}out {}", extra.empty() ? "" : ", ", name_of(dtypes.out_dtype()));
  return extra.empty() ? std::string(name_of(dtypes.q)) : fmt::format("{} ({})", name_of(dtypes.q), extra);
}

void print_written(const RunReport& r) {
  if (r.scores)
    line("scores", fmt::format("rows {}:{} in {}, f32 {}", r.scores->rows.q.begin, r.scores->rows.q.end, r.scores->file,
                               shape_text(r.scores->shape)));
  if (!r.trace) return;
  const std::string dropped =
      r.trace->dropped > 0 ? fmt::format("; {} more did not fit, take fewer heads or rows", r.trace->dropped) : "";
  line("trace", fmt::format("{} events in {}{}", r.trace->events, r.trace->file, dropped));
}

void print_table(const RunReport& r) {
  const Sizes& s = r.sizes;
  fmt::print("{}\n", r.pattern);
  line("shape", fmt::format("batch {}, heads {} (kv {}), q_len {}, kv_len {}, head_dim {}, v_head_dim {}, {}", s.batch, s.heads,
                            s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.v_head_dim, dtypes_text(r.dtypes)));
  for (const std::string& buffer : r.generated) line("generated", buffer);
  line("compile", fmt::format("{:.2f} ms ({})", r.compile_ms, name_of(r.kernel_source)));
  line("block mask", fmt::format("{:.2f} ms; {:.1f} % of the blocks are empty, {:.1f} % of the pairs allowed", r.mask_ms,
                                 r.sparsity, share_allowed(r)));
  line("run", fmt::format("{:.3f} ms, median of {}, {} thread{}", r.run_ms, r.repeat, r.threads, r.threads == 1 ? "" : "s"));
  line("useful", fmt::format("{:.1f} GFLOP/s", r.useful_gflops()));
  line(r.peak == Peak::kDotBf16 ? "bf16 peak" : "FMA peak",
       fmt::format("{:.1f} GFLOP/s, measured beside the run ({}, {})", r.peak_gflops, name_of(r.peak), r.target));
  line("of peak", fmt::format("{:.1f} %", r.percent_of_peak()));
  print_written(r);
  if (!r.verification) return line("max error", "not verified");
  const Verification& v = *r.verification;
  line("max error", fmt::format("{:.2e}, lse {:.2e}; {} of {} rows of each head against fp64", v.max_abs_error, v.max_lse_error,
                                v.rows, s.q_len));
  line("result", v.correct ? "correct" : "WRONG");
}

}  // namespace

void print_json(const Json& json) { fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace)); }

Json error_json(const Diagnostic& d) {
  return {{"kind", d.kind},       {"severity", d.severity == Severity::kError ? "error" : "warning"},
          {"message", d.message}, {"source", d.source_name},
          {"line", d.line},       {"column", d.column},
          {"length", d.length},   {"snippet", d.snippet}};
}

Json diagnostics_json(const Diagnostics& diagnostics) {
  Json list = Json::array();
  for (const Diagnostic& diagnostic : diagnostics) list.push_back(error_json(diagnostic));
  return list;
}

Json sizes_json(const Sizes& s) {
  return {{"batch", s.batch},   {"heads", s.heads},       {"kv_heads", s.kv_heads},    {"q_len", s.q_len},
          {"kv_len", s.kv_len}, {"head_dim", s.head_dim}, {"v_head_dim", s.v_head_dim}};
}

double RunReport::useful_gflops() const {
  const double operations = 2.0 * static_cast<double>(sizes.head_dim + sizes.v_head_dim) * static_cast<double>(allowed_pairs);
  return run_ms > 0 ? operations / (run_ms * 1e6) : 0;
}

double RunReport::percent_of_peak() const { return peak_gflops > 0 ? 100.0 * useful_gflops() / peak_gflops : 0; }

void print_report(const RunReport& report, Output output) {
  if (output == Output::kJson)
    print_json(report_json(report));
  else
    print_table(report);
}

int report_errors(const Diagnostics& diagnostics, Output output) {
  if (output == Output::kJson) {
    print_json({{"errors", diagnostics_json(diagnostics)}});
  } else {
    const std::string text = render(diagnostics);
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  return exit_code_of(diagnostics);
}

int exit_code_of(const Diagnostics& diagnostics) {
  const bool failed = std::any_of(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& d) {
    return std::find(kFailures.begin(), kFailures.end(), d.kind) != kFailures.end();
  });
  return static_cast<int>(failed ? ExitCode::kFailed : ExitCode::kBadInput);
}

}  // namespace flexjit::tools
