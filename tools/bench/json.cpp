// Rows for programs. The names of the fields are stable; a field that does not apply to a row is null.
#include <array>
#include <nlohmann/json.hpp>

#include "bench/results.h"

namespace flexjit::tools::bench {
namespace {

using Json = nlohmann::ordered_json;

Json peers_json(const Row& row) {
  Json peers = Json::object();
  for (const PeerTime& time : row.peers) {
    peers[time.peer] = {{"run_ms", time.ms},
                        {"useful_gflops", row.useful_gflops() * row.run_ms / time.ms},
                        {"percent_of_limit", row.percent_at(time.ms)},
                        {"difference", time.difference}};
    if (time.extra_bytes) peers[time.peer]["extra_bytes"] = *time.extra_bytes;
    if (const auto ratio = memory_ratio_to(row, time)) peers[time.peer]["memory_ratio"] = *ratio;
  }
  return peers;
}

Json ratios_json(const Row& row) {
  Json ratios = Json::object();
  for (const PeerTime& time : row.peers) ratios[time.peer] = ratio_to(row, time);
  return ratios;
}

Json number_or_null(const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); }

void add_ratios(const Row& row, Json& json) {
  json["ratio_to_plain"] = number_or_null(row.ratio_to_plain);
  json["speedup"] = number_or_null(row.speedup);
  json["over_f32"] = number_or_null(row.over_f32);
  json["over_bf16"] = number_or_null(row.over_bf16);
  json["ratio_to_contiguous"] = number_or_null(row.ratio_to_contiguous);
  json["ratio_to_best_contiguous"] = number_or_null(row.ratio_to_best_contiguous);
  json["ratio_to_one_by_one"] = number_or_null(row.ratio_to_one_by_one);
}

// Null in a row that does not have them.
constexpr std::array kNumbers = {"run_ms",
                                 "useful_gflops",
                                 "gbps",
                                 "limit",
                                 "limit_kind",
                                 "percent_of_limit",
                                 "processors",
                                 "processor_share",
                                 "compile_ms",
                                 "extra_bytes",
                                 "ratio_to_plain",
                                 "speedup",
                                 "over_f32",
                                 "over_bf16",
                                 "ratio_to_contiguous",
                                 "ratio_to_best_contiguous",
                                 "ratio_to_one_by_one",
                                 "max_abs_error",
                                 "correct"};

Json row_json(const Row& row) {
  const Sizes& s = row.test.sizes;
  Json json = {{"suite", row.test.suite},
               {"case", row.test.name},
               {"dtype", name_of(row.test.dtypes.q)},
               {"kv_dtype", name_of(row.test.dtypes.kv_dtype())},
               {"pass", row.test.pass == Pass::kBackward ? "backward" : "forward"},
               {"threads", row.test.threads},
               {"pattern", row.test.pattern},
               {"sizes",
                {{"batch", s.batch},
                 {"heads", s.heads},
                 {"kv_heads", s.kv_heads},
                 {"q_len", s.q_len},
                 {"kv_len", s.kv_len},
                 {"head_dim", s.head_dim},
                 {"v_head_dim", s.v_head_dim}}}};
  for (const char* field : kNumbers) json[field] = nullptr;
  json["ratio_to"] = ratios_json(row);
  json["peers"] = peers_json(row);
  json["peer_notes"] = row.peer_notes;
  json["errors"] = Json::array();
  for (const Diagnostic& error : row.errors) json["errors"].push_back({{"kind", error.kind}, {"message", error.message}});
  if (!row.errors.empty()) return json;
  json["run_ms"] = row.run_ms;
  json["useful_gflops"] = row.useful_gflops();
  if (row.reads()) json["gbps"] = row.rate();
  json["limit"] = row.limit.rate();
  json["limit_kind"] = row.limit.kind();
  json["processors"] = row.limit.processors;
  json["processor_share"] = row.limit.share;
  json["percent_of_limit"] = row.percent_of_limit();
  json["compile_ms"] = row.compile_ms;
  if (row.extra_bytes) json["extra_bytes"] = *row.extra_bytes;
  add_ratios(row, json);
  if (row.verification) {
    json["max_abs_error"] = row.verification->max_abs_error;
    json["correct"] = row.verification->correct;
  }
  return json;
}

}  // namespace

double ratio_to(const Row& row, const PeerTime& peer) { return row.run_ms > 0 ? peer.ms / row.run_ms : 0; }

std::optional<double> memory_ratio_to(const Row& row, const PeerTime& peer) {
  if (!peer.extra_bytes || !row.extra_bytes) return std::nullopt;
  return static_cast<double>(*peer.extra_bytes) / static_cast<double>(*row.extra_bytes + row.result_bytes);
}

std::string to_json(const Report& report) {
  Json json = {
      {"machine",
       {{"processor", report.machine.processor}, {"processors", report.machine.processors}, {"caches", report.machine.caches}}},
      {"target", report.target},
      {"repeat", report.repeat},
      {"peers", report.peers},
      {"skipped", report.skipped},
      {"rows", Json::array()}};
  for (const Row& row : report.rows) json["rows"].push_back(row_json(row));
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace flexjit::tools::bench
