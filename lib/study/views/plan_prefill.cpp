// The prefill nest: tiles of query rows over packed keys.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "plan/hoisting.h"
#include "plan/sizes/decode.h"
#include "plan/sizes/prefill.h"
#include "plan/sizes/scratch.h"
#include "study/views/plan_text.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

std::string_view limit_name(plan::KeyTileLimit limit) {
  switch (limit) {
    case plan::KeyTileLimit::kLongest: return "longest";
    case plan::KeyTileLimit::kVisitBits: return "visit-bits";
    case plan::KeyTileLimit::kCache: return "cache";
    case plan::KeyTileLimit::kShortest: return "shortest";
  }
  return "";
}

std::string_view meaning_of(plan::KeyTileLimit limit) {
  switch (limit) {
    case plan::KeyTileLimit::kLongest: return "the longest tile that is worth while";
    case plan::KeyTileLimit::kVisitBits: return "a tile's panels are bits of one 64-bit integer";
    case plan::KeyTileLimit::kCache: return "that share of the second-level cache";
    case plan::KeyTileLimit::kShortest: return "the shortest tile, though it does not fit into that share";
  }
  return "";
}

std::vector<ScratchSection> own_sections_of(const plan::ScratchLayout& s) {
  return {{"q", "queries, as the products read them", s.q},
          {"s", "scores, then weights", s.s},
          {"o", "unnormalised output", s.o},
          {"max_lanes", "running maximum of each lane", s.max_lanes},
          {"sum_lanes", "running sum of each lane", s.sum_lanes},
          {"row_max", "what output and sums are relative to", s.row_max},
          {"base", "what exponents are relative to", s.base},
          {"rescale", "factors of older output", s.rescale},
          {"least", "weights too small to take part, where the output is not finite", s.least},
          {"unsettled", "rows whose output is not finite", s.unsettled}};
}

void add_tiles(const plan::KernelKey& key, PlanText& text) {
  const plan::Tiling& t = key.tiling;
  const plan::KernelLayout layout = plan::layout_of(key);
  const plan::KeyTileBounds bounds = plan::key_tile_bounds(key);
  add_micro_tile(key, text);
  text.line("strip", fmt::format("{} keys: {} panels of {}", layout.strip, t.micro_vectors, layout.lanes));
  text.line("query tile", fmt::format("{} rows: {} groups of {}", t.q_tile, t.q_tile / t.micro_rows, t.micro_rows));
  text.line("key tile", fmt::format("{} keys: {} strips", t.kv_tile, t.kv_tile / layout.strip));
  text.line("", fmt::format("a key takes {} bytes (K, V and its scores); {} KiB, half of L2, hold {} keys", bounds.key_bytes,
                            bounds.cache_bytes >> 10, bounds.fitting));
  text.line("", fmt::format("bound by: {}", meaning_of(bounds.limit)));
  text.json["strip"] = layout.strip;
  text.json["q_tile"] = t.q_tile;
  text.json["kv_tile"] = {{"keys", t.kv_tile},
                          {"key_bytes", bounds.key_bytes},
                          {"cache_bytes", bounds.cache_bytes},
                          {"fitting", bounds.fitting},
                          {"bound_by", limit_name(bounds.limit)}};
}

void add_packing(const plan::KernelKey& key, PlanText& text) {
  const plan::KernelLayout layout = plan::layout_of(key);
  const plan::Hoisting hoisting = plan::hoist(key.program, key.nest);
  const std::int64_t key_bytes = std::int64_t{layout.k_depth} * layout.cell_bytes;
  text.line("packed K", fmt::format("{} bytes a key, in panels of {} keys", key_bytes, layout.lanes));
  text.line("packed V", layout.packs_v ? fmt::format("{} bytes for {} key{}: rows are padded to whole vectors or converted",
                                                     std::int64_t{layout.v_padded} * layout.cell_bytes, layout.v_group,
                                                     layout.v_group == 1 ? "" : "s")
                                       : std::string("read in place: its rows are whole vectors of the type that is summed"));
  const bool in_registers = hoisting.score_cost <= plan::kRegisterEpilogueCost;
  text.line("epilogue",
            fmt::format("vector instructions of score_mod: {}, {} ({} at most stay in registers)", hoisting.score_cost,
                        in_registers ? "on the accumulators" : "over stored scores", plan::kRegisterEpilogueCost));
  text.json["packed_key_bytes"] = key_bytes;
  text.json["packs_v"] = layout.packs_v;
  text.json["score_cost"] = hoisting.score_cost;
  text.json["epilogue"] = in_registers ? "registers" : "stored-scores";
}

// The pattern's other kernel, for calls with few query rows.
void add_decode(const plan::KernelKey& key, PlanText& text) {
  text.json["decode"] = nullptr;
  if (!plan::can_decode(key.types)) return text.line("decode", "by the same kernel: the decode nest has no fp64");
  const plan::KernelKey decode = plan::decode_key_of(key);
  const plan::Tiling& t = decode.tiling;
  const std::int64_t bytes = plan::layout_of(decode).scratch_bytes;
  text.line("decode", fmt::format("up to {} rows x {} keys a step, {} x {} accumulators, {} bytes of scratch", t.q_tile,
                                  t.kv_tile, t.micro_rows, t.micro_vectors, bytes));
  text.json["decode"] = {{"rows", t.q_tile},
                         {"keys", t.kv_tile},
                         {"micro_rows", t.micro_rows},
                         {"micro_vectors", t.micro_vectors},
                         {"scratch_bytes", bytes}};
}

}  // namespace

std::vector<ScratchSection> sections_of(const plan::TileSections& tile) {
  return {{"row_values", "table of what varies with q_idx", tile.row_values},
          {"column_values", "table of what varies with kv_idx", tile.column_values},
          {"diagonal_values", "table of what varies with kv_idx - q_idx", tile.diagonal_values},
          {"row_ranges", "ranges of row values", tile.row_ranges},
          {"column_ranges", "ranges of column values", tile.column_ranges},
          {"visits", "which panels each group of rows visits", tile.visits}};
}

void add_micro_tile(const plan::KernelKey& key, PlanText& text) {
  const plan::Tiling& t = key.tiling;
  const plan::RegisterUse r = plan::register_use(key);
  text.line("micro-tile", fmt::format("{} rows x {} vectors", t.micro_rows, t.micro_vectors));
  text.line("", fmt::format("registers: {} accumulators + {} vectors of K or V + {} broadcast{} = {} of {}", r.accumulators,
                            r.operands, r.broadcasts, r.products > 0 ? fmt::format(" + {} product", r.products) : "", r.used(),
                            r.available));
  text.json["micro_tile"] = {{"rows", t.micro_rows}, {"vectors", t.micro_vectors}};
  text.json["registers"] = {{"accumulators", r.accumulators}, {"operands", r.operands},   {"broadcasts", r.broadcasts},
                            {"products", r.products},         {"available", r.available}, {"used", r.used()}};
}

void add_prefill_plan(const plan::KernelKey& key, PlanText& text) {
  add_tiles(key, text);
  add_packing(key, text);
  const plan::ScratchLayout scratch = plan::scratch_of(key);
  std::vector<ScratchSection> sections = own_sections_of(scratch);
  std::ranges::copy(sections_of(static_cast<const plan::TileSections&>(scratch)), std::back_inserter(sections));
  text.add_scratch(key, sections);
  add_decode(key, text);
}

}  // namespace flexjit::study
