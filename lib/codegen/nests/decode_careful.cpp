// The careful pass of a decode item (careful.h): scores are computed as before, the maxima and sums of the first pass are
// final; one row after another, O += P V / kHeadroom. Only what is not finite comes here, so that the code is short rather than
// fast.
#include <algorithm>

#include "codegen/parts/careful.h"
#include "codegen/nests/decode.h"
#include "codegen/emit/storage.h"

namespace flexjit::codegen {

// s[row][] = x[] takes part ? its weight : kNoPart, as fp32
void DecodeEmitter::emit_careful_weights(Index row, llvm::ArrayRef<Float> scores) {
  const SourceScope part = e_.part(plan::Part::kCareful);
  const Float base = shift_of(row);
  std::int64_t offset = 0;
  for (Float score : scores) {
    const Float x = exponent_of(score, base);
    const Bool none = key_.weights == plan::Weights::kSoftmax ? e_.compare(FloatOrder::kLt, x, e_.real(kVanishes))
                                                              : e_.compare(FloatOrder::kGe, x, e_.real(kOverflows));
    e_.store(careful_weight(e_, none, weight_of(x)).value, score_at(row, e_.index(offset)), 4 * e_.lanes());
    offset += e_.lanes();
  }
}

// for (r = 0; r < rows; ++r) if (unsettled[r]) careful_chunk(r, dims) for chunks of micro_vectors vectors of dims
void DecodeEmitter::emit_careful_values(const Step& step) {
  const SourceScope part = e_.part(plan::Part::kCareful);
  const int most = key_.tiling.micro_vectors;
  const int width = most * e_.lanes();
  const int tail = key_.v_head_dim % width;
  e_.for_range("careful_row", e_.index(0), item_.rows, e_.index(1), [&](Index row) {
    const Bool unsettled = e_.compare(llvm::CmpInst::ICMP_NE, e_.load_int(unsettled_at(row)), e_.constant_int(0));
    e_.if_then("careful_row.unsettled", unsettled, [&] {
      const Index whole = e_.index(key_.v_head_dim - tail);
      e_.for_range("careful_dims", e_.index(0), whole, e_.index(width),
                   [&](Index dim) { emit_careful_chunk(step, row, {dim, most, 0}); });
      const int vectors = (tail + e_.lanes() - 1) / e_.lanes();
      if (tail != 0) emit_careful_chunk(step, row, {whole, vectors, tail % e_.lanes()});
    });
  });
}

// for (k = first; k < last; ++k) o[row][dims] += s[row][k - kv] * V[k][dims] / kHeadroom
void DecodeEmitter::emit_careful_chunk(const Step& step, Index row, const ValueChunk& chunk) {
  const DType dtype = key_.types.kv;
  const auto dims_at = [&](int j) { return e_.add(chunk.dim, e_.index(std::int64_t{j} * e_.lanes())); };
  Values sums;
  for (int j = 0; j < chunk.vectors; ++j) sums.push_back(e_.load_vector(output_at(row, dims_at(j)), 4 * e_.lanes()).value);
  sums = e_.for_range("careful", step.first, step.last, e_.index(1), sums, [&](Index k, const Values& so_far) {
    const Float weight = e_.broadcast(e_.load(score_at(row, e_.sub(k, step.kv))));
    Values next;
    for (int j = 0; j < chunk.vectors; ++j) {
      const int count = chunk.tail != 0 && j + 1 == chunk.vectors ? chunk.tail : e_.lanes();
      const Ptr address = at_element(e_, item_.v.data, e_.add(e_.mul(k, item_.v.stride), dims_at(j)), dtype);
      const Float values{widen(e_, load_first(address, dtype, e_.lanes(), count), dtype)};
      next.push_back(add_careful_product(e_, weight, values, Float{so_far[next.size()]}).value);
    }
    return next;
  });
  for (int j = 0; j < chunk.vectors; ++j) {
    e_.store(sums[static_cast<std::size_t>(j)], output_at(row, dims_at(j)), 4 * e_.lanes());
  }
}

}  // namespace flexjit::codegen
