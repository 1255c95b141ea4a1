// Numbers that do not exist (no verification, a peak of nothing) are null in JSON and a word in the table, never a made-up
// zero.
#include "commands/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command_line/colour.h"
#include "data/output_file.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

// Kinds of which the user's input is innocent.
constexpr std::array<std::string_view, 8> kFailures = {"buffer-read", "cache-directory", "internal", "no-compiler",
                                                       "no-kernel",   "out-of-memory",   "system",   "unwritable-file"};

void add_backward(const RunReport& r, Json& json) {
  if (!r.backward) return;
  json["backward_ms"] = r.backward->ms;
  json["backward_useful_gflops"] = r.backward->useful_gflops;
  json["backward_percent_of_peak"] = r.backward->percent_of_peak();
  if (!r.backward->errors) return;
  const BackwardErrors& errors = *r.backward->errors;
  json["max_abs_error_dq"] = errors.q;
  json["max_abs_error_dk"] = errors.k;
  json["max_abs_error_dv"] = errors.v;
  if (errors.buffers) json["max_abs_error_buffers"] = *errors.buffers;
  json["correct"] = r.is_correct();
}

// Longer than 40 lines: every field in its order.
Json report_json(const RunReport& r) {
  Json json = {{"pattern", r.pattern},
               {"target", r.target},
               {"threads", r.threads},
               {"sizes", sizes_json(r.sizes)},
               {"sequences", r.sequences.empty() ? Json() : Json(r.sequences)},
               {"dtype", name_of(r.dtypes.q)},
               {"kv_dtype", name_of(r.dtypes.kv_dtype())},
               {"out_dtype", name_of(r.dtypes.out_dtype())},
               {"generated_buffers", r.generated},
               {"kernel_source", name_of(r.kernel_source)},
               {"compile_ms", r.compile_ms},
               {"mask_ms", r.mask_ms},
               {"sparsity", r.sparsity},
               {"allowed_pairs", r.allowed_pairs},
               {"note", r.note.empty() ? Json() : Json(r.note)},
               {"repeat", r.repeat},
               {"run_ms", r.run_ms},
               {"useful_gflops", r.useful_gflops()},
               {"peak_kind", name_of(r.limit.peak)},
               {"peak_gflops", r.limit.gflops},
               {"percent_of_peak", r.percent_of_peak()},
               {"gbps", nullptr},
               {"limit_kind", r.limit.kind()},
               {"limit", r.limit.rate()},
               {"percent_of_limit", r.limit.percent_of(r.work, r.run_ms)},
               {"processors", r.limit.processors},
               {"processor_share", r.limit.share},
               {"max_abs_error", nullptr},
               {"max_lse_error", nullptr},
               {"rows_verified", 0},
               {"correct", nullptr},
               {"backward_ms", nullptr},
               {"backward_useful_gflops", nullptr},
               {"backward_percent_of_peak", nullptr},
               {"max_abs_error_dq", nullptr},
               {"max_abs_error_dk", nullptr},
               {"max_abs_error_dv", nullptr},
               {"max_abs_error_buffers", nullptr},
               {"scores", nullptr},
               {"trace", nullptr}};
  if (r.limit.read_gbps) json["gbps"] = r.limit.rate_of(r.work, r.run_ms);
  if (r.verification) {
    json["max_abs_error"] = r.verification->max_abs_error;
    json["max_lse_error"] = r.verification->max_lse_error;
    json["rows_verified"] = r.verification->rows;
    json["correct"] = r.is_correct();
  }
  if (r.scores) {
    const Json rows = Json::array({r.scores->rows.q.begin, r.scores->rows.q.end});
    json["scores"] = {{"file", r.scores->file}, {"rows", rows}, {"shape", r.scores->shape}};
  }
  if (r.trace) json["trace"] = {{"file", r.trace->file}, {"events", r.trace->events}, {"dropped_events", r.trace->dropped}};
  add_backward(r, json);
  json["warnings"] = diagnostics_json(r.warnings);
  return json;
}

void line(std::string_view label, const std::string& text) { fmt::print("  {:<11} {}\n", label, text); }

