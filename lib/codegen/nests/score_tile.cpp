// One micro-tile of scores: micro_rows x strip of Q K^T in registers. A strip in which a group visits few panels is computed
// panel by panel, so that narrow windows and the edges of documents waste little.
#include "codegen/nests/forward.h"

namespace flexjit::codegen {
namespace {

// For each set of visited panels, as a bit: whether at least three quarters of the strip are visited.
std::int64_t wide_sets(int vectors) {
  std::int64_t sets = 0;
  for (unsigned set = 0; set < 1U << static_cast<unsigned>(vectors); ++set) {
    if (4 * std::popcount(set) >= 3 * vectors) sets |= std::int64_t{1} << set;
  }
  return sets;
}

}  // namespace

// if (wide) { acc = q k over the strip; if (whole) return whole_epilogue(acc); S = acc; }
// else for each visited panel: S = q k
// masked_epilogue
void ForwardEmitter::emit_score_tile(const KeyTile& tile, const MicroTile& micro) {
  const int vectors = key_.tiling.micro_vectors;
  const Index all = e_.index((std::int64_t{1} << vectors) - 1);
  const Bool is_whole = e_.equal(micro.whole, all);
  const Index wide = e_.bit_and(e_.lshr(e_.index(wide_sets(vectors)), micro.visited), e_.index(1));
  e_.if_else(
      "wide", e_.equal(wide, e_.index(1)),
      [&] {
        const Accumulators scores = emit_query_key_product(tile, micro, micro.column, vectors);
        e_.if_else(
            "whole", is_whole, [&] { emit_whole_epilogue(tile, micro, scores); },
            [&] { store_scores(micro, micro.column, scores); });
      },
      [&] { emit_narrow_products(tile, micro); });
  e_.if_then("partial", e_.logical_not(is_whole), [&] {
    // A wide product has left scores in every panel; those that are not visited become -inf like any masked score.
    MicroTile stored = micro;
    stored.visited = e_.select(e_.equal(wide, e_.index(1)), micro.panels, micro.visited);
    emit_masked_epilogue(tile, stored);
  });
}

void ForwardEmitter::emit_narrow_products(const KeyTile& tile, const MicroTile& micro) {
  const SourceScope part = e_.part(plan::Part::kQueryKey);
  e_.for_range("narrow", e_.index(0), e_.index(key_.tiling.micro_vectors), e_.index(1), [&](Index panel) {
    const Index bit = e_.bit_and(e_.lshr(micro.visited, panel), e_.index(1));
    e_.if_then("narrow.visited", e_.equal(bit, e_.index(1)), [&] {
      const Index column = e_.add(micro.column, e_.mul(panel, e_.index(e_.lanes())));
      store_scores(micro, column, emit_query_key_product(tile, micro, column, 1));
    });
  });
}

//            vectors panels
//          +----+----+----+----+
//   row 0  |    |    |    |    |     acc[r][j] += q[row + r][d] * k_panel[j][d]
//   row 1  |    |    |    |    |     for (d = 0; d < k_depth; ++d)
//   ...    +----+----+----+----+
// A panel of packed K holds k_depth vectors; the panel of column kv begins at cell kv * k_depth.
ForwardEmitter::Accumulators ForwardEmitter::emit_query_key_product(const KeyTile& tile, const MicroTile& micro, Index column,
                                                                    int vectors) {
  const SourceScope part = e_.part(plan::Part::kQueryKey);
  const int rows = key_.tiling.micro_rows;
  const Index depth = e_.index(layout_.k_depth);
  const Ptr panels = at_cell(e_, item_.k_panels, e_.mul(e_.add(tile.kv, column), depth));
  const Ptr queries = at_cell(e_, e_.at_byte(scratch_base_, scratch_.q), e_.mul(micro.row, depth));
  Values start(static_cast<std::size_t>(rows * vectors), e_.broadcast(e_.real(0.0)).value);
  start.push_back(panels.value);
  const char* name = vectors == 1 ? "qk_narrow" : "qk";
  Values sums = e_.for_range(name, e_.index(0), depth, e_.index(1), start, [&](Index d, const Values& acc) {
    const Ptr keys{acc.back()};
    llvm::SmallVector<Cells, 8> k;
    for (int j = 0; j < vectors; ++j) {
      k.push_back(load_cells(e_, at_cell(e_, keys, e_.index(std::int64_t{j} * e_.lanes() * layout_.k_depth)), vector_bytes()));
    }
    Values next;
    for (int r = 0; r < rows; ++r) {
      const Cells q = broadcast_cell(e_, at_cell(e_, at_cell(e_, queries, d), e_.index(std::int64_t{r} * layout_.k_depth)));
      for (int j = 0; j < vectors; ++j) {
        next.push_back(multiply_add(e_, q, k[static_cast<std::size_t>(j)], Float{acc[next.size()]}).value);
      }
    }
    next.push_back(at_cell(e_, keys, e_.index(e_.lanes())).value);
    return next;
  });
  sums.pop_back();
  Accumulators scores;
  for (llvm::Value* sum : sums) scores.push_back(Float{sum});
  return scores;
}

void ForwardEmitter::store_scores(const MicroTile& micro, Index column, const Accumulators& scores) {
  const SourceScope part = e_.part(plan::Part::kQueryKey);
  const int vectors = static_cast<int>(scores.size()) / key_.tiling.micro_rows;
  const Ptr first = e_.opaque(score_at(micro.row, column));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto r = static_cast<std::int64_t>(i) / vectors, j = static_cast<std::int64_t>(i) % vectors;
    e_.store(scores[i].value, e_.at_real(first, e_.index(r * scratch_.s_stride + j * e_.lanes())), vector_bytes());
  }
}

}  // namespace flexjit::codegen
