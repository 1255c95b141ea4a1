// Statements -> declarations, symbols and roots.
#include "dsl/check/checker.h"
#include "dsl/findings/spelling.h"

namespace flexjit::dsl {
namespace {

constexpr std::size_t kMaxRankOfBuffers = kMaxRank;

std::string_view what_is(StatementKind kind) { return kind == StatementKind::kParam ? "param" : "const"; }

Scalar scalar_of(Constant value) {
  switch (value.type) {
    case Type::kInt: return value.as_int();
    case Type::kFloat: return value.as_float();
    case Type::kBool: return value.as_bool();
    case Type::kLong: break;  // no param has it
  }
  return std::int32_t{0};
}

}  // namespace

std::string Checker::source_of(Span span) const {
  return checked_.texts[span.text].text.substr(span.begin, span.end - span.begin);
}

std::string Checker::at_line(Span span) const {
  return " at line " + std::to_string(locate(checked_.texts[span.text].text, span).line);
}

void Checker::check_text(const Ast& ast, StatementKind result_is) {
  if (build_.exhausted()) return;
  ast_ = &ast;
  functions_.clear();
  reads_.assign(ast.statements.size(), {});
  unused_lets_.clear();
  const std::size_t declared = scope_.global_count();
  for (statement_index_ = 0; statement_index_ < ast.statements.size(); ++statement_index_) {
    const Statement& statement = ast.statements[statement_index_];
    const bool is_result = statement.kind == StatementKind::kResult;
    if (is_result) {
      check_result(statement, result_is);
    } else {
      check_statement(statement);
    }
    if (build_.exhausted()) return report_exhausted(is_result ? ast.expr(statement.value).span : statement.name.span);
  }
  report_unused();
  scope_.drop_globals(declared);
}

void Checker::report_exhausted(Span span) {
  report(Kind::kTooComplex, span, {std::to_string(kMaxNodes), std::to_string(kMaxLevels)});
}

void Checker::check_statement(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kParam: return check_param(statement);
    case StatementKind::kConst: return check_const(statement);
    case StatementKind::kBuffer: return check_buffer(statement);
    case StatementKind::kDef: return check_def(statement);
    case StatementKind::kScore:
    case StatementKind::kMask:
    case StatementKind::kFeature:
    case StatementKind::kGate:
    case StatementKind::kResult: return check_result(statement, statement.kind);
    case StatementKind::kLet: break;
  }
  const TypedId value = statement.broken ? TypedId{} : check_expression(statement.value);
  const SymbolKind kind = value.valid() ? SymbolKind::kValue : SymbolKind::kBroken;
  define({.name = statement.name.text, .kind = kind, .value = value, .span = statement.name.span});
}

bool Checker::define(const Symbol& symbol) {
  const std::string_view reserved = why_reserved(symbol.name);
  if (!reserved.empty()) {
    // A broken `let` or `param` carries its own keyword as its name.
    if (symbol.kind != SymbolKind::kBroken || !is_keyword(symbol.name)) {
      report(Kind::kReservedName, symbol.span, {quoted(symbol.name), reserved});
    }
    // Whoever uses the name means the wrong definition, so nothing more is said about it.
    if (scope_.find_global(symbol.name) == nullptr) scope_.define_global({.name = symbol.name, .span = symbol.span});
    return false;
  }
  const Symbol* other = scope_.find_global(symbol.name);
  if (other == nullptr) {
    Symbol defined = symbol;
    defined.statement = statement_index_;
    scope_.define_global(defined);
    return true;
  }
  const bool has_place = other->span.end > other->span.begin;
  report(Kind::kDuplicateName, symbol.span, {quoted(symbol.name), has_place ? at_line(other->span) : ", by the caller"});
  return false;
}

Type Checker::check_declared_type(const Statement& statement, std::string_view what) {
  const std::optional<Type> type = find_type(statement.type.text);
  if (type) return *type;
  constexpr std::string_view kTypes[] = {"int", "float", "bool"};
  report(Kind::kUnknownType, statement.type.span,
         {quoted(statement.type.text), what, did_you_mean(statement.type.text, kTypes)});
  return Type::kInt;
}

TypedId Checker::check_constant(const Statement& statement, Type type) {
  const Operand value = check(statement.value);
  if (!value.id.valid()) return {};
  const TypedNode& node = build_.node(value.id);
  const std::string name = quoted(statement.name.text);
  if (!node.constant) {
    report(Kind::kNotConstant, value.span, {name, quoted(source_of(value.span))});
    return {};
  }
  if (node.type == type) return build_.constant(*node.constant, value.span);
  if (node.type != Type::kInt || type != Type::kFloat) {
    const std::string hint = "; write `" + std::string(type_name(type)) + "(...)`";
    report(Kind::kDeclaredType, value.span, {name, type_name(type), type_name(node.type), hint});
    return {};
  }
  const TypedId converted = build_.convert(value.id, type, value.span);
  return converted.valid() ? build_.constant(*build_.node(converted).constant, value.span) : TypedId{};
}

