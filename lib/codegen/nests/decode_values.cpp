// O += P V of one key step: micro-tiles of up to micro_rows rows by as many vectors of value dims as fit the registers. Rows of
// V are read as they lie, one after the other.
#include "codegen/nests/decode.h"
#include "codegen/emit/storage.h"

namespace flexjit::codegen {
namespace {

constexpr std::int64_t kCacheLine = 64;

}  // namespace

void DecodeEmitter::emit_values(const Step& step) {
  const SourceScope part = e_.part(plan::Part::kWeightsValues);
  for_row_chunks("value_rows", [&](Index row, int rows) { emit_value_rows(step, row, rows); });
}

// The value dims in chunks of equal width, as few as fit the registers; the last may be narrower and end inside a vector of V.
void DecodeEmitter::emit_value_rows(const Step& step, Index row, int rows) {
  const int accumulators = key_.tiling.micro_rows * key_.tiling.micro_vectors / rows;
  const int unit = pairs_ ? 2 * e_.lanes() : e_.lanes();  // dims of a vector of V
  const int most = pairs_ ? accumulators / 2 : accumulators;
  const int total = layout_.v_padded / unit;
  const int chunks = (total + most - 1) / most;
  const int width = (total + chunks - 1) / chunks;
  const int loops = key_.v_head_dim / unit / width;
  const std::int64_t whole = std::int64_t{loops} * width * unit;
  const auto emit_chunk = [&](const ValueChunk& chunk) {
    pairs_ ? emit_value_pairs(step, row, rows, chunk) : emit_value_chunk(step, row, rows, chunk);
  };
  e_.for_range("value_dims", e_.index(0), e_.index(whole), e_.index(std::int64_t{width} * unit),
               [&](Index dim) { emit_chunk({dim, width, 0}); });
  if (const int rest = total - loops * width; rest != 0) emit_chunk({e_.index(whole), rest, key_.v_head_dim % unit});
}

// acc[r][j] = o[row + r][dim + j];
// for (k = first; k < last; ++k) { prefetch; acc[r][j] += s[row + r][k - kv] * V[k][dim + j]; }
// o[row + r][dim + j] = acc[r][j];
void DecodeEmitter::emit_value_chunk(const Step& step, Index row, int rows, const ValueChunk& chunk) {
  const DType dtype = key_.types.kv;
  const std::int64_t element = static_cast<std::int64_t>(size_of(dtype));
  const int alignment = 4 * e_.lanes();
  const Ptr output = output_at(row, chunk.dim);
  const auto place = [&](int r, int j) { return e_.at(output, e_.index(std::int64_t{r} * layout_.v_padded + j * e_.lanes())); };
  Values acc;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < chunk.vectors; ++j) acc.push_back(e_.load_vector(place(r, j), alignment).value);
  }
  const Index first = e_.add(e_.mul(step.first, item_.v.stride), chunk.dim);
  acc.push_back(at_element(e_, item_.v.data, first, dtype).value);
  const Ptr weights = score_at(row, e_.index(0));
  const Index ahead = e_.mul(item_.v.stride, e_.index(rows_ahead(key_.v_head_dim * element)));
  const Index lo = e_.sub(step.first, step.kv), hi = e_.sub(step.last, step.kv);
  acc = e_.for_range("pv", lo, hi, e_.index(1), acc, [&](Index k, const Values& carried) {
    const Ptr values{carried.back()};
    for (std::int64_t byte = 0; byte < chunk.vectors * e_.lanes() * element; byte += kCacheLine) {
      const Index at = e_.add(ahead, e_.index(byte / element));
      emit_prefetch(Ptr{e_.ir().CreateGEP(storage_type(e_, dtype), values.value, at.value)});
    }
    llvm::SmallVector<Float, 8> v;
    for (int j = 0; j < chunk.vectors; ++j) {
      const bool cut = chunk.tail != 0 && j + 1 == chunk.vectors;
      const Ptr address = at_element(e_, values, e_.index(std::int64_t{j} * e_.lanes()), dtype);
      v.push_back(Float{widen(e_, load_first(address, dtype, e_.lanes(), cut ? chunk.tail : e_.lanes()), dtype)});
    }
    Values next;
    for (int r = 0; r < rows; ++r) {
      const Float p = e_.broadcast(e_.load(e_.at(e_.at(weights, k), e_.index(std::int64_t{r} * key_.tiling.kv_tile))));
      for (Float x : v) next.push_back(e_.fma(p, x, Float{carried[next.size()]}).value);
    }
    next.push_back(at_element(e_, values, item_.v.stride, dtype).value);
    return next;
  });
  std::size_t next = 0;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < chunk.vectors; ++j) e_.store(acc[next++], place(r, j), alignment);
  }
}

}  // namespace flexjit::codegen
