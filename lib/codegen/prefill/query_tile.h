// A tile of query rows, what is kept of it in the scratch, and what the prefill nest does with it.
#pragma once

#include "codegen/parts/pair_tile.h"
#include "codegen/parts/queries.h"
#include "codegen/parts/real_rows.h"
#include "codegen/parts/scores.h"
#include "codegen/parts/weights.h"

namespace flexjit::codegen {

// Everything of an item, loaded as it is made.
struct QueryTile : PairTile {
  QueryTile(Emitter& emitter, const plan::KernelKey& of, const PrefillItem& loaded)
      : PairTile(emitter, of, loaded, plan::scratch_of(of)), prefill(loaded) {}

  const PrefillItem prefill;
  const plan::ScratchLayout at = plan::scratch_of(key);
  const Units units =
      units_of(e, item.launch.scale, key.program.score().valid() ? RestGoes::kToProducts : RestGoes::kToExponent);
  const Scores scores{e, tables, item.fault, item.q_count, units.product};
  const Weights weights{e, key.weights, units.exponent, layout.v_group == 1 ? Precision::kFast : Precision::kCoarse};
  const RealRows q{e, item.scratch, at.q, layout.k_depth};
  const RealRows s{e, item.scratch, at.s, at.s_stride}, o{e, item.scratch, at.o, layout.v_padded};
  const RealRows max_lanes{e, item.scratch, at.max_lanes, layout.lanes}, sum_lanes{e, item.scratch, at.sum_lanes, layout.lanes};
  const RealRows row_max{e, item.scratch, at.row_max, 1}, base{e, item.scratch, at.base, 1};
  const RealRows rescale{e, item.scratch, at.rescale, 1}, least{e, item.scratch, at.least, 1};
  const RealRows factors{e, item.scratch, at.factors, 0};
  const UnsettledRows unsettled{{e, item.scratch, at.unsettled}};
};

// results.cpp: the state of rows that have met no key.
void emit_initial_state(Emitter& e, QueryTile& t);

// score_tile.cpp: micro_rows x strip of Q K^T in registers, then score_mod, mask_mod and the running maximum.
// Of pairs that no one visits: scores that count as masked.
void store_masked(Emitter& e, QueryTile& t, Index row, Index column);
void emit_score_tile(Emitter& e, QueryTile& t, const KeyTile& keys, const MicroTile& micro);

// tile_weights.cpp: P = exp(S - max), sums; O = rescale * O + P V; both for rows that are not settled, by themselves.
void emit_weights(Emitter& e, QueryTile& t);
void emit_values(Emitter& e, QueryTile& t, const KeyTile& keys);
void emit_careful_values(Emitter& e, QueryTile& t, const KeyTile& keys);

// results.cpp: finished rows, to the caller. Returns that any row is left to the careful pass.
Bool emit_results(Emitter& e, QueryTile& t, Bool careful);

}  // namespace flexjit::codegen