void Checker::check_const(const Statement& statement) {
  TypedId value;
  if (!statement.broken) {
    const std::size_t errors = diagnostics_.count();
    const Type type = check_declared_type(statement, what_is(statement.kind));
    if (diagnostics_.count() == errors) value = check_constant(statement, type);
  }
  const SymbolKind kind = value.valid() ? SymbolKind::kConst : SymbolKind::kBroken;
  define({.name = statement.name.text, .kind = kind, .value = value, .span = statement.name.span});
}

void Checker::check_param(const Statement& statement) {
  Symbol symbol{.name = statement.name.text, .span = statement.name.span};
  if (statement.broken) {
    define(symbol);
    return;
  }
  const std::size_t errors = diagnostics_.count();
  CheckedParam param;
  param.name = statement.name.text;
  param.type = check_declared_type(statement, what_is(statement.kind));
  param.default_value = scalar_of({param.type, 0});
  param.has_default = statement.value.valid();
  if (param.has_default && diagnostics_.count() == errors) {
    const TypedId value = check_constant(statement, param.type);
    if (value.valid()) param.default_value = scalar_of(*build_.node(value).constant);
  }
  if (diagnostics_.count() == errors) {
    symbol.kind = SymbolKind::kParam;
    symbol.slot = static_cast<std::uint32_t>(checked_.params.size());
  }
  if (define(symbol) && symbol.kind == SymbolKind::kParam) checked_.params.push_back(std::move(param));
}

void Checker::check_buffer(const Statement& statement) {
  Symbol symbol{.name = statement.name.text, .span = statement.name.span};
  if (statement.broken) {
    define(symbol);
    return;
  }
  const std::size_t errors = diagnostics_.count();
  CheckedBuffer buffer;
  buffer.name = statement.name.text;
  const std::optional<DType> dtype = find_dtype(statement.type.text);
  if (dtype) {
    buffer.dtype = *dtype;
  } else {
    report(Kind::kUnknownElementType, statement.type.span,
           {quoted(statement.type.text), did_you_mean(statement.type.text, dtype_names())});
  }
  for (ExprId extent : statement.extents) buffer.extents.push_back(check_extent(extent));
  if (buffer.extents.size() > kMaxRankOfBuffers) {
    report(Kind::kBufferRank, statement.name.span, {quoted(buffer.name), std::to_string(buffer.extents.size())});
  }
  if (diagnostics_.count() == errors) {
    symbol.kind = SymbolKind::kBuffer;
    symbol.slot = static_cast<std::uint32_t>(checked_.buffers.size());
  }
  if (define(symbol) && symbol.kind == SymbolKind::kBuffer) checked_.buffers.push_back(std::move(buffer));
}

CheckedExtent Checker::check_extent(ExprId id) {
  CheckedExtent extent;
  if (!id.valid()) return extent;
  const Operand value = check(id);
  if (!value.id.valid()) return extent;
  const TypedNode& node = build_.node(value.id);
  const auto builtin = static_cast<Builtin>(node.payload);
  if (node.kind == TypedKind::kParam && node.type == Type::kInt) {
    extent.kind = CheckedExtent::Kind::kParam;
    extent.param = node.payload;
  } else if (node.kind == TypedKind::kBuiltin && is_extent(builtin)) {
    extent.kind = CheckedExtent::Kind::kBuiltin;
    extent.builtin = builtin;
  } else if (node.type == Type::kInt && node.constant && node.constant->as_int() > 0) {
    extent.kind = CheckedExtent::Kind::kLiteral;
    extent.literal = node.constant->as_int();
  } else {
    report(Kind::kExtent, value.span, {quoted(source_of(value.span))});
  }
  return extent;
}

bool Checker::check_argument_names(const Statement& statement) {
  bool fine = true;
  for (auto name = statement.arguments.begin(); name != statement.arguments.end(); ++name) {
    const std::string_view reserved = find_builtin(name->text) ? "" : why_reserved(name->text);
    if (!reserved.empty()) report(Kind::kReservedName, name->span, {quoted(name->text), reserved});
    fine &= reserved.empty();
    for (auto other = statement.arguments.begin(); other != name; ++other) {
      if (other->text != name->text) continue;
      report(Kind::kDuplicateName, name->span, {quoted(name->text), " as an argument of this function"});
      fine = false;
    }
  }
  return fine;
}

