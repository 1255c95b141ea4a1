// The tables behind vocabulary.h.
#include "dsl/vocabulary/vocabulary.h"

#include <algorithm>
#include <array>

namespace flexjit::dsl {
namespace {

constexpr std::array<std::string_view, 3> kTypeNames = {"int", "float", "bool"};
constexpr std::array kDTypeNames = {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) std::string_view(text),
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
};

// By Builtin; the two aliases and the four constants follow.
constexpr std::array<std::string_view, 19> kValueNames = {
    "score",      "b",        "h",         "q_idx", "kv_idx", "q_len", "kv_len", "num_heads", "num_kv_heads", "kv_head",
    "batch_size", "q_global", "kv_global", "q",     "kv",     "inf",   "pi",     "true",      "false"};
constexpr std::size_t kBuiltinCount = 13;

// What a feature map has beside them, by Builtin.
constexpr std::array<std::string_view, 3> kRowValueNames = {"x", "sumsq", "feature"};

// The first five are keywords; the others are names elsewhere.
constexpr std::array<std::string_view, 9> kStatementWords = {"param", "const", "buffer",  "let", "def",
                                                             "score", "mask",  "feature", "gate"};
constexpr std::size_t kStatementKeywords = 5;
constexpr std::array<std::string_view, 3> kReductionWords = {"any", "all", "sum"};
constexpr std::array<std::string_view, 4> kOperatorWords = {"and", "or", "not", "in"};

constexpr std::array kFunctions = {
#define FLEXJIT_FUNCTION(kind, name, min_arguments, max_arguments, rule) \
  FunctionInfo{name, min_arguments, max_arguments, FunctionRule::rule},
#include "dsl/check/functions.def"
#undef FLEXJIT_FUNCTION
};

constexpr std::array kFunctionNames = {
#define FLEXJIT_FUNCTION(kind, name, min_arguments, max_arguments, rule) std::string_view(name),
#include "dsl/check/functions.def"
#undef FLEXJIT_FUNCTION
};

template <typename Enum, std::size_t kSize>
std::optional<Enum> find_in(const std::array<std::string_view, kSize>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

}  // namespace

std::string_view type_name(Type type) { return type == Type::kLong ? "int64" : kTypeNames[static_cast<std::size_t>(type)]; }
std::optional<Type> find_type(std::string_view name) { return find_in<Type>(kTypeNames, name); }

Type type_of_elements(DType dtype) {
  switch (dtype) {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  case DType::k##name: return Type::k##kind;
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
  }
  return Type::kFloat;
}

std::span<const std::string_view> dtype_names() { return kDTypeNames; }
std::optional<DType> find_dtype(std::string_view name) { return find_in<DType>(kDTypeNames, name); }

std::optional<Builtin> find_builtin(std::string_view name) {
  if (name == "q") return Builtin::kQIdx;
  if (name == "kv") return Builtin::kKvIdx;
  const auto found = find_in<Builtin>(kValueNames, name);
  return found && static_cast<std::size_t>(*found) < kBuiltinCount ? found : std::nullopt;
}

std::string_view builtin_name(Builtin builtin) {
  const auto number = static_cast<std::size_t>(builtin);
  return number < kBuiltinCount ? kValueNames[number] : kRowValueNames[number - kBuiltinCount];
}

bool is_extent(Builtin builtin) {
  switch (builtin) {
    case Builtin::kQLen:
    case Builtin::kKvLen:
    case Builtin::kNumHeads:
    case Builtin::kNumKvHeads:
    case Builtin::kBatchSize: return true;
    case Builtin::kScore:
    case Builtin::kBatch:
    case Builtin::kHead:
    case Builtin::kQIdx:
    case Builtin::kKvIdx:
    case Builtin::kKvHead:
    case Builtin::kQGlobal:
    case Builtin::kKvGlobal:
    case Builtin::kRowValue:
    case Builtin::kSumSq:
    case Builtin::kFeature: return false;
  }
  return false;
}

const FunctionInfo& info_of(Function function) { return kFunctions[static_cast<std::size_t>(function)]; }
std::optional<Function> find_function(std::string_view name) { return find_in<Function>(kFunctionNames, name); }

std::span<const std::string_view> value_names() { return kValueNames; }
std::span<const std::string_view> function_names() { return kFunctionNames; }
std::span<const std::string_view> statement_words() { return kStatementWords; }
std::span<const std::string_view> operator_words() { return kOperatorWords; }
std::span<const std::string_view> type_names() { return kTypeNames; }
std::span<const std::string_view> reduction_words() { return kReductionWords; }

bool is_keyword(std::string_view name) {
  const auto statements = statement_words().first(kStatementKeywords);
  return std::ranges::find(statements, name) != statements.end() ||
         std::ranges::find(kOperatorWords, name) != kOperatorWords.end();
}

std::string_view why_reserved(std::string_view name) {
  if (is_keyword(name)) return "a keyword";
  if (find_function(name)) return "a builtin function";
  // Texts older than packed positions may call buffers so; theirs is then what the name means.
  const auto builtin = find_builtin(name);
  if (builtin && *builtin != Builtin::kQGlobal && *builtin != Builtin::kKvGlobal) return "a builtin value";
  if (name == "inf" || name == "pi" || name == "true" || name == "false") return "a constant";
  return "";
}

}  // namespace flexjit::dsl
