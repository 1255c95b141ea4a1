// Typed emission over IRBuilder. Float, Int and Bool are an fp32 (or fp64), i32 (or i64: a long) or i1 that is either one
// scalar or one vector of the kernel's lanes; an operation on a scalar and a vector broadcasts the scalar, one on fp32 and fp64
// widens the fp32. A "real" is a Float of the type that the kernel sums in: fp64 in fp64 kernels, else fp32. Index is a 64-bit
// scalar. Functions return values; only emit_* functions elsewhere, and the stores and control flow here, append effects.
#pragma once

#include <llvm/ADT/STLFunctionalExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <bit>

#include "codegen/emit/line_table.h"
#include "plan/kernel_key.h"
#include "plan/target.h"

namespace flexjit::codegen {

template <typename Tag>
struct Typed {
  llvm::Value* value = nullptr;
  explicit operator bool() const { return value != nullptr; }
};
using Float = Typed<struct FloatTag>;
using Int = Typed<struct IntTag>;
using Bool = Typed<struct BoolTag>;
using Index = Typed<struct IndexTag>;
using Ptr = Typed<struct PtrTag>;

using Values = llvm::SmallVector<llvm::Value*, 32>;

// Whether a*b+c may round once. Off for index arithmetic, whose every rounding is defined (ops.def).
enum class Contraction : std::uint8_t { kOff, kOn };

enum class FloatOrder : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe };

inline constexpr std::int64_t kCacheLine = 64;  // bytes
enum class CacheLevel : std::uint8_t { kFirst, kSecond };
enum class Access : std::uint8_t { kRead, kWrite };

// While it lives, what is emitted belongs to one part of the kernel or one node of the program.
class [[nodiscard]] SourceScope {
 public:
  SourceScope(plan::Provenance& current, const plan::Provenance& inner, llvm::IRBuilder<>& builder, const LineTable* lines);
  ~SourceScope();
  SourceScope(const SourceScope&) = delete;
  SourceScope& operator=(const SourceScope&) = delete;

 private:
  plan::Provenance& current_;
  plan::Provenance outer_;
  llvm::IRBuilder<>& builder_;
  llvm::DebugLoc outer_location_;
};

class Emitter {
 public:
  // `lines` may be null: no line table.
  Emitter(llvm::Module& module, plan::Isa isa, plan::Arithmetic arithmetic = plan::Arithmetic::kF32,
          LineTable* lines = nullptr);

  SourceScope part(plan::Part part) { return {from_, {.part = part}, builder_, lines_}; }
  SourceScope node(ir::Id node) { return {from_, {.part = from_.part, .node = node}, builder_, lines_}; }

  plan::Isa isa() const { return isa_; }
  plan::Arithmetic arithmetic() const { return arithmetic_; }
  int lanes() const { return lanes_; }
  llvm::Type* real_type();
  std::int64_t real_bytes() const { return plan::facts_of(arithmetic_).real_bytes; }
  llvm::IRBuilder<>& ir() { return builder_; }
  llvm::Module& module() { return module_; }
  bool has_fma() const { return has(plan::kFma); }
  bool has(plan::Feature feature) const { return plan::has(isa_, feature); }

  // void name(ptr), visible, with the target's attributes; the builder stands in its entry block.
  Ptr begin_function(llvm::StringRef name, llvm::StringRef argument);
  void end_function();

  Float constant(float value);
  Float real(double value);
  Float lowest();  // -inf, a real: what masked scores are, and maxima of none
  Int constant_int(std::int32_t value);
  Int constant_like(Int shape, std::int64_t value);  // of its width, a scalar
  Bool constant_bool(bool value);
  Index index(std::int64_t value);
  static bool is_double(Float x) { return x.value->getType()->getScalarType()->isDoubleTy(); }

  static bool is_vector(llvm::Value* value) { return value->getType()->isVectorTy(); }
  template <typename T>
  T broadcast(T x) {
    return is_vector(x.value) ? x : T{builder_.CreateVectorSplat(static_cast<unsigned>(lanes_), x.value)};
  }
  // The scalar type's vector type or itself: the type that has `shape`'s shape.
  llvm::Type* shaped(llvm::Type* scalar, llvm::Value* shape);
  static bool is_long(Int x) { return x.value->getType()->getScalarType()->isIntegerTy(64); }
  Int lane_numbers();  // 0, 1, ..., lanes - 1
  Int first_lane(Int vector);

  Float add(Float a, Float b);
  Float sub(Float a, Float b);
  Float mul(Float a, Float b);
  Float div(Float a, Float b);
  Float neg(Float a);
  Float abs(Float a);
  Float sqrt(Float a);
  Float fma(Float a, Float b, Float c);  // a * b + c: one rounding where the target has FMA, two elsewhere
  Float max(Float a, Float b);           // a > b ? a : b
  Float min(Float a, Float b);           // a < b ? a : b
  Bool compare(FloatOrder order, Float a, Float b);
  Float select(Bool c, Float a, Float b);
  Float reduce_add(Float vector);
  Float reduce_max(Float vector);  // without NaN

