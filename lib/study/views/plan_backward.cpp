// The backward nest: tiles of query rows by tiles of keys.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "plan/sizes/backward.h"
#include "study/views/plan_text.h"
#include "study/views/view.h"

namespace flexjit::study {

void add_backward_plan(const plan::KernelKey& key, PlanText& text) {
  const plan::Tiling& t = key.tiling;
  const plan::KernelLayout layout = plan::layout_of(key);
  const plan::BackwardScratch scratch = plan::backward_scratch_of(key);
  add_micro_tile(key, text);
  text.line("query tile", fmt::format("{} rows: {} groups of {}", t.q_tile, t.q_tile / t.micro_rows, t.micro_rows));
  text.line("key tile", fmt::format("{} keys at most", t.kv_tile));
  text.line("taken", fmt::format("rows of {} and {} reals of Q, K and dO; panels of {} keys of K and V", layout.k_padded,
                                 layout.v_padded, layout.lanes));
  text.json["q_tile"] = t.q_tile;
  text.json["kv_tile"] = t.kv_tile;
  std::vector<ScratchSection> sections{
      {"weights", "scores, then weights", scratch.weights},
      {"gradients", "gradients of weights, then of scores", scratch.gradients},
      {"row_begin", "the first row that visits each panel", scratch.row_begin},
      {"row_end", "behind the last row that does", scratch.row_end},
      {"sums", "sums of lanes and diagonals, for gradients of captured buffers", scratch.sums}};
  std::ranges::copy(sections_of(static_cast<const plan::TileSections&>(scratch)), std::back_inserter(sections));
  text.add_scratch(key, sections);
}

}  // namespace flexjit::study