double share_allowed(const RunReport& r) {
  const double pairs = static_cast<double>(r.sizes.heads) * r.pairs;
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

void print_speed(const RunReport& r) {
  const Limit& limit = r.limit;
  if (limit.is_too_small(r.work)) return line("useful", limit.text_of(r.work, r.run_ms));
  if (limit.read_gbps) {
    line("useful", fmt::format("{:.1f} GB/s of K and V, {:.1f} GFLOP/s", limit.rate_of(r.work, r.run_ms), r.useful_gflops()));
    line("read peak", fmt::format("{:.1f} GB/s, measured beside each run, of as many bytes", *limit.read_gbps));
  } else {
    line("useful", fmt::format("{:.1f} GFLOP/s", r.useful_gflops()));
    line(limit.peak == Peak::kDotBf16 ? "bf16 peak" : "FMA peak",
         fmt::format("{:.1f} GFLOP/s, measured beside the run ({}, {})", limit.gflops, name_of(limit.peak), r.target));
  }
  line("of peak", fmt::format("{:.1f} %", limit.percent_of(r.work, r.run_ms)));
  if (const std::string warning = limit.warning(r.threads); !warning.empty())
    line(coloured("warning", Ink::kWarning, stdout) + "    ", warning);
}

void print_verdict(const RunReport& r) {
  line("result", r.is_correct() ? coloured("correct", Ink::kGood, stdout) : coloured("WRONG", Ink::kBad, stdout));
}

void print_backward(const RunReport& r) {
  if (!r.backward) return;
  const BackwardReport& backward = *r.backward;
  line("backward", fmt::format("{:.3f} ms, median of {}; {:.1f} GFLOP/s, {:.1f} % of the peak", backward.ms, r.repeat,
                               backward.useful_gflops, backward.percent_of_peak()));
  if (!backward.errors) return line("gradients", "not verified: --verify-rows 1 verifies all of them, whatever it takes");
  const BackwardErrors& errors = *backward.errors;
  const std::string buffers = errors.buffers ? fmt::format(", buffers {:.2e}", *errors.buffers) : "";
  line("gradients",
       fmt::format("max error of dq {:.2e}, dk {:.2e}, dv {:.2e}{} against fp64", errors.q, errors.k, errors.v, buffers));
}

void print_table(const RunReport& r) {
  const Sizes& s = r.sizes;
  fmt::print("{}\n", r.pattern);
  line("shape", fmt::format("batch {}, heads {} (kv {}), q_len {}, kv_len {}, head_dim {}, v_head_dim {}, {}", s.batch, s.heads,
                            s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.v_head_dim, dtypes_text(r.dtypes)));
  for (const std::string& buffer : r.generated) line("generated", buffer);
  line("compile", fmt::format("{:.2f} ms ({})", r.compile_ms, name_of(r.kernel_source)));
  if (r.sequences.empty()) {
    line("block mask", fmt::format("{:.2f} ms; {:.1f} % of the blocks are empty, {:.1f} % of the pairs allowed", r.mask_ms,
                                   r.sparsity, share_allowed(r)));
  } else {
    line("sequences", fmt::format("{}; {:.1f} % of the pairs allowed", r.sequences, share_allowed(r)));
  }
  if (!r.note.empty()) line("note", r.note);
  line("run", fmt::format("{:.3f} ms, median of {}, {} thread{}", r.run_ms, r.repeat, r.threads, r.threads == 1 ? "" : "s"));
  print_speed(r);
  print_written(r);
  print_backward(r);
  if (!r.verification) return line("max error", "not verified");
  const Verification& v = *r.verification;
  line("max error", fmt::format("{:.2e}, lse {:.2e}; {} of {} rows of each head against fp64", v.max_abs_error, v.max_lse_error,
                                v.rows, s.q_len));
  print_verdict(r);
}

}  // namespace

void print_json(const Json& json) {
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);  // a failure shows at the end: here it may be a failure that is printed
}

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
    const std::string text = coloured_diagnostics(render(diagnostics), stderr);
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  return exit_code_of(diagnostics);
}

int with_stdout_flushed(int exit_code) {
  const Status flushed = flush_stdout();
  if (flushed) return exit_code;
  const int failed = report_errors(flushed.diagnostics(), Output::kTable);
  return exit_code != 0 ? exit_code : failed;
}

int exit_code_of(const Diagnostics& diagnostics) {
  const bool failed = std::any_of(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& d) {
    return std::find(kFailures.begin(), kFailures.end(), d.kind) != kFailures.end();
  });
  return static_cast<int>(failed ? ExitCode::kFailed : ExitCode::kBadInput);
}

}  // namespace flexjit::tools
