// Rows of quantised K or V of one key step -> rows of reals in the scratch, which the products then read as they read rows of
// fp32: each element is converted once, whatever the number of query rows, and lines come in the order of their addresses. A
// scale of a whole row is left to its score or weight; those of groups of dims are multiplied in here.
#include <cstddef>

#include "codegen/decode/row_block.h"

namespace flexjit::codegen {
namespace {

// Elements that are converted without a loop.
constexpr std::int64_t kMostDims = 128;

RowScales scales_of(Emitter& e, const KeyStep& step, Streamed streamed) {
  const bool keys = streamed == Streamed::kKeys;
  return load_scales(e, step.run, keys ? offsetof(plan::KeyRun, k_scales) : offsetof(plan::KeyRun, v_scales));
}

// One row: where it lies, the row that is prefetched meanwhile, and where it goes.
struct Conversion {
  Ptr source, to_come, target;
};

// target[d ..] = source[d ..] times `factor`, `count` elements, and prefetches of their lines; an empty factor: 1.
void emit_part(Emitter& e, DType dtype, const Conversion& row, Index d, std::int64_t count, Float factor) {
  auto& ir = e.ir();
  const int width = widened_at_once(e, dtype);
  const Ptr source = at_element(e, row.source, d, dtype), target = e.at_real(row.target, d);
  const Ptr to_come = e.anywhere(row.to_come, d);  // elements are bytes
  for (std::int64_t offset = 0; offset < count; offset += width) {
    if (offset % kCacheLine == 0) e.prefetch(e.anywhere(to_come, e.index(offset)), CacheLevel::kSecond);
    const VectorPart part{width, static_cast<int>(std::min<std::int64_t>(width, count - offset))};
    llvm::Value* reals = widen_in_units(e, load_first(e, at_element(e, source, e.index(offset), dtype), dtype, part), dtype);
    if (factor) reals = ir.CreateFMul(reals, ir.CreateVectorSplat(static_cast<unsigned>(width), factor.value));
    e.store(reals, e.at_real(target, e.index(offset)), 4 * e.lanes());
  }
}

}  // namespace

// for (i = first - kv; i < last - kv; ++i) real_rows[i][d] = row of kv + i, times its scale where that is one of a group of
// dims
void emit_real_rows(Emitter& e, RowBlock& b, const KeyStep& step, Streamed streamed) {
  const bool keys = streamed == Streamed::kKeys;
  const SourceScope part = e.part(keys ? plan::Part::kQueryKey : plan::Part::kWeightsValues);
  const StreamedRows from = keys ? stored_keys_of(e, b, step) : stored_values_of(e, b, step);
  const std::int64_t group = b.key.types.scale_dims;
  const std::int64_t at_once = group == 0 ? kMostDims : std::min(kMostDims, group), whole = from.dims / at_once * at_once;
  const StreamedRows to = keys ? keys_of(e, b, step) : values_of(e, b, step);
  const RowScales scales = scales_of(e, step, streamed);
  e.for_range("dequantise", step.first, step.last, e.index(1), [&](Index key) {
    const Conversion row{from.row(key), from.to_come(key), to.row(key)};
    e.for_range("dequantise.dims", e.index(0), e.index(whole), e.index(at_once), [&](Index d) {
      Float factor;
      if (group != 0) {
        const Index number{e.ir().CreateUDiv(d.value, e.index(group).value)};
        factor = e.mul(scales.of(key, number), e.real(unit_of(from.dtype)));
      }
      emit_part(e, from.dtype, row, d, at_once, factor);
    });
    if (whole != from.dims) emit_part(e, from.dtype, row, e.index(whole), from.dims - whole, {});
  });
}

// Evenly one after the other, as rows of a token and head mostly lie, they are copied by vectors.
void emit_row_scales(Emitter& e, RowBlock& b, const KeyStep& step) {
  const SourceScope part = e.part(plan::Part::kWeights);
  const Float unit = e.real(unit_of(b.key.types.kv));
  const Index tile = e.index(b.key.tiling.kv_tile);
  const auto fill = [&](Streamed streamed, const RealRows& table) {
    const RowScales scales = scales_of(e, step, streamed);
    const Bool is_whole = e.equal(e.sub(step.last, step.first), tile);
    e.if_else(
        "scales", e.logical_and(is_whole, e.equal(scales.by_row, e.index(1))),
        [&] {
          for (int column = 0; column < b.key.tiling.kv_tile; column += e.lanes()) {
            const Float loaded = e.load_vector(e.at(scales.at(step.first), e.index(column)));
            e.store(e.mul(loaded, unit).value, table.at(e.index(0), e.index(column)), vector_bytes(e));
          }
        },
        [&] {
          e.for_range("scales.each", e.index(0), tile, e.index(1), [&](Index column) {
            const Index key = e.widen(b.numbers.load(column));
            e.store(e.mul(scales.of(key, e.index(0)), unit).value, table.at(e.index(0), column));
          });
        });
  };
  fill(Streamed::kKeys, b.k_scales);
  fill(Streamed::kValues, b.v_scales);
}

}  // namespace flexjit::codegen
