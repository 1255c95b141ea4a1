// What was typed so far -> a pattern, and one line of input -> a reply. Knows no terminal.
#pragma once

#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "command_line/options.h"
#include "data/bind.h"
#include "data/problem.h"
#include "flexjit/engine.h"
#include "measure/limit.h"

namespace flexjit::tools {

struct Speed {
  double compile_ms = 0;
  double run_ms = 0;
  Work work{};
  Limit limit{};
};

struct Reply {
  Diagnostics errors{};
  Diagnostics warnings{};
  std::string text{};  // ends in a line end, or is empty
  std::optional<Speed> speed{};
  bool ends_session = false;
  bool interrupted = false;
};

class Session {
 public:
  explicit Session(const ReplOptions& options);

  // Enters the pattern of the options, if they give one. Its errors end nothing but are those of the session's begin.
  Reply begin(const PatternOptions& pattern);

  // A statement, several separated by `;`, an expression that is a score or a mask, a command that begins with a colon, or
  // nothing. What is wrong changes nothing.
  Reply enter(const std::string& line);

  // Words that may stand where `line` ends, which is inside or at the begin of a word, in the order in which they are shown.
  std::vector<std::string> completions(const std::string& line) const;

 private:
  // A definition, by its name; results stand after all definitions.
  struct Definition {
    std::string name, text;
  };
  struct Text {
    std::vector<Definition> definitions{};
    std::string score{}, mask{};  // whole statements, or empty

    bool has_result() const { return !score.empty() || !mask.empty(); }
    std::string program() const;
    void put(const std::string& statement);
  };
  struct Command;
  static std::span<const Command> commands();
  static const Command* find_command(const std::string& name);  // null: none, or several
  static std::vector<std::string> command_names();
  static std::vector<std::string> setting_names();
  static std::vector<std::string> view_names();

  Reply enter_command(const std::string& line);
  Reply enter_text(const std::string& line);
  // `statement`, or the result that the expression is.
  std::string understood(const Text& text, const std::string& statement) const;
  Diagnostics check(const Text& text) const;
  Reply accept(Text text);

  Reply help(const std::string& rest);
  Reply show(const std::string& rest);
  Reply reset(const std::string& rest);
  Reply undo(const std::string& rest);
  Reply set(const std::string& rest);
  Reply mask(const std::string& rest);
  Reply speed(const std::string& rest);
  Reply inspect_view(const std::string& rest);
  Reply save(const std::string& rest);
  Reply load(const std::string& rest);
  Reply quit(const std::string& rest);

  bool set_size(const std::string& name, const std::string& value, Diagnostics& errors);
  AttentionSpec spec(const Text& text) const;
  // What is bound to the names that the pattern declares; others may be declared again.
  NameOptions names_of(const Attention& attention) const;
  Result<std::string> picture() const;
  Result<Speed> measure(const std::stop_token& stop) const;

  RunOptions options_;
  AttentionSpec flags_;  // a pattern of nothing but the flags
  Text text_;
  std::vector<Text> before_;  // what :undo goes back to
};

}  // namespace flexjit::tools
