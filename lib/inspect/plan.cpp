// KernelKey -> its tiles, registers and scratch, each with what bounds it: which register file, cache or rule.
#include <fmt/format.h>

#include "inspect/view.h"
#include "plan/decode.h"
#include "plan/hoisting.h"
#include "plan/scratch.h"
#include "plan/tiling.h"

namespace flexjit::inspector {
namespace {

std::string_view name_of(plan::KeyTileLimit limit) {
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

std::string_view name_of(plan::Arithmetic arithmetic) {
  switch (arithmetic) {
    case plan::Arithmetic::kF32: return "fp32";
    case plan::Arithmetic::kBF16: return "bf16 pairs into fp32";
    case plan::Arithmetic::kF64: return "fp64";
  }
  return "";
}

struct Section {
  std::string_view name, contents;
  std::int64_t begin, end;
};

std::vector<Section> sections_of(const plan::ScratchLayout& s) {
  std::vector<Section> sections = {{"q", "queries, as the products read them", s.q, 0},
                                   {"s", "scores, then weights", s.s, 0},
                                   {"o", "unnormalised output", s.o, 0},
                                   {"max_lanes", "running maximum of each lane", s.max_lanes, 0},
                                   {"sum_lanes", "running sum of each lane", s.sum_lanes, 0},
                                   {"row_max", "what output and sums are relative to", s.row_max, 0},
                                   {"base", "what exponents are relative to", s.base, 0},
                                   {"rescale", "factors of older output", s.rescale, 0},
                                   {"row_values", "table of what varies with q_idx", s.row_values, 0},
                                   {"column_values", "table of what varies with kv_idx", s.column_values, 0},
                                   {"diagonal_values", "table of what varies with kv_idx - q_idx", s.diagonal_values, 0},
                                   {"row_ranges", "ranges of row values", s.row_ranges, 0},
                                   {"column_ranges", "ranges of column values", s.column_ranges, 0},
                                   {"visits", "which panels each group of rows visits", s.visits, 0}};
  for (std::size_t i = 0; i < sections.size(); ++i) sections[i].end = i + 1 < sections.size() ? sections[i + 1].begin : s.bytes;
  return sections;
}

class PlanView {
 public:
  explicit PlanView(const plan::KernelKey& key)
      : key_(key),
        arithmetic_(plan::arithmetic_of(key.types, key.target)),
        layout_(plan::layout_of(key)),
        registers_(plan::register_use(key)),
        bounds_(plan::key_tile_bounds(key)),
        caches_(plan::caches_of(key.target)),
        hoisting_(plan::hoist(key.program, key.nest)),
        sections_(sections_of(plan::scratch_of(key))) {}

  ViewResult run() {
    add_kernel();
    add_tiles();
    add_packing();
    add_scratch();
    add_decode();
    return {std::move(text_), std::move(json_)};
  }

 private:
  void line(std::string_view label, const std::string& words) { text_ += fmt::format("{:<11} {}\n", label, words); }

  void add_kernel() {
    const plan::ElementTypes& types = key_.types;
    line("kernel", fmt::format("q {}, kv {}, out {}; head_dim {}, v_head_dim {}; {} weights", flexjit::name_of(types.q),
                               flexjit::name_of(types.kv), flexjit::name_of(types.out), key_.head_dim, key_.v_head_dim,
                               plan::name_of(key_.weights)));
    const std::string tuning = key_.target.tuning.empty() ? "any processor" : key_.target.tuning;
    line("target", fmt::format("{}, scheduled for {}", plan::name_of(key_.target), tuning));
    line("arithmetic", fmt::format("{}, {} lanes of a vector", name_of(arithmetic_), layout_.lanes));
    const bool measured = plan::can_execute(key_.target);
    line("caches", fmt::format("L1 {} KiB, L2 {} KiB a core ({})", caches_.l1 >> 10, caches_.l2 >> 10,
                               measured ? "this machine's" : "assumed: this machine cannot execute the target"));
    json_["target"] = plan::name_of(key_.target);
    json_["tuning"] = key_.target.tuning;
    json_["head_dim"] = key_.head_dim;
    json_["v_head_dim"] = key_.v_head_dim;
    json_["types"] = {
        {"q", flexjit::name_of(types.q)}, {"kv", flexjit::name_of(types.kv)}, {"out", flexjit::name_of(types.out)}};
    json_["weights"] = plan::name_of(key_.weights);
    json_["arithmetic"] = name_of(arithmetic_);
    json_["lanes"] = layout_.lanes;
    json_["caches"] = {{"l1", caches_.l1}, {"l2", caches_.l2}, {"measured", measured}};
  }

  void add_tiles() {
    const plan::Tiling& t = key_.tiling;
    const plan::RegisterUse& r = registers_;
    line("micro-tile", fmt::format("{} rows x {} vectors", t.micro_rows, t.micro_vectors));
    line("", fmt::format("registers: {} accumulators + {} vectors of K or V + {} broadcast{} = {} of {}", r.accumulators,
                         r.operands, r.broadcasts, r.products > 0 ? fmt::format(" + {} product", r.products) : "", r.used(),
                         r.available));
    line("strip", fmt::format("{} keys: {} panels of {}", layout_.strip, t.micro_vectors, layout_.lanes));
    line("query tile", fmt::format("{} rows: {} groups of {}", t.q_tile, t.q_tile / t.micro_rows, t.micro_rows));
    line("key tile", fmt::format("{} keys: {} strips", t.kv_tile, t.kv_tile / layout_.strip));
    line("", fmt::format("a key takes {} bytes (K, V and its scores); {} KiB, half of L2, hold {} keys", bounds_.key_bytes,
                         bounds_.cache_bytes >> 10, bounds_.fitting));
    line("", fmt::format("bound by: {}", meaning_of(bounds_.limit)));
    json_["micro_tile"] = {{"rows", t.micro_rows}, {"vectors", t.micro_vectors}};
    json_["registers"] = {{"accumulators", r.accumulators}, {"operands", r.operands},   {"broadcasts", r.broadcasts},
                          {"products", r.products},         {"available", r.available}, {"used", r.used()}};
    json_["strip"] = layout_.strip;
    json_["q_tile"] = t.q_tile;
    json_["kv_tile"] = {{"keys", t.kv_tile},
                        {"key_bytes", bounds_.key_bytes},
                        {"cache_bytes", bounds_.cache_bytes},
                        {"fitting", bounds_.fitting},
                        {"bound_by", name_of(bounds_.limit)}};
  }

  void add_packing() {
    const std::int64_t key_bytes = std::int64_t{layout_.k_depth} * layout_.cell_bytes;
    line("packed K", fmt::format("{} bytes a key, in panels of {} keys", key_bytes, layout_.lanes));
    line("packed V", layout_.packs_v ? fmt::format("{} bytes for {} key{}: rows are padded to whole vectors or converted",
                                                   std::int64_t{layout_.v_padded} * layout_.cell_bytes, layout_.v_group,
                                                   layout_.v_group == 1 ? "" : "s")
                                     : std::string("read in place: its rows are whole vectors of the type that is summed"));
    const bool in_registers = hoisting_.score_cost <= plan::kRegisterEpilogueCost;
    line("epilogue",
         fmt::format("vector instructions of score_mod: {}, {} ({} at most stay in registers)", hoisting_.score_cost,
                     in_registers ? "on the accumulators" : "over stored scores", plan::kRegisterEpilogueCost));
    json_["packed_key_bytes"] = key_bytes;
    json_["packs_v"] = layout_.packs_v;
    json_["score_cost"] = hoisting_.score_cost;
    json_["epilogue"] = in_registers ? "registers" : "stored-scores";
  }

  void add_scratch() {
    const std::int64_t bytes = layout_.scratch_bytes;
    line("scratch", fmt::format("{} bytes a thread, {}", bytes,
                                bytes <= caches_.l1 ? "within L1" : (bytes <= caches_.l2 ? "within L2" : "larger than L2")));
    json_["scratch"] = {{"bytes", bytes}, {"sections", Json::array()}};
    for (const Section& section : sections_) {
      if (section.end == section.begin) continue;
      text_ += fmt::format("  {:<16} {:>8}  {}\n", section.name, section.end - section.begin, section.contents);
      json_["scratch"]["sections"].push_back(
          {{"name", section.name}, {"offset", section.begin}, {"bytes", section.end - section.begin}});
    }
  }

  // The pattern's other kernel, for calls with few query rows.
  void add_decode() {
    json_["decode"] = nullptr;
    if (!plan::can_decode(key_.types)) return line("decode", "by the same kernel: the decode nest has no fp64");
    plan::KernelKey decode = key_;
    decode.nest = plan::Nest::kDecode;
    decode.tiling = plan::decode_tiling(key_.target.isa);
    const plan::Tiling& t = decode.tiling;
    const std::int64_t bytes = plan::layout_of(decode).scratch_bytes;
    line("decode", fmt::format("up to {} rows x {} keys a step, {} x {} accumulators, {} bytes of scratch", t.q_tile, t.kv_tile,
                               t.micro_rows, t.micro_vectors, bytes));
    json_["decode"] = {{"rows", t.q_tile},
                       {"keys", t.kv_tile},
                       {"micro_rows", t.micro_rows},
                       {"micro_vectors", t.micro_vectors},
                       {"scratch_bytes", bytes}};
  }

  const plan::KernelKey& key_;
  const plan::Arithmetic arithmetic_;
  const plan::KernelLayout layout_;
  const plan::RegisterUse registers_;
  const plan::KeyTileBounds bounds_;
  const plan::Caches caches_;
  const plan::Hoisting hoisting_;
  const std::vector<Section> sections_;
  std::string text_;
  Json json_;
};

}  // namespace

Result<ViewResult> make_plan_view(const Subject& subject) { return PlanView(subject.key).run(); }

}  // namespace flexjit::inspector
