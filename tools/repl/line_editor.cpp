// libedit does the editing. The history is written after every line, so that a killed session loses nothing, and only its owner
// may read it.
#include "repl/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <utility>

#include "repl/interrupt.h"

namespace flexjit::tools {
namespace {

constexpr int kHistoryLines = 1000;
constexpr std::string_view kCompletedCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

char* prompt(EditLine*) {
  static char text[] = "flexjit> ";
  return text;
}

// What all words begin with.
std::string common_begin(const std::vector<std::string>& words) {
  std::string common = words[0];
  for (const std::string& word : words) {
    common.resize(static_cast<std::size_t>(std::ranges::mismatch(common, word).in1 - common.begin()));
  }
  return common;
}

// Makes the file and its directory, for their owner alone.
void make_private(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::create_directories(path.parent_path(), ignored)) chmod(path.parent_path().c_str(), S_IRWXU);
  const int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) return;
  fchmod(file, S_IRUSR | S_IWUSR);
  close(file);
}

}  // namespace

struct LineEditor::Editing {
  Complete complete;
  EditLine* line = nullptr;
  History* history = nullptr;
  std::string path = history_path();

  explicit Editing(Complete how) : complete(std::move(how)) {
    std::setlocale(LC_CTYPE, "");
    line = el_init("flexjit", stdin, stdout, stderr);
    history = history_init();
    HistEvent event{};
    ::history(history, &event, H_SETSIZE, kHistoryLines);
    ::history(history, &event, H_SETUNIQUE, 1);
    if (!path.empty()) {
      make_private(path);
      ::history(history, &event, H_LOAD, path.c_str());
    }
    el_set(line, EL_PROMPT, &prompt);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_SIGNAL, 1);
    el_set(line, EL_HIST, &::history, history);
    el_set(line, EL_CLIENTDATA, this);
    el_set(line, EL_ADDFN, "complete", "complete a word", &Editing::complete_word);
    el_set(line, EL_BIND, "^I", "complete", nullptr);
    el_set(line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  }
  ~Editing() {
    history_end(history);
    el_end(line);
  }
  Editing(const Editing&) = delete;
  Editing& operator=(const Editing&) = delete;

  static unsigned char complete_word(EditLine* line, int) {
    Editing* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    const LineInfo* info = el_line(line);
    const std::string before(info->buffer, info->cursor);
    const std::vector<std::string> words = self->complete(before);
    if (words.empty()) return CC_ERROR;
    const std::size_t typed = before.size() - (before.find_last_not_of(kCompletedCharacters) + 1);
    const std::string more = common_begin(words).substr(typed);
    if (!more.empty()) return el_insertstr(line, more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    if (words.size() == 1) return CC_NORM;
    std::fputc('\n', stdout);
    for (const std::string& word : words) std::printf("%s  ", word.c_str());
    std::fputc('\n', stdout);
    return CC_REDISPLAY;
  }

  void remember(const char* text) {
    HistEvent event{};
    ::history(history, &event, H_ENTER, text);
    if (!path.empty()) ::history(history, &event, H_SAVE, path.c_str());
  }
};

LineEditor::LineEditor(Complete complete) {
  if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) editing_ = std::make_unique<Editing>(std::move(complete));
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::read() {
  std::string text;
  if (!is_interactive()) return std::getline(std::cin, text) ? std::optional(text) : std::nullopt;
  int length = 0;
  const char* read = nullptr;
  (void)take_interrupt();  // one that came before was for what ran then
  while ((read = el_gets(editing_->line, &length)) == nullptr || length <= 0) {
    if (!take_interrupt()) return std::nullopt;
    std::puts("^C");  // what was typed is left as it stands, and a new line begins
    el_reset(editing_->line);
  }
  text.assign(read, static_cast<std::size_t>(length));
  if (text.find_first_not_of(" \t\n") != std::string::npos) editing_->remember(text.c_str());
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

std::string history_path() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (const std::string base = variable("XDG_STATE_HOME"); base.starts_with('/')) return base + "/flexjit/history";
  if (const std::string home = variable("HOME"); home.starts_with('/')) return home + "/.local/state/flexjit/history";
  return {};
}

}  // namespace flexjit::tools