// The body is checked once for what does not depend on the types of the arguments, and again, fully, in every call.
void Checker::check_def(const Statement& statement) {
  Symbol symbol{.name = statement.name.text, .span = statement.name.span};
  if (statement.broken || !check_argument_names(statement)) {
    define(symbol);
    return;
  }
  symbol.kind = SymbolKind::kFunction;
  symbol.slot = static_cast<std::uint32_t>(functions_.size());
  if (!define(symbol)) return;
  functions_.push_back({.statement = &statement, .visible_globals = scope_.global_count()});
  const std::size_t errors = diagnostics_.count();
  const TypedBuilder::Mark mark = build_.mark();
  const Scope::Frame caller = scope_.enter_function(scope_.global_count());
  for (const Identifier& name : statement.arguments) scope_.define_local({.name = name.text, .span = name.span});
  inlining_ = false;
  check_expression(statement.value);
  inlining_ = true;
  scope_.leave_function(caller);
  build_.rewind(mark);
  functions_[symbol.slot].broken = diagnostics_.count() != errors;
  functions_[symbol.slot].complete = true;
}

bool Checker::check_type_of_result(const Operand& value, ResultKind result) {
  struct Words {
    std::string_view what, wanted, hint;
  };
  static constexpr Words kNumber = {"", "a number", "; write `where(c, 1.0, 0.0)`"};
  static constexpr std::array<Words, 4> kWords = {{{"a score", "a number", "; write `where(c, score, -inf)` or a mask"},
                                                   {"a mask", "bool", "; compare it, as in `... != 0`"},
                                                   {"a feature", kNumber.wanted, kNumber.hint},
                                                   {"a gate", kNumber.wanted, kNumber.hint}}};
  const Type type = build_.type_of(value.id);
  if ((type == Type::kBool) == (result == ResultKind::kMask)) return true;
  const Words& words = kWords[static_cast<std::size_t>(result)];
  report(Kind::kResultType, value.span, {words.what, words.wanted, type_name(type), words.hint});
  return false;
}

bool Checker::check_place(const Operand& value, ResultKind result) {
  if (result != ResultKind::kFeature && result != ResultKind::kGate) return true;
  const auto is_wrong = [&](Builtin builtin) {
    const bool of_query = builtin == Builtin::kScore || builtin == Builtin::kQIdx || builtin == Builtin::kQGlobal;
    const bool of_key = builtin == Builtin::kKvIdx || builtin == Builtin::kKvGlobal;
    return of_query || (of_key && result == ResultKind::kFeature);
  };
  std::vector<bool> seen(checked_.nodes.size(), false);
  std::vector<TypedId> open = {value.id};
  while (!open.empty()) {
    const TypedId id = open.back();
    open.pop_back();
    if (seen[id.index]) continue;
    seen[id.index] = true;
    const TypedNode& node = build_.node(id);
    const auto builtin = static_cast<Builtin>(node.payload);
    if (node.kind == TypedKind::kBuiltin && is_wrong(builtin)) {
      const std::string_view where = result == ResultKind::kFeature ? "a feature map, which is of one row, a query or a key"
                                                                    : "a gate, which is of one key";
      report(Kind::kNotHere, value.span, {quoted(builtin_name(builtin)), where});
      return false;
    }
    for (TypedId operand : checked_.operands_of(id)) open.push_back(operand);
  }
  return true;
}

void Checker::check_result(const Statement& statement, StatementKind kind) {
  const auto result = static_cast<ResultKind>(static_cast<int>(kind) - static_cast<int>(StatementKind::kScore));
  const std::string_view name = statement_words()[static_cast<std::size_t>(kind)];
  TypedId* const roots[] = {&checked_.score, &checked_.mask, &checked_.feature, &checked_.gate};
  bool& seen = has_[static_cast<std::size_t>(result)];
  if (seen) report(Kind::kDuplicateName, statement.name.span, {quoted(name), ""});
  seen = true;
  if (statement.broken) return;
  result_ = result;
  const Operand value = check(statement.value);
  result_.reset();
  if (!value.id.valid() || !check_type_of_result(value, result) || !check_place(value, result)) return;
  if (result == ResultKind::kFeature && checked_.projection && has_plain_row_) {
    report(Kind::kProjection, value.span,
           {"the map has both x and dot(" + checked_.buffers[*checked_.projection].name + ", x); it has the features of one"});
    return;
  }
  *roots[static_cast<std::size_t>(result)] = value.id;
}

}  // namespace flexjit::dsl
