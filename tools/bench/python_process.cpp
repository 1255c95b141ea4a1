// A request may compile for half a minute, so a wait is cut into seconds that are shown, and ends after kPatience.
#include "bench/python_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "command_line/failure.h"

namespace flexjit::tools::bench {
namespace {

constexpr int kPatience = 900;  // seconds

}  // namespace

WorkFolder::WorkFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "flexjit-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder at " + pattern);
  folder_ = pattern;
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Status PythonProcess::start(const std::string& python, const std::string& script) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return failure("no-python", python, fmt::format("no socket: {}", std::strerror(errno)));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  const std::string errors = folder_.path("stderr");
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::string name = python, file = script;
  char* argv[] = {name.data(), file.data(), nullptr};
  const int error = posix_spawnp(&child_, python.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  socket_ = ends[0];
  if (error == 0) return Unit{};
  child_ = -1;
  return failure("no-python", python, fmt::format("cannot be started: {}", std::strerror(error)));
}

PythonProcess::~PythonProcess() {
  if (socket_ >= 0) close(socket_);
  if (child_ < 0) return;
  for (int tenths = 0; tenths < 30; ++tenths) {  // it ends by itself when it reads the end of its input
    if (waitpid(child_, nullptr, WNOHANG) != 0) return;
    usleep(100'000);
  }
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
}

Status PythonProcess::send(const std::string& line) const {
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = ::send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failure("peer-failed", "peers", last_words());
    sent += static_cast<std::size_t>(n);
  }
  return Unit{};
}

Result<std::string> PythonProcess::ask(const std::string& line, const std::function<void(int)>& waiting) {
  if (const Status status = send(line + "\n"); !status) return status.diagnostics();
  for (int seconds = 0; seconds < kPatience;) {
    if (const std::size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string answer = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return answer;
    }
    pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
    const int n = poll(&ready, 1, 1000);
    if (n == 0) waiting(++seconds);
    if (n <= 0) continue;
    char buffer[4096];
    const ssize_t got = recv(socket_, buffer, sizeof buffer, 0);
    if (got <= 0) return failure("peer-failed", "peers", last_words());
    unread_.append(buffer, static_cast<std::size_t>(got));
  }
  return failure("peer-failed", "peers", fmt::format("no answer after {} s", kPatience));
}

std::string PythonProcess::last_words() const {
  std::ifstream in(folder_.path("stderr"));
  std::string line, last;
  while (std::getline(in, line))
    if (!line.empty()) last = line;
  return last.empty() ? "the Python process ended" : "the Python process ended: " + last;
}

}  // namespace flexjit::tools::bench
