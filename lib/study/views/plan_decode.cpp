// The decode nest: few query rows over keys as they lie.
#include <fmt/format.h>

#include "plan/sizes/decode.h"
#include "study/views/plan_text.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

std::vector<ScratchSection> sections_of(const plan::DecodeScratch& s) {
  return {{"q", "queries, as the products read them", s.q},
          {"s", "scores, then weights", s.s},
          {"k_rows", "which row of K each column is computed from", s.k_rows},
          {"k_to_come", "which row of K is prefetched meanwhile", s.k_to_come},
          {"v_to_come", "which row of V", s.v_to_come},
          {"v_rows", "where the row of V of each column lies", s.v_rows},
          {"sum_lanes", "running sum of each lane", s.sum_lanes},
          {"unsettled", "rows whose output is not finite", s.unsettled},
          {"row_values", "table of what varies with h and q_idx", s.row_values},
          {"column_values", "table of what varies with kv_idx", s.column_values}};
}

}  // namespace

void add_decode_plan(const plan::KernelKey& key, PlanText& text) {
  const plan::Tiling& t = key.tiling;
  text.line("rows", fmt::format("up to {} a work item: the query rows of all heads that share a kv head", t.q_tile));
  text.line("key step", fmt::format("{} keys between K and V, so that both streams advance together", t.kv_tile));
  text.line("products", fmt::format("{} rows x {} keys of K, {} rows x {} vectors of V: {} accumulators of {} registers",
                                    t.micro_rows, t.micro_vectors, t.micro_rows, t.micro_vectors,
                                    t.micro_rows * t.micro_vectors, plan::facts_of(key.target.isa).vector_registers));
  text.line("K and V", "read once, as they lie, for all rows; nothing is packed");
  text.json["rows"] = t.q_tile;
  text.json["keys"] = t.kv_tile;
  text.json["micro_tile"] = {{"rows", t.micro_rows}, {"vectors", t.micro_vectors}};
  text.json["registers"] = {{"accumulators", t.micro_rows * t.micro_vectors},
                            {"available", plan::facts_of(key.target.isa).vector_registers}};
  text.add_scratch(key, sections_of(plan::decode_scratch_of(key)));
}

}  // namespace flexjit::study
