// Online softmax over one key tile, row by row: the maximum so far, the weights, their sum, and how much the older output and
// sum must shrink. Everything is relative to the running maximum, in natural units; exp is 2^(x log2 e).
#include <limits>

#include "codegen/forward.h"
#include "codegen/vector_math.h"

namespace flexjit::codegen {
namespace {

constexpr float kLog2E = 1.44269504088896F;

}  // namespace

void ForwardEmitter::emit_softmax(Index columns) {
  e_.for_range("softmax", e_.index(0), item_.rows, e_.index(1), [&](Index row) { emit_softmax_row(row, columns); });
}

// max = reduce(max_lanes[row]); base = max == -inf ? 0 : max;   a row without any key keeps weights 2^(-inf) = 0
// rescale[row] = exp(row_max[row] - base); row_max[row] = max;
// for (c = 0; c < columns; c += strip) S[row][c..] = exp(S[row][c..] - base), summed lane by lane;
// row_sum[row] = rescale[row] * row_sum[row] + reduce(sum);
void ForwardEmitter::emit_softmax_row(Index row, Index columns) {
  const Ptr max_at = scratch_at(scratch_.row_max, row, 1, e_.index(0));
  const Ptr sum_at = scratch_at(scratch_.row_sum, row, 1, e_.index(0));
  const Float max = e_.reduce_max(e_.load_vector(scratch_at(scratch_.max_lanes, row, e_.lanes(), e_.index(0)), 4 * e_.lanes()));
  const Float lowest = e_.constant(-std::numeric_limits<float>::infinity());
  const Float base = e_.select(e_.compare(FloatOrder::kEq, max, lowest), e_.constant(0.0F), max);
  const Float log2_e = e_.constant(kLog2E);
  const Float base2 = e_.broadcast(e_.mul(base, e_.constant(-kLog2E)));
  const Float drop = e_.broadcast(e_.mul(e_.sub(e_.load(max_at), base), log2_e));
  const Float rescale{e_.ir().CreateExtractElement(emit_exp2_fast(e_, drop).value, std::uint64_t{0})};
  e_.store(max.value, max_at);
  e_.store(rescale.value, scratch_at(scratch_.rescale, row, 1, e_.index(0)));

  const int vectors = key_.tiling.micro_vectors;
  const Values zeros(static_cast<std::size_t>(vectors), e_.broadcast(e_.constant(0.0F)).value);
  const Values sums =
      e_.for_range("exp", e_.index(0), columns, e_.index(layout_.strip), zeros, [&](Index c, const Values& sum) {
        Values next;
        for (int j = 0; j < vectors; ++j) {
          const Ptr address = score_at(row, e_.add(c, e_.index(j * e_.lanes())));
          const Float s = e_.load_vector(address, 4 * e_.lanes());
          const Float p = emit_exp2_fast(e_, e_.fma(s, log2_e, base2));
          e_.store(p.value, address, 4 * e_.lanes());
          next.push_back(e_.add(Float{sum[static_cast<std::size_t>(j)]}, p).value);
        }
        return next;
      });
  Float total{sums[0]};
  for (int j = 1; j < vectors; ++j) total = e_.add(total, Float{sums[static_cast<std::size_t>(j)]});
  e_.store(e_.add(e_.mul(e_.load(sum_at), rescale), e_.reduce_add(total)).value, sum_at);
}

}  // namespace flexjit::codegen
