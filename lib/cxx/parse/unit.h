// C++ texts -> one translation unit. The string form has two, each an initialiser; a program is one text.
#pragma once

#include <string>
#include <vector>

#include "cxx/findings.h"

namespace flexjit::cxx {

// What Clang is given, and which bytes of it are which of the caller's.
class Unit {
 public:
  // `texts` must outlive it. `wrapped`: text i is the initialiser of names[i]; empty: the one text is a program.
  Unit(const std::vector<dsl::SourceText>& texts, const std::vector<std::string>& names);

  const std::vector<dsl::SourceText>& texts() const { return texts_; }
  bool is_program() const { return is_program_; }
  const std::string& code() const { return code_; }
  void blank(std::size_t begin, std::size_t end);  // replaces bytes by spaces, lines stay
  // Bytes [begin, end) of code(), cut to the text that `begin` lies in; the nearest place where it lies in none.
  dsl::Span place(std::size_t begin, std::size_t end) const;

 private:
  struct Chunk {
    std::size_t begin = 0, end = 0;
  };
  const std::vector<dsl::SourceText>& texts_;
  bool is_program_;
  std::string code_;
  std::vector<Chunk> chunks_;  // by text
};

}  // namespace flexjit::cxx
