// One directory a process, one file a text.
#include "pattern/debug_source.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <system_error>

#include "dsl/parse/source_location.h"
#include "ir/program/origins.h"
#include "support/fork_gate.h"

namespace flexjit::engine {
namespace {

namespace fs = std::filesystem;

// Removed with everything in it at the end of the process.
class TextDirectory {
 public:
  TextDirectory() {
    std::string name = (fs::temp_directory_path() / "flexjit-gdb-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "cannot make " + name);
    path_ = name;
  }
  ~TextDirectory() {
    if (owner_ != ::getpid()) return;  // the child of a fork ends, not the process whose debugger reads the files
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TextDirectory(const TextDirectory&) = delete;
  TextDirectory& operator=(const TextDirectory&) = delete;

  std::string write(const ir::Text& text) {
    const std::lock_guard lock(mutex_);
    std::string& path = written_[{text.name, text.text}];
    if (!path.empty()) return path;
    path = (path_ / ("pattern" + std::to_string(written_.size()) + ".flex")).string();
    std::ofstream file(path, std::ios::binary);
    file << text.text;
    if (!file.flush()) throw std::system_error(EIO, std::generic_category(), "cannot write " + path);
    return path;
  }

 private:
  support::Mutex mutex_;
  const pid_t owner_ = ::getpid();
  fs::path path_;
  std::map<std::pair<std::string, std::string>, std::string> written_;
};

bool holds(const fs::path& path, const std::string& text) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {}) == text;
}

std::string file_of(const ir::Text& text) {
  if (holds(text.name, text.text)) return fs::absolute(text.name).string();
  static TextDirectory directory;
  return directory.write(text);
}

}  // namespace

plan::DebugSource make_debug_source(const ir::Program& program, const ir::Interface& interface) {
  plan::DebugSource source;
  for (const ir::Text& text : interface.texts) source.files.push_back(file_of(text));
  const auto expressions = ir::expressions_of(program, interface);
  const std::vector<bool> in_score = ir::reachable(program, program.score());
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    auto& position = source.nodes.emplace_back();
    if (!expressions[i]) continue;
    const ir::Expression& at = *expressions[i];
    const dsl::Location place = dsl::locate(interface.texts[at.text].text, {at.text, at.begin, at.end});
    position = {at.text, place.line, place.column, in_score[i] ? plan::Mod::kScore : plan::Mod::kMask};
  }
  return source;
}

}  // namespace flexjit::engine