  Int add(Int a, Int b);
  Int sub(Int a, Int b);
  Int mul(Int a, Int b);
  Int bit_and(Int a, Int b);
  Int bit_or(Int a, Int b);
  Int bit_xor(Int a, Int b);
  Int shl(Int a, Int b);  // b in [0, 31]
  Int shr(Int a, Int b);  // arithmetic, b in [0, 31]
  Bool compare(llvm::CmpInst::Predicate predicate, Int a, Int b);
  Int select(Bool c, Int a, Int b);

  Bool logical_and(Bool a, Bool b);
  Bool logical_or(Bool a, Bool b);
  Bool logical_xor(Bool a, Bool b);
  Bool logical_not(Bool a);
  Bool select(Bool c, Bool a, Bool b);
  Bool any(Bool vector);         // scalar
  Index lane_bits(Bool vector);  // bit i: lane i
  Index low_bits(Index count);   // the lowest `count` bits, count in [1, 64]

  Float to_float(Int a);  // fp32
  Float to_real(Int a);   // one rounding
  Float to_real(Float a);
  Int to_int(Float a);  // toward zero; the caller keeps it inside int32
  Int to_int(Bool a);   // 0 or 1
  Float bits_as_float(Int a);
  Int bits_as_int(Float a);

  Index widen(Int scalar);  // of either width
  Int to_long(Int a);
  Int saturated(Int a);           // a long as an int
  Index widen_bool(Bool scalar);  // 0 or 1
  Int narrow(Index a);
  Index add(Index a, Index b);
  Index sub(Index a, Index b);
  Index mul(Index a, Index b);
  Index min(Index a, Index b);
  Index max(Index a, Index b);
  Index select(Bool c, Index a, Index b);
  Bool less(Index a, Index b);  // signed
  Bool equal(Index a, Index b);
  Index bit_and(Index a, Index b);
  Index bit_or(Index a, Index b);
  Index shl(Index a, Index b);
  Index lshr(Index a, Index b);
  Index round_up(Index a, std::int64_t multiple);
  Index panel_of(Index column) {
    return Index{builder_.CreateLShr(column.value, static_cast<unsigned>(std::countr_zero(static_cast<unsigned>(lanes_))))};
  }

  // Memory. Offsets count 4-byte elements unless they say bytes.
  Ptr at(Ptr base, Index elements);
  Ptr select(Bool c, Ptr a, Ptr b);
  Ptr at_byte(Ptr base, std::int64_t bytes);
  Ptr at_byte_offset(Ptr base, Index bytes);
  // The same address, of which loop analyses know nothing: what lies at constant distances from it is addressed from one
  // register, and code generation does not spend its time on every distance.
  Ptr opaque(Ptr address);
  // Brings the line of an address into a cache; it may lie anywhere.
  void prefetch(Ptr address, CacheLevel level, Access access = Access::kRead);
  Ptr anywhere(Ptr base, Index bytes);  // an address that need not lie in the object of `base`
  Ptr at_real(Ptr base, Index reals);
  Float load_real(Ptr address);
  Float load_reals(Ptr address, int alignment);  // one vector; alignment in bytes
  Float load(Ptr address, const char* name = "");
  Float load_vector(Ptr address, int alignment = 4);
  Int load_int(Ptr address, const char* name = "");
  Int load_int_vector(Ptr address);
  Int load_long(Ptr address);
  Int load_long_vector(Ptr address);
  Index load_index(Ptr address, const char* name = "");
  Ptr load_pointer(Ptr address, const char* name = "");
  void store(llvm::Value* value, Ptr address, int alignment = 4);

  // carried = init; for (i = lo; i < hi; i += step) carried = body(i, carried); returns the last carried.
  Values for_range(llvm::StringRef name, Index lo, Index hi, Index step, const Values& init,
                   llvm::function_ref<Values(Index, const Values&)> body);
  void for_range(llvm::StringRef name, Index lo, Index hi, Index step, llvm::function_ref<void(Index)> body);
  // again = false; do again = body(again); while (again);
  void repeat(llvm::StringRef name, llvm::function_ref<Bool(Bool again)> body);
  void if_then(llvm::StringRef name, Bool condition, llvm::function_ref<void()> then);
  void if_else(llvm::StringRef name, Bool condition, llvm::function_ref<void()> then, llvm::function_ref<void()> otherwise);
  // condition ? then() : otherwise(), of which only one runs.
  llvm::Value* choose(llvm::StringRef name, Bool condition, llvm::function_ref<llvm::Value*()> then,
                      llvm::function_ref<llvm::Value*()> otherwise);

  void set_contraction(Contraction contraction);

  // Makes both vectors if one is, and both fp64 if one is.
  template <typename T>
  void match(T& a, T& b) {
    if constexpr (std::is_same_v<T, Float>) match_precision(a, b);
    if (is_vector(a.value) != is_vector(b.value)) {
      a = broadcast(a);
      b = broadcast(b);
    }
  }

 private:
  void match_precision(Float& a, Float& b);

  llvm::Module& module_;
  llvm::IRBuilder<> builder_;
  plan::Isa isa_;
  plan::Arithmetic arithmetic_;
  int lanes_;
  LineTable* lines_;
  plan::Provenance from_;
};

}  // namespace flexjit::codegen
