// Clang's tree of a mod, executed on the graph: variables hold nodes, branches are executed both ways and merged by selects,
// loops are repeated as long as their conditions are known, calls are executed where they stand.
#pragma once

#include <clang/AST/ASTContext.h>
#include <clang/AST/Expr.h>
#include <clang/AST/ExprCXX.h>
#include <clang/AST/Stmt.h>
#include <clang/AST/StmtCXX.h>

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cxx/findings.h"
#include "cxx/graph/print.h"
#include "cxx/meaning/arithmetic.h"
#include "cxx/parse/parse.h"
#include "cxx/translate/values.h"

namespace flexjit::cxx {

// What is wrong has been reported; the function is given up.
struct Refused {};

class Translator {
 public:
  static constexpr std::size_t kMaxSteps = 200'000;  // statements and expressions executed, variables made
  static constexpr int kMaxTurns = 1024;             // of a loop
  static constexpr std::size_t kMaxCalls = 100;      // inside one another

  Translator(const Tree& tree, Findings& findings, support::Precision precision);

  // score_mod and mask_mod of the unit, as far as it defines them.
  void run();
  const std::vector<Declaration>& declarations() const { return declarations_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  const Graph& graph() const { return graph_; }

 private:
  struct Frame {
    const clang::FunctionDecl* function = nullptr;
    std::size_t first_slot = 0;
    Location object{};          // of a member function
    std::set<SlotId> frozen{};  // not written: an argument, or what a loop goes over, is a copy of one of them
  };
  struct Arguments {
    Location object{};
    std::vector<Location> values{};
    std::set<SlotId> frozen{};  // as the frame's
  };

  // mods.cpp: functions of the unit and their parameters
  void translate_mod(const std::string& name);
  const clang::FunctionDecl* find_mod(const std::string& name);
  void refuse_other(const clang::DeclContext& context, const std::string& name);
  const clang::FunctionDecl* function_of(const clang::VarDecl& variable);
  Value parameter(const clang::ParmVarDecl& parameter, bool is_score);
  Value builtin_parameter(const clang::ParmVarDecl& parameter, dsl::Builtin builtin, bool is_score);
  Value scalar_parameter(const clang::ParmVarDecl& parameter);
  Value array_parameter(const clang::ParmVarDecl& parameter);
  void declare(const clang::ParmVarDecl& parameter, std::string text);
  NodeId result_of(const clang::FunctionDecl& mod, const Value& value, bool is_score);

  // statements.cpp
  Flow none();
  Flow execute(const clang::Stmt* statement);
  Flow execute_all(const std::vector<const clang::Stmt*>& statements);
  Flow execute_declarations(const clang::DeclStmt& statement);
  void define(const clang::VarDecl& variable);
  Flow execute_return(const clang::ReturnStmt& statement);
  Flow execute_if(const clang::IfStmt& statement);
  // `then` where the condition holds, `otherwise` where it does not, and their variables merged.
  Flow branch(NodeId condition, const std::function<Flow()>& then, const std::function<Flow()>& otherwise);
  // What comes after `flow`: nothing where it left.
  Flow after(Flow flow, const std::function<Flow()>& next);
  NodeId left(const Flow& flow);
  Flow joined(NodeId condition, Flow then, Flow otherwise);
  void merge(NodeId condition, std::vector<Value>& then, bool then_returned, bool otherwise_returned);
  Value merged(NodeId condition, const Value& yes, const Value& no);
  Value value_of(const std::vector<Flow::Return>& returns);
  static SlotId place_of(const std::vector<Flow::Return>& returns);  // of all of them; else not valid

  // loops.cpp
  struct Loop {
    const clang::Stmt* at = nullptr;
    std::function<std::optional<NodeId>()> condition;  // of the next turn; absent: true
    const clang::Stmt* body = nullptr;
    const clang::Expr* step = nullptr;
    bool is_checked_first = true;
  };
  Flow execute_for(const clang::ForStmt& statement);
  Flow execute_while(const clang::WhileStmt& statement);
  Flow execute_do(const clang::DoStmt& statement);
  Flow execute_range_for(const clang::CXXForRangeStmt& statement);
  Flow repeat(const Loop& loop);
  Flow execute_turn(const clang::Stmt* body, const clang::Expr* step, const std::function<Flow()>& next);
  Flow execute_switch(const clang::SwitchStmt& statement);
  void require_labels(const clang::SwitchStmt& statement, const std::vector<const clang::Stmt*>& parts);
  void declare_only(const clang::Stmt& statement);
  using Labels = std::set<const clang::SwitchCase*>;
  struct Segment {  // of a switch: labels and what follows up to the next ones
    std::vector<const clang::SwitchCase*> labels{};
    std::vector<const clang::Stmt*> statements{};
  };
  struct Switch {
    const clang::SwitchStmt& statement;
    Scalar value;
    std::vector<Segment> segments;
  };
  NodeId condition_of_label(const clang::SwitchCase& label, const Switch& at, const Labels& passed);
  Flow execute_segments(const Switch& at, std::size_t number, NodeId inside, Labels entered, const Labels& passed);

  // expressions.cpp
  Value evaluate(const clang::Expr* expression);  // as a value
  Scalar scalar(const clang::Expr* expression);
  NodeId condition(const clang::Expr* expression);
  Value evaluate_here(const clang::Expr& expression);
  Value convert(const clang::CastExpr& expression);
  Value unary(const clang::UnaryOperator& expression);
  Value binary(const clang::BinaryOperator& expression);
  // Each gives the place that it has written.
  Location assign(const clang::BinaryOperator& expression);
  Location compound_assign(const clang::CompoundAssignOperator& expression);
  Location increment(const clang::UnaryOperator& expression);  // behind a variable, its value before
  Value logical(const clang::BinaryOperator& expression);
  Value conditional(const clang::ConditionalOperator& expression, NodeId holds);
  std::optional<Value> constant(const clang::Expr& expression);
  Value from_constant(const clang::APValue& value, clang::QualType type, clang::SourceRange at);

  // objects.cpp: structs and arrays as they are made, copied and assigned
  Value build(std::uint64_t count, const std::function<Value(unsigned)>& part);
  Value list(const clang::InitListExpr& expression);
  Value zero_of(clang::QualType type, const clang::Expr& at) { return initialised(type, at.getSourceRange(), true); }
  Value initialised(clang::QualType type, clang::SourceRange at, bool with_zeros);
  Value initialised_by_default(const clang::Expr* initialiser, clang::SourceRange at);
  Value construct(const clang::CXXConstructExpr& expression);
  Value copied_array(const clang::ArrayInitLoopExpr& expression);
  Location assign_object(const clang::CallExpr& expression);

  // locations.cpp
  Location locate(const clang::Expr* expression);
  Location locate_here(const clang::Expr& expression);
  Location variable(const clang::ValueDecl& declaration, clang::SourceRange at);
  Location constant_of_functions(const clang::VarDecl& variable);
  Location member(const clang::MemberExpr& expression);
  Location subscript(const clang::ArraySubscriptExpr& expression);
  Location element_at(const Location& array, Scalar index, const clang::Expr& at);
  Location pick(const Location& array, const Aggregate& parts, Scalar index, const clang::Expr& at);
  Location part_of(const Location& whole, SlotId part);
  Value load(const Location& location, const clang::Expr& at);
  Value value_at(const Location& location) const {
    return location.slot.valid() ? slots_[location.slot.index] : location.value;
  }
  void store(const Location& location, Value value, const clang::Expr& at);
  Value copy(const Value& value);  // with variables of its own
  SlotId new_slot(Value value);

  // calls.cpp and functions.cpp
  Value call(const clang::CallExpr& expression);
  Location call_location(const clang::CallExpr& expression);
  Value lambda(const clang::LambdaExpr& expression);
  // The place that a function returns a reference to, else a value.
  Location call_function(const clang::FunctionDecl& function, const Arguments& arguments, clang::SourceRange at);
  Location call_closure(const Closure& closure, const clang::FunctionDecl& function, const Arguments& arguments,
                        clang::SourceRange at);
  Arguments arguments_of(const clang::FunctionDecl& function, const clang::CallExpr& expression);
  Location argument(const clang::ParmVarDecl* parameter, const clang::Expr* expression);
  // Of the prelude, by the name of its annotation.
  std::optional<Location> call_named(const clang::FunctionDecl& function, const clang::CallExpr& expression);
  Location call_element(const clang::CallExpr& expression);
  Value size_of(const Location& array, const clang::CallExpr& expression);
  Scalar call_math(std::string_view name, const std::vector<Scalar>& x);
  Scalar select(NodeId condition, Scalar yes, Scalar no) { return arithmetic_.select(condition, yes, no); }

  // Types, places, refusals.
  std::optional<ScalarType> scalar_type(clang::QualType type) const;
  ScalarType scalar_type_at(clang::QualType type, clang::SourceRange at);
  void require_plain(clang::QualType type, clang::SourceRange at);
  void require_place(const Location& location, clang::QualType type, const clang::Stmt& at);
  void require_variable(const Location& location, const clang::Expr& at);
  void add_variables(const clang::Stmt& of, std::set<SlotId>& slots) const;
  void add_variables(const Location& at, std::set<SlotId>& slots) const;
  bool may_be_stale(const Location& location, const clang::Expr& of) const;
  void step(const clang::Stmt& at);
  void charge(std::size_t steps);  // of work that is no statement or expression, where the last one stands
  template <typename... Args>
  [[noreturn]] void refuse(Finding finding, clang::SourceRange at, const Args&... args) {
    dsl::Span place = graph_.place();
    tree_.place(at, place);
    findings_.add(finding, place, args...);
    throw Refused();
  }
  [[noreturn]] void refuse_expression(const clang::Stmt& at, std::string_view what);

  const Tree& tree_;
  Findings& findings_;
  clang::ASTContext& context_;
  support::Precision precision_;
  Graph graph_;
  Arithmetic arithmetic_;
  std::vector<Value> slots_;
  std::map<const clang::ValueDecl*, Location> variables_;
  std::set<SlotId> copies_;  // variables that references name which stand for one of several others
  Location built_{};         // the object whose members are being initialised
  std::vector<Frame> frames_;
  std::vector<std::unique_ptr<Captured>> captured_;
  std::vector<Declaration> declarations_;
  std::map<std::string, std::string> declared_types_;  // by name, as the other mod declared it
  std::vector<Output> outputs_;
  std::size_t steps_ = 0;
};

}  // namespace flexjit::cxx
