// Vectors, the last one cut by a mask where elements are loaded and element by element where they are stored.
#include "codegen/parts/element_rows.h"

#include <string>

#include "codegen/emit/storage.h"
#include "codegen/parts/product.h"

namespace flexjit::codegen {
namespace {

// Elements as reals, of which the first `count` are in memory and the others 0.
Float load_part(Emitter& e, Ptr address, DType dtype, int count) {
  llvm::Value* stored = load_first(e, address, dtype, {e.lanes(), count});
  if (dtype == DType::kF64) return {stored};
  return e.to_real(Float{widen(e, stored, dtype)});
}

// What becomes fp32 of fp64 is rounded once.
Float as_stored(Emitter& e, Float value, DType dtype) {
  if (!Emitter::is_double(value) || dtype == DType::kF64) return value;
  return {e.ir().CreateFPTrunc(value.value, e.shaped(e.ir().getFloatTy(), value.value))};
}

}  // namespace

void for_vectors_of(Emitter& e, const char* name, Ptr source, const ElementsOf& of,
                    llvm::function_ref<void(Index, Float)> body) {
  for_chunks(e, name, {of.dims, e.lanes(), 1}, [&](const Chunk& chunk) {
    const Ptr address = at_element(e, source, chunk.dim, of.dtype);
    body(chunk.dim, load_part(e, address, of.dtype, chunk.elements(0, e.lanes())));
  });
}

void copy_row(Emitter& e, const char* name, Ptr source, const ElementsOf& of, Ptr target, Float factor) {
  for_vectors_of(e, name, source, of, [&](Index d, Float x) {
    e.store((factor ? e.mul(x, factor) : x).value, e.at_real(target, d), vector_bytes(e));
  });
}

void of_either_type(Emitter& e, DType own, Bool is_f32, llvm::function_ref<void(DType)> body) {
  if (own == DType::kF32) return body(own);
  e.if_else("is_f32", is_f32, [&] { body(DType::kF32); }, [&] { body(own); });
}

void give_elements(Emitter& e, Float reals, Ptr to, Index d, DType dtype) {
  store_elements(e, as_stored(e, reals, dtype), at_element(e, to, d, dtype), dtype);
}

void give_row(Emitter& e, const char* name, Ptr reals, Ptr to, const ElementsOf& of, Float factor) {
  const std::int64_t whole = of.dims / e.lanes() * e.lanes();
  e.for_range(name + std::string(".vector"), e.index(0), e.index(whole), e.index(e.lanes()), [&](Index d) {
    give_elements(e, e.mul(e.load_reals(e.at_real(reals, d), vector_bytes(e)), factor), to, d, of.dtype);
  });
  e.for_range(name + std::string(".tail"), e.index(whole), e.index(of.dims), e.index(1),
              [&](Index d) { give_elements(e, e.mul(e.load_real(e.at_real(reals, d)), factor), to, d, of.dtype); });
}

}  // namespace flexjit::codegen
