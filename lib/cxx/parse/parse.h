// A unit that has passed the gate -> Clang's tree of it. No file is opened: its file system is empty.
#pragma once

#include <memory>

#include "cxx/findings.h"
#include "cxx/parse/unit.h"

namespace clang {
class ASTContext;
class CompilerInstance;
class SourceRange;
}  // namespace clang

namespace flexjit::cxx {

class Tree {
 public:
  // What Clang finds wrong is in `findings`.
  Tree(const Unit& unit, Findings& findings);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  clang::ASTContext& context() const;
  // Whether it stands in the caller's text, and where; a place in the prelude is none.
  bool place(clang::SourceRange range, dsl::Span& place) const;

 private:
  const Unit& unit_;
  std::unique_ptr<clang::CompilerInstance> compiler_;
};

}  // namespace flexjit::cxx
