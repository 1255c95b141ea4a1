// The words of the language: types, builtin values and builtin functions. What the parser, the checker, the printer and the
// lowering agree on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "flexjit/tensor.h"

namespace flexjit::dsl {

// kLong, a 64-bit int, is what reads of i64 buffers and int64(...) give and what is computed from them; no param or const is
// declared so.
enum class Type : std::uint8_t { kInt, kFloat, kBool, kLong };
std::string_view type_name(Type type);
std::optional<Type> find_type(std::string_view name);
Type type_of_elements(DType dtype);

// The names of element types, in the order of DType.
std::span<const std::string_view> dtype_names();
std::optional<DType> find_dtype(std::string_view name);

enum class Builtin : std::uint8_t {
  kScore,
  kBatch,
  kHead,
  kQIdx,
  kKvIdx,
  kQLen,
  kKvLen,
  kNumHeads,
  kNumKvHeads,
  kKvHead,
  kBatchSize,
  kQGlobal,
  kKvGlobal,
  kRowValue,  // `x`, `sumsq(x)` and `feature`: of a feature map alone, where no other name hides them
  kSumSq,
  kFeature
};
// None of a feature map. Accepts the aliases `q` and `kv`.
std::optional<Builtin> find_builtin(std::string_view name);
std::string_view builtin_name(Builtin builtin);
// True for those that may stand as an extent of a buffer.
bool is_extent(Builtin builtin);

// How a function treats its arguments; each rule is one case of the checker.
enum class FunctionRule : std::uint8_t {
  kNumeric,  // ints or floats, mixed ones become float; the result is of that type
  kFloat,    // converted to float; the result is float
  kCast,     // any type to the type in the function's name
  kWhere,    // bool, then two of one type
  kDot       // two buffer rows
};

enum class Function : std::uint8_t {
#define FLEXJIT_FUNCTION(kind, name, min_arguments, max_arguments, rule) kind,
#include "dsl/check/functions.def"
#undef FLEXJIT_FUNCTION
};

struct FunctionInfo {
  std::string_view name;
  std::uint32_t min_arguments;
  std::uint32_t max_arguments;
  FunctionRule rule;
};
const FunctionInfo& info_of(Function function);
std::optional<Function> find_function(std::string_view name);

// Every builtin value and constant, for "did you mean".
std::span<const std::string_view> value_names();
std::span<const std::string_view> function_names();
// What a statement begins with, in the order of StatementKind; operators that are words; types of params and consts.
std::span<const std::string_view> statement_words();
std::span<const std::string_view> operator_words();
std::span<const std::string_view> type_names();
// Not reserved: only `any(name in` is a reduction.
std::span<const std::string_view> reduction_words();

// "a builtin value", "a keyword", ...: why a name cannot be defined; "" when it can. `mask` is no keyword: only `mask =` at the
// start of a statement is special, so a captured buffer may be called mask.
std::string_view why_reserved(std::string_view name);
// Words that join expressions and can therefore never be names, not even of a function's parameters.
bool is_keyword(std::string_view name);

}  // namespace flexjit::dsl
