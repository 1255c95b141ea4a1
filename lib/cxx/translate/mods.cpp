// The functions score_mod and mask_mod of a unit, and what their parameters are: builtin values by their names, captured
// arrays, and params.
#include "cxx/translate/mods.h"

#include <clang/AST/Attr.h>
#include <clang/AST/DeclTemplate.h>

#include <algorithm>

#include "cxx/parse/spelling.h"
#include "cxx/translate/translator.h"
#include "dsl/findings/spelling.h"

namespace flexjit::cxx {
namespace {

constexpr Range kPosition{0, (1 << 30) - 1};
constexpr Range kCount{1, 1 << 30};

Range range_of(dsl::Builtin builtin) {
  switch (builtin) {
    case dsl::Builtin::kBatch:
    case dsl::Builtin::kHead:
    case dsl::Builtin::kQIdx:
    case dsl::Builtin::kKvIdx:
    case dsl::Builtin::kKvHead: return kPosition;
    case dsl::Builtin::kQLen:
    case dsl::Builtin::kKvLen:
    case dsl::Builtin::kNumHeads:
    case dsl::Builtin::kNumKvHeads:
    case dsl::Builtin::kBatchSize: return kCount;
    case dsl::Builtin::kQGlobal:
    case dsl::Builtin::kKvGlobal: return {0, INT32_MAX};
    case dsl::Builtin::kScore:
    case dsl::Builtin::kRowValue:
    case dsl::Builtin::kSumSq:
    case dsl::Builtin::kFeature: break;  // no integers
  }
  return {};
}

std::string trimmed(std::string text) {
  const std::size_t first = text.find_first_not_of(" \t\n"), last = text.find_last_not_of(" \t\n");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(trimmed(text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return parts;
}

bool is_inside(std::string_view part, std::string_view whole) {
  for (const char c : whole) {
    if (!part.empty() && part.front() == c) part.remove_prefix(1);
  }
  return part.empty();
}

// "; did you mean `kv_idx`?" of k_idx or kv_index, but not of names that a param may well have, such as kv_min: letters are
// missing or too many, and the function has no other parameter of the name.
std::string builtin_meant(const clang::ParmVarDecl& parameter) {
  constexpr std::size_t kLeastLetters = 4;
  const std::string name = parameter.getNameAsString();
  const auto& function = *llvm::cast<clang::FunctionDecl>(parameter.getDeclContext());
  std::vector<std::string_view> near;
  for (const std::string_view builtin : dsl::value_names()) {
    const auto is_taken = [&](const clang::ParmVarDecl* other) { return std::string_view(other->getName()) == builtin; };
    if ((is_inside(name, builtin) || is_inside(builtin, name)) && std::ranges::none_of(function.parameters(), is_taken))
      near.push_back(builtin);
  }
  return name.size() < kLeastLetters ? "" : dsl::did_you_mean(name, near);
}

// A number, a name or `?`: nothing that would read as more than an extent where it is written into a text.
bool is_extent(const std::string& text) {
  const auto is_part = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return text == "?" || (!text.empty() && std::ranges::all_of(text, is_part));
}

std::optional<std::string> extents_attribute(const clang::ParmVarDecl& parameter) {
  constexpr std::string_view kExtents = "flexjit::extents:";
  for (const auto* annotation : parameter.specific_attrs<clang::AnnotateAttr>()) {
    const std::string_view text = annotation->getAnnotation();
    if (text.starts_with(kExtents)) return std::string(text.substr(kExtents.size()));
  }
  return std::nullopt;
}

}  // namespace

Translator::Translator(const Tree& tree, Findings& findings, support::Precision precision)
    : tree_(tree),
      findings_(findings),
      context_(tree.context()),
      precision_(precision),
      arithmetic_(graph_, precision, [this](std::string_view what) {
        const bool is_fp32 = precision_ == support::Precision::kFp32;
        findings_.add(Finding::kLostDigits, graph_.place(), what, is_fp32 ? "double" : "float", is_fp32 ? "fp32" : "fp64",
                      is_fp32 ? "floats, as 0.5f, or give the pattern the dtype f64" : "doubles");
      }) {}

void Translator::run() {
  for (const char* name : {"score_mod", "mask_mod"}) {
    try {
      translate_mod(name);
    } catch (const Refused&) {
      frames_.clear();
      graph_.drop_facts(0);
    }
  }
  if (outputs_.empty() && !findings_.has_errors()) findings_.add(Finding::kNoFunction, {0, 0, 0});
}

const clang::FunctionDecl* Translator::function_of(const clang::VarDecl& variable) {
  const auto* record = variable.getType().getNonReferenceType()->getAsCXXRecordDecl();
  if (record != nullptr && record->isLambda()) return record->getLambdaCallOperator();
  const clang::Expr* value = variable.getAnyInitializer();
  if (value == nullptr) return nullptr;
  value = value->IgnoreParenImpCasts();
  if (const auto* address = llvm::dyn_cast<clang::UnaryOperator>(value)) value = address->getSubExpr()->IgnoreParenImpCasts();
  const auto* name = llvm::dyn_cast<clang::DeclRefExpr>(value);
  return name != nullptr ? llvm::dyn_cast<clang::FunctionDecl>(name->getDecl()) : nullptr;
}

const clang::FunctionDecl* Translator::find_mod(const std::string& name) {
  const clang::FunctionDecl* found = nullptr;
  // Of the text alone: nothing of the precompiled prelude is loaded for it.
  for (const clang::Decl* declaration : context_.getTranslationUnitDecl()->noload_decls()) {
    const auto* named = llvm::dyn_cast<clang::NamedDecl>(declaration);
    if (named == nullptr || named->getNameAsString() != name) continue;
    const clang::FunctionDecl* candidate = llvm::dyn_cast<clang::FunctionDecl>(declaration);
    if (const auto* variable = llvm::dyn_cast<clang::VarDecl>(declaration)) candidate = function_of(*variable);
    const clang::FunctionDecl* definition = nullptr;
    if (candidate == nullptr || candidate->isDependentContext() || candidate->getBody(definition) == nullptr) continue;
    if (found != nullptr && found != definition) refuse(Finding::kTwoFunctions, definition->getSourceRange(), name);
    found = definition;
  }
  return found;
}

// What has the name of a mod and is none, which would otherwise be left out of the pattern without a word.
void Translator::refuse_other(const clang::DeclContext& context, const std::string& name) {
  for (const clang::Decl* declaration : context.noload_decls()) {
    const auto* named = llvm::dyn_cast<clang::NamedDecl>(declaration);
    if (named == nullptr || is_of_prelude(*named)) continue;
    if (llvm::isa<clang::NamespaceDecl, clang::CXXRecordDecl>(named)) {
      refuse_other(*llvm::cast<clang::DeclContext>(named), name);
      continue;
    }
    if (named->getNameAsString() != name) continue;
    const std::string_view why = llvm::isa<clang::FunctionTemplateDecl>(named)
                                     ? "is a template: write the types of its parameters"
                                 : !context.isTranslationUnit()          ? "stands in a namespace or a struct: write it outside"
                                 : llvm::isa<clang::FunctionDecl>(named) ? "is declared without a body"
                                                                         : "is no function: write one, or a lambda";
    refuse(Finding::kNoMod, named->getSourceRange(), name, why);
  }
}

void Translator::translate_mod(const std::string& name) {
  const bool is_score = name == "score_mod";
  const clang::FunctionDecl* mod = find_mod(name);
  if (mod == nullptr) return refuse_other(*context_.getTranslationUnitDecl(), name);
  const auto* method = llvm::dyn_cast<clang::CXXMethodDecl>(mod);
  if (method != nullptr && method->getParent()->capture_size() > 0)
    refuse(Finding::kUnsupported, method->getParent()->getSourceRange(), fmt::format("a capture of `{}`", name),
           "; make it constexpr and name it in the function, or make it a parameter, which is bound at run");
  dsl::Span place;
  if (tree_.place(mod->getSourceRange(), place)) graph_.set_place(place);
  const dsl::Span whole = graph_.place();
  Arguments arguments;
  for (const clang::ParmVarDecl* parameter : mod->parameters()) {
    if (tree_.place(parameter->getSourceRange(), place)) graph_.set_place(place);
    arguments.values.push_back({new_slot(this->parameter(*parameter, is_score)), {}});
  }
  const Location returned = call_function(*mod, arguments, mod->getSourceRange());
  const Value value = value_at(returned);
  outputs_.push_back({is_score ? "score" : "mask", result_of(*mod, value, is_score), whole});
}

NodeId Translator::result_of(const clang::FunctionDecl& mod, const Value& value, bool is_score) {
  const Scalar* known = std::get_if<Scalar>(&value);
  if (known == nullptr) {
    refuse(Finding::kResult, mod.getReturnTypeSourceRange(), is_score ? "score_mod" : "mask_mod", spelled(mod.getReturnType()),
           is_score ? "a float" : "a bool");
  }
  if (!is_score) return arithmetic_.convert(*known, kBoolType).id;
  const bool is_fp64 = precision_ == support::Precision::kFp64;
  const Scalar score = arithmetic_.convert(*known, is_fp64 ? kDoubleType : kFloatType);
  const auto constant = graph_.float_value(score.id);
  return constant && !is_fp64 ? graph_.constant(static_cast<double>(static_cast<float>(*constant))) : score.id;
}

Value Translator::parameter(const clang::ParmVarDecl& parameter, bool is_score) {
  const std::string name = parameter.getNameAsString();
  const auto refuse_name = [&](std::string_view why) {
    refuse(Finding::kParameter, parameter.getSourceRange(), name, spelled(parameter.getType()), why);
  };
  if (name.empty()) refuse_name("has no name, by which its value would be found");
  if (const auto builtin = dsl::find_builtin(name)) return builtin_parameter(parameter, *builtin, is_score);
  if (const std::string_view reserved = dsl::why_reserved(name); !reserved.empty())
    refuse_name(fmt::format("is {} of the language; choose another name", reserved));
  const clang::QualType type = parameter.getType().getNonReferenceType();
  if (scalar_type(type) && !parameter.getOriginalType()->isReferenceType()) return scalar_parameter(parameter);
  return array_parameter(parameter);
}

Value Translator::builtin_parameter(const clang::ParmVarDecl& parameter, dsl::Builtin builtin, bool is_score) {
  const auto type = scalar_type(parameter.getType());
  const std::string name = parameter.getNameAsString();
  const auto refuse_type = [&](std::string_view why) {
    refuse(Finding::kParameter, parameter.getSourceRange(), name, spelled(parameter.getType()), why);
  };
  if (builtin == dsl::Builtin::kScore) {
    if (!is_score) refuse_type("is no parameter of mask_mod: a mask cannot depend on the score");
    if (!type || !type->is_floating()) refuse_type("is the score; make it float");
    const Scalar score{graph_.name("score", Type::kFloat, {}),
                       precision_ == support::Precision::kFp64 ? kDoubleType : kFloatType};
    return arithmetic_.convert(score, *type);
  }
  if (!type || !type->is_int() || type->bits < 32) refuse_type("is a position or a number of something; make it int");
  const Scalar value{graph_.name(dsl::builtin_name(builtin), Type::kInt, range_of(builtin)), kIntType};
  return arithmetic_.convert(value, *type);
}

void Translator::declare(const clang::ParmVarDecl& parameter, std::string text) {
  const std::string name = parameter.getNameAsString();
  const auto [known, is_new] = declared_types_.try_emplace(name, text);
  if (!is_new && known->second != text) {
    refuse(Finding::kParameter, parameter.getSourceRange(), name, spelled(parameter.getType()),
           "is another one in score_mod; both functions are of one pattern, in which a name has one meaning");
  }
  if (is_new) declarations_.push_back({name, std::move(text), graph_.place()});
}

Value Translator::scalar_parameter(const clang::ParmVarDecl& parameter) {
  const std::string name = parameter.getNameAsString();
  const ScalarType type = *scalar_type(parameter.getType());
  if (type.is_int() && type.bits != 32) {
    refuse(Finding::kParameter, parameter.getSourceRange(), name, spelled(parameter.getType()),
           "is bound at run, and params are int, unsigned, float, double or bool");
  }
  if (const std::string meant = builtin_meant(parameter); !meant.empty())
    findings_.add(Finding::kNearMiss, graph_.place(), name, meant);
  const bool is_bool = type == kBoolType;
  const Type declared = is_bool ? Type::kBool : type.is_int() ? Type::kInt : Type::kFloat;
  std::string text = fmt::format("param {} : {}", name, dsl::type_name(declared));
  if (parameter.hasDefaultArg() && !parameter.hasUninstantiatedDefaultArg() && !parameter.hasUnparsedDefaultArg()) {
    const Scalar value = scalar(parameter.getDefaultArg());
    const Printed printed = print(graph_, {}, {{"", value.id, {}}});
    if (graph_.node(value.id).kind != NodeKind::kConst)
      refuse(Finding::kParameter, parameter.getSourceRange(), name, spelled(parameter.getType()),
             "has a default that is no constant");
    text += " = " + trimmed(printed.text.substr(3));
  }
  declare(parameter, std::move(text));
  const ScalarType native = precision_ == support::Precision::kFp64 ? kDoubleType : kFloatType;
  const Scalar value{graph_.name(name, declared, kAnyInt), type.is_floating() ? native : type};
  return arithmetic_.convert(value, type);
}

Value Translator::array_parameter(const clang::ParmVarDecl& parameter) {
  const std::string name = parameter.getNameAsString();
  const auto refuse_type = [&](std::string_view why) {
    refuse(Finding::kParameter, parameter.getSourceRange(), name, spelled(parameter.getType()), why);
  };
  const Signature signature = signature_of(parameter, context_);
  if (!signature.element) refuse_type("is no number, pointer, std::span, flexjit::Tensor or array of numbers");
  if (!signature.is_const) refuse_type("could be written; captured arrays are read: make its elements const");
  auto array = std::make_unique<Captured>();
  array->name = name;
  array->extents = signature.extents;
  array->type = dsl::type_of_elements(*signature.dtype);
  array->element = *signature.element;
  array->range = cxx::range_of(array->element.bits, array->element.is_signed || !array->element.is_int());
  if (const auto given = extents_attribute(parameter)) {
    const std::vector<std::string> extents = split(*given);
    const bool fits = std::ranges::all_of(extents, is_extent);
    const std::string wrong = !fits ? "are no list of ints, params, builtin values and `?`"
                              : extents.size() == array->extents.size()
                                  ? ""
                                  : fmt::format("are {}, but `{}` has {}", extents.size(), name, array->extents.size());
    if (!wrong.empty()) refuse(Finding::kExtents, parameter.getSourceRange(), *given, wrong);
    for (std::size_t i = 0; i < extents.size(); ++i) {
      if (array->extents[i] == "?") array->extents[i] = extents[i];
    }
  }
  declare(parameter, fmt::format("buffer {} : {}[{}]", name, name_of(*signature.dtype), fmt::join(array->extents, ", ")));
  captured_.push_back(std::move(array));
  return Element{captured_.back().get(), {}};
}

}  // namespace flexjit::cxx
