// The flexjit command as a user runs it: arguments in; exit code, stdout and stderr out. No shell is between, so an argument is
// what it says.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace flexjit::tests {

struct CommandResult {
  int exit_code = -1;  // -1: it did not exit but was killed
  std::string out, err;

  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

// The program is looked for in PATH. `input` is what it reads from stdin, which is no terminal. Throws where it cannot be
// started.
CommandResult run_program(std::vector<std::string> words, const std::string& input = "");
CommandResult run_flexjit(const std::vector<std::string>& arguments, const std::string& input = "");

// "" where it cannot be read.
std::string read_file(const std::string& path);

// A folder of this test alone, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // Writes the text and returns the path.
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::string folder_;
};

}  // namespace flexjit::tests
