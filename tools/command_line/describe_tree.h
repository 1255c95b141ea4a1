// A CLI11 tree -> the plain lists that descriptions are written from.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace flexjit::tools {

struct DescribedOption {
  std::vector<std::string> names;  // "-o", "--output"
  std::string help;                // on one line
  std::string group;               // "" for what has none
  bool takes_value = false;
  std::string optional_value;        // "[FILE]", of a flag that a value may follow; "" for others
  std::vector<std::string> choices;  // of the value; empty: anything, a file as it may be
  std::string initial;               // the value where none is given; "" for none
};

struct DescribedCommand {
  std::string name;  // "run", "cache prune"; "" for the program itself
  std::string help;
  std::string footer;
  std::vector<std::string> positionals;  // "FILE"
  std::vector<DescribedOption> options;
};

// What its value can be; empty: anything.
std::vector<std::string> choices_of(const CLI::Option& option);

// The program, then every command in the order of its help, each followed by those inside it. What help hides is left out.
std::vector<DescribedCommand> commands_of(const CLI::App& app);

}  // namespace flexjit::tools
