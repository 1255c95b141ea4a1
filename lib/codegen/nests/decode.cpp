// Few query rows against long keys, for one KernelKey: the function `decode` of kernel_abi.h. K and V are read once, as they
// lie, for all query heads that share them; reading them is what the time goes to. The nest, outermost first:
//
//   for span in spans:                          skip what the block mask proved empty
//     for key step of kv_tile columns:
//       for 4 keys, for up to micro_rows rows:  S = Q K^T in registers, lanes along head_dim; prefetch of K
//       for row:                                score_mod and mask_mod, running maximum, weights
//       for up to micro_rows rows:              O += P V in registers, lanes along value dims; prefetch of V
//
// and once more, carefully (parts/careful.h), for rows whose output is not finite.
#include <cstddef>
#include <limits>

#include "codegen/nests/nests.h"
#include "codegen/parts/careful.h"
#include "codegen/parts/key_products.h"
#include "codegen/parts/queries.h"
#include "codegen/parts/row_softmax.h"
#include "codegen/parts/scores.h"
#include "codegen/parts/value_products.h"
#include "plan/decode.h"

namespace flexjit::codegen {
namespace {

using plan::DecodeArg;
using plan::Level;

constexpr double kInf = std::numeric_limits<double>::infinity();

// for (r = 0; r < rows; ++r) { h = head_of(r); q_idx = query_of(r); row_values[slot][r] = ...; }
void fill_rows(Emitter& e, Tables& tables, const DecodeItem& item) {
  const SourceScope part = e.part(plan::Part::kRowTables);
  if (tables.hoisting.row_slots == 0) return;
  tables.fill({"row_values", Level::kRow, item.rows, 1}, Bool{}, [&](Scope& scope, Index r) {
    if (llvm::Value** h = tables.leaf(scope, ir::Op::kHead)) *h = e.narrow(head_of(e, item, r)).value;
    if (llvm::Value** q_idx = tables.leaf(scope, ir::Op::kQIdx)) *q_idx = e.narrow(query_of(e, item, r)).value;
    tables.evaluate(scope, Level::kRow);
  });
}

// for (r = 0; r < rows; ++r) { max[r] = -inf; scale[r] = 1; sum_lanes[r][*] = 0; o[r][*] = 0; }
void reset(Emitter& e, const DecodeItem& item, const RowSoftmax& softmax) {
  e.for_range("reset", e.index(0), item.rows, e.index(1), [&](Index r) {
    e.store(e.real(-kInf).value, e.at_real(item.max, r));
    e.store(e.real(1.0).value, e.at_real(item.scale, r));
    e.store(e.broadcast(e.real(0.0)).value, softmax.sum_lanes.at(r), vector_bytes(e));
    softmax.o.clear(r);
  });
}

// for (kv = span.begin rounded down to a step; kv < span.end; kv += kv_tile)
//   body({kv, max(kv, span.begin), min(kv + kv_tile, span.end)});
void for_key_steps(Emitter& e, const Span& span, std::int64_t kv_tile, llvm::function_ref<void(const KeyStep&)> body) {
  const Index end = e.widen(span.end);
  const Int kind = span.load_kind(e);
  const Index step = e.index(kv_tile), begin = e.widen(span.begin);
  const Bool masked = is_kind(e, kind, plan::SpanKind::kMasked);
  const Int first = e.bit_and(span.begin, e.constant_int(static_cast<std::int32_t>(-kv_tile)));
  e.for_range("key_step", e.widen(first), end, step, [&](Index kv) {
    const Index from = e.max(kv, begin);
    body({kv, from, e.min(e.add(kv, step), end), masked});
  });
}

// sum[row] = reduce(sum_lanes[row]); unsettled[row] = o[row] is not finite;
// if (unsettled[row]) { o[row] = 0; scale[row] = kHeadroom; }
void emit_state(Emitter& e, const DecodeItem& item, const RealRows& o, const UnsettledRows& unsettled, Index row) {
  // 0 * o is 0 where o is finite, else NaN.
  const Float zeros = e.broadcast(e.real(0.0));
  const Values seen = e.for_range(
      "state.o", e.index(0), e.index(o.stride), e.index(e.lanes()), {zeros.value},
      [&](Index d, const Values& so_far) { return Values{e.fma(o.load_vector(row, d), zeros, Float{so_far[0]}).value}; });
  unsettled.set(row, e.any(e.compare(FloatOrder::kNe, Float{seen[0]}, zeros)), [&] {
    o.clear(row);
    e.store(e.real(kHeadroom).value, e.at_real(item.scale, row));
  });
}

}  // namespace

// careful = false; do { spans; careful = state; } while (careful);
// One function, so that the loops are seen at once.
void emit_decode(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("decode", "item");
  const SourceScope setup = e.part(plan::Part::kSetup);
  const DecodeItem item = load_decode_item(e, key, arg);
  const plan::DecodeScratch at = plan::decode_scratch_of(key);
  const std::int64_t rows = key.tiling.q_tile, kv_tile = key.tiling.kv_tile;
  const Operands operands = operands_of(e);
  const Units units = units_of(e, item.launch.scale, RestGoes::kToProducts);
  Tables tables(e, key.program, plan::hoist(key.program, key.nest), item.launch, item.indices);
  tables.scratch = item.scratch;
  tables.layout = {{at.row_values, rows}, {at.column_values, kv_tile}, SlotOffset::kInIndex};
  const RealRows q{e, item.scratch, at.q, at.q_stride * e.lanes() / operands.width}, s{e, item.scratch, at.s, kv_tile},
      sum_lanes{e, item.scratch, at.sum_lanes, e.lanes()}, o{e, item.o, {}, plan::layout_of(key).v_padded};
  const ScratchInts numbers{e, item.scratch, at.keys};
  const UnsettledRows unsettled{{e, item.scratch, at.unsettled}};
  const StreamedRows k{e, item.k, key.types.kv, key.head_dim, kv_tile}, v{e, item.v, key.types.kv, key.v_head_dim, kv_tile};
  const KeyProducts products{e, k, numbers, q, at.q_stride, s};
  const Scores scores{e, tables, item.fault};
  const RowSoftmax softmax{e, {e, key.weights, units.exponent}, item.max, s, sum_lanes, o};
  const ValueProducts values{e, v, numbers, s, o, key.tiling};
  // Steps that are all allowed take the same way: a few instructions against some hundred of the products.
  const auto modified_scores = [&](Scope scope, const KeyStep& step, Index row, Index column) {
    const SourceScope part = e.part(plan::Part::kMaskedScores);
    tables.load(scope, Level::kColumn, column, Stored::kBoth);
    Float score = s.load_vector(row, column);
    if (units.product) score = e.mul(score, units.product);
    const Int columns = e.add(e.narrow(e.add(step.kv, column)), e.lane_numbers());
    const Bool inside = e.logical_and(e.compare(llvm::CmpInst::ICMP_SGE, columns, e.narrow(step.first)),
                                      e.compare(llvm::CmpInst::ICMP_SLT, columns, e.narrow(step.last)));
    return scores.masked(scope, score, {.row = row}, {inside, step.masked}).score;
  };
  emit_query_rows(e, key, item, q, units.query);
  reset(e, item, softmax);
  fill_rows(e, tables, item);
  e.repeat("pass", [&](Bool careful) {
    for_spans(e, arg, {offsetof(DecodeArg, span_count), offsetof(DecodeArg, spans)}, [&](const Span& span) {
      for_key_steps(e, span, kv_tile, [&](const KeyStep& step) {
        tables.fill_columns(step.kv, e.index(kv_tile), Bool{}, [](const Scope&, Index) {});
        products.for_keys(step, [&](const KeyProducts::Keys& keys) {
          for_row_chunks(e, "score_rows", item.rows, key.tiling.micro_rows,
                         [&](Index row, int count) { products.emit(keys, row, count); });
        });
        softmax.for_rows(item.rows, [&](Index row) {
          Scope of_row = tables.uniform;
          tables.load(of_row, Level::kRow, row, Stored::kBoth);
          llvm::SmallVector<Float, 4> x;
          for (int c = 0; c < kv_tile; c += e.lanes()) x.push_back(modified_scores(of_row, step, row, e.index(c)));
          e.if_else("careful_weights", careful, [&] { softmax.emit_careful(row, x); }, [&] { softmax.emit(row, x); });
        });
        e.if_else(
            "careful", careful, [&] { values.emit_careful(step, item.rows, unsettled); },
            [&] { values.emit(step, item.rows); });
      });
    });
    const SourceScope part = e.part(plan::Part::kOutput);
    return unsettled.for_rows("state", e.select(careful, e.index(0), item.rows), [&](Index row) {
      const Float lanes = sum_lanes.load_vector(row);
      e.store(e.reduce_add(lanes).value, e.at_real(item.sum, row));
      values.emit_dims_in_order(row);
      emit_state(e, item, o, unsettled, row);
    });
  });
  e.end_function();
}

}  // namespace flexjit::codegen
