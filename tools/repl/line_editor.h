// Lines from a terminal, with editing, a history that outlives the process, and completion; or from a pipe, as they come.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace flexjit::tools {

class LineEditor {
 public:
  // What may stand where the line ends.
  using Complete = std::function<std::vector<std::string>(const std::string&)>;

  // Edits where stdin and stdout are a terminal.
  explicit LineEditor(Complete complete);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  bool is_interactive() const { return editing_ != nullptr; }
  // Without its line end; none at the end of the input. With an InterruptHandler Ctrl-C drops what was typed of the line.
  std::optional<std::string> read();

 private:
  struct Editing;
  std::unique_ptr<Editing> editing_;
};

// $XDG_STATE_HOME/flexjit/history or ~/.local/state/flexjit/history; "" without a home.
std::string history_path();

}  // namespace flexjit::tools
