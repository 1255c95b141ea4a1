// Loads of query rows in the caller's element type, and prefetches of the rows that the next tile takes.
#include "codegen/parts/queries.h"

#include <cstddef>
#include <numbers>

#include "codegen/emit/storage.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {
namespace {

// The row of the item that follows is on the way while this one is computed, and so is the row that this one's output is
// written to.
void emit_prefetches(Emitter& e, const plan::KernelKey& key, const PrefillItem& item, Ptr query, Index row) {
  const auto lines = [&](const char* name, std::int64_t bytes, llvm::function_ref<void(Index)> body) {
    e.for_range(name, e.index(0), e.index(bytes), e.index(kCacheLine), body);
  };
  const auto q_bytes = static_cast<std::int64_t>(size_of(key.types.q));
  const auto out_bytes = static_cast<std::int64_t>(size_of(key.types.out));
  lines("load_q.prefetch", key.head_dim * q_bytes,
        [&](Index byte) { e.prefetch(e.anywhere(query, e.add(item.q_ahead, byte)), CacheLevel::kSecond); });
  const Ptr output = item.queries.pointer(e, row, offsetof(plan::QueryRow, out));
  lines("load_q.output", key.v_head_dim * out_bytes,
        [&](Index byte) { e.prefetch(e.anywhere(output, byte), CacheLevel::kSecond, Access::kWrite); });
}

}  // namespace

// Scores are in natural units, the queries being scaled: products of what is not may overflow where scores do not. Pairs of
// bf16 would lose bits to scaled queries, so that all but a power of two is left to their sums: before the mod, or in the
// exponent, where the factor must be positive for masked scores to vanish.
Units units_of(Emitter& e, Float scale, RestGoes goes) {
  const Float log2_e = e.real(std::numbers::log2e);
  switch (e.arithmetic()) {
    case plan::Arithmetic::kF32:
    case plan::Arithmetic::kF64: return {.query = scale, .exponent = log2_e};
    case plan::Arithmetic::kBF16: break;
  }
  const auto [power, rest] = split_scale(e, scale);
  switch (goes) {
    case RestGoes::kToProducts: return {.query = power, .exponent = log2_e, .product = rest};
    case RestGoes::kToExponent: return {.query = power, .exponent = e.mul(rest, log2_e), .natural = rest};
  }
  return {};
}

// for (r = 0; r < rows; ++r) for (d = 0; d < head_dim; ++d) q[r][d] = factor * rows[min(r, q_count - 1)].q[d];
// The rows that pad the last micro-tile repeat the last real one, so that whatever they compute is as harmless.
void emit_query_rows(Emitter& e, const plan::KernelKey& key, const PrefillItem& item, const RealRows& q, Float factor) {
  const SourceScope part = e.part(plan::Part::kQueries);
  const Index last = e.sub(item.q_count, e.index(1));
  e.for_range("load_q", e.index(0), item.rows, e.index(1), [&](Index r) {
    const Index source_row = e.min(r, last);
    const Ptr source = item.queries.pointer(e, source_row, offsetof(plan::QueryRow, q));
    const Ptr target = q.cells_at(r);
    emit_prefetches(e, key, item, source, source_row);
    copy_as_cells(e, {source, target, key.head_dim}, key.types.q, factor);
  });
}

// for (r = 0; r < rows; ++r) q[r][0 .. head_dim) = factor * rows[r].q, then zeros
void emit_query_rows(Emitter& e, const plan::KernelKey& key, const DecodeItem& item, const RealRows& q, Float factor) {
  const SourceScope part = e.part(plan::Part::kQueries);
  const Operands operands = operands_of(e);
  e.for_range("load_q", e.index(0), item.rows, e.index(1), [&](Index r) {
    const Ptr source = item.queries.pointer(e, r, offsetof(plan::QueryRow, q)), target = q.at(r);
    for_chunks(e, "load_q.vector", {key.head_dim, operands.width, 1}, [&](const Chunk& chunk) {
      const Ptr at = at_element(e, source, chunk.dim, key.types.q);
      const VectorPart vector{operands.width, chunk.elements(0, operands.width)};
      llvm::Value* loaded = scaled_operand(e, load_first(e, at, key.types.q, vector), key.types.q, factor);
      e.store(loaded, at_element(e, target, chunk.dim, operands.stored_as), vector_bytes(e));
    });
  });
}

}  // namespace flexjit::codegen
