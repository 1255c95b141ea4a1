// A Python program of our own as a child process that answers lines with lines.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "flexjit/result.h"

namespace flexjit::tools::bench {

// A folder of this process alone, removed with all that it holds at the end.
class WorkFolder {
 public:
  WorkFolder();
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string folder_;
};

// Its stdin and stdout are one socket, so that a child that has died is an error and no signal; stderr goes to a file in the
// folder.
class PythonProcess {
 public:
  explicit PythonProcess(const WorkFolder& folder) : folder_(folder) {}
  ~PythonProcess();  // closes the socket, upon which the child ends
  PythonProcess(const PythonProcess&) = delete;
  PythonProcess& operator=(const PythonProcess&) = delete;

  // Error `no-python`.
  Status start(const std::string& python, const std::string& script);
  // Error `peer-failed`: it has ended, with the last line of its stderr. `waiting` is called every second with the seconds so
  // far.
  Result<std::string> ask(const std::string& line, const std::function<void(int)>& waiting);

 private:
  Status send(const std::string& line) const;
  std::string last_words() const;

  const WorkFolder& folder_;
  int socket_ = -1;
  pid_t child_ = -1;
  std::string unread_;
};

}  // namespace flexjit::tools::bench
