// A temporary file beside the target, made by O_EXCL under a name of its own and renamed: nobody sees half a file, no file of
// another name is lost, and two commands do not write into each other's. The system's reason goes into the message: a full disk
// and a missing folder need different answers.
#include "data/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <iostream>
#include <optional>
#include <random>
#include <utility>

#include "command_line/failure.h"

namespace flexjit::tools {
namespace {

constexpr std::size_t kBuffer = 1 << 16;
constexpr int kMaxLinks = 40;  // as the system's own limit

// "/proc/self/fd/3", to which /dev/stdout and /dev/fd lead -> 3. Opening it anew would write over what the descriptor wrote.
std::optional<int> own_descriptor(std::string_view path) {
  for (std::string_view folder : {"/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"}) {
    if (!path.starts_with(folder)) continue;
    path.remove_prefix(folder.size());
    int descriptor = 0;
    const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), descriptor);
    if (error == std::errc{} && end == path.data() + path.size()) return descriptor;
  }
  return std::nullopt;
}

std::optional<std::string> link_target(const std::string& path) {
  char text[PATH_MAX];
  const ssize_t size = readlink(path.c_str(), text, sizeof text);
  if (size < 0) return std::nullopt;
  const std::filesystem::path target(std::string(text, static_cast<std::size_t>(size)));
  return target.is_absolute() ? target.string() : (std::filesystem::path(path).parent_path() / target).string();
}

std::string new_name_beside(const std::string& target) {
  static std::random_device random;
  const std::filesystem::path folder = std::filesystem::path(target).parent_path();
  return (folder / fmt::format(".flexjit-{:08x}{:08x}", random(), random())).string();
}

}  // namespace

std::string follow_links(std::string path) {
  for (int i = 0; i < kMaxLinks && !own_descriptor(path); ++i) {
    std::optional<std::string> next = link_target(path);
    if (!next) break;
    path = std::move(*next);
  }
  return path;
}

bool is_own_descriptor(std::string_view path) { return own_descriptor(path).has_value(); }

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  open();
  buffer_.reserve(kBuffer);
}

OutputFile::~OutputFile() {
  if (file_ >= 0) ::close(file_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void OutputFile::fail() {
  if (error_ == 0) error_ = errno != 0 ? errno : EIO;
}

void OutputFile::open() {
  target_ = follow_links(path_);
  if (const std::optional<int> descriptor = own_descriptor(target_)) {
    std::fflush(stdout);  // what was printed before stands before
    file_ = fcntl(*descriptor, F_DUPFD_CLOEXEC, 0);
    if (file_ < 0) fail();
    return;
  }
  struct stat there{};
  if (stat(target_.c_str(), &there) != 0) {
    if (errno != ENOENT) return fail();
    return open_temporary(target_);
  }
  if (!S_ISREG(there.st_mode)) return open_through(target_, 0);
  // Renaming needs no permission of the file itself, but who took it away meant it.
  if (faccessat(AT_FDCWD, target_.c_str(), W_OK, AT_EACCESS) != 0) return fail();
  open_temporary(target_);
  if (error_ == EACCES || error_ == EPERM || error_ == EROFS) {
    error_ = 0;
    return open_through(target_, O_TRUNC);
  }
  if (file_ < 0) return;
  // The owner first, as changing it clears bits of the mode; only root can, and nobody else needs to.
  if (fchown(file_, there.st_uid, there.st_gid) != 0) errno = 0;
  if (fchmod(file_, there.st_mode & 07777) != 0) fail();
}

void OutputFile::open_temporary(const std::string& target) {
  constexpr int kTries = 16;
  for (int i = 0; i < kTries && file_ < 0; ++i) {
    std::string name = new_name_beside(target);
    file_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ >= 0)
      temporary_ = std::move(name);
    else if (errno != EEXIST)
      break;
  }
  if (file_ < 0) fail();
}

void OutputFile::open_through(const std::string& path, int flags) {
  file_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | flags);
  if (file_ < 0) fail();
}

void OutputFile::write(std::string_view bytes) {
  const auto put = [this](std::string_view all) {
    while (!all.empty() && error_ == 0) {
      const ssize_t size = ::write(file_, all.data(), all.size());
      if (size < 0 && errno != EINTR) return fail();
      if (size > 0) all.remove_prefix(static_cast<std::size_t>(size));
    }
  };
  if (error_ != 0) return;
  if (buffer_.size() + bytes.size() <= kBuffer && !bytes.empty()) {
    buffer_ += bytes;
    return;
  }
  put(buffer_);
  buffer_.clear();
  put(bytes);
}

Status OutputFile::finish() {
  if (file_ >= 0) write({});  // the buffer
  if (file_ >= 0 && ::close(std::exchange(file_, -1)) != 0) fail();
  if (error_ != 0) return failure("unwritable-file", path_, fmt::format("cannot be written: {}", std::strerror(error_)));
  return Unit{};
}

Status OutputFile::close() {
  if (Status finished = finish(); !finished) return finished;
  if (!temporary_.empty() && rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail();
    return finish();
  }
  temporary_.clear();
  return Unit{};
}

Status write_file(const std::string& path, std::string_view bytes) {
  OutputFile file(path);
  file.write(bytes);
  return file.close();
}

Status write_files(const std::vector<FileText>& files) {
  std::deque<OutputFile> written;
  for (const FileText& file : files) {
    written.emplace_back(file.path).write(file.bytes);
    if (Status finished = written.back().finish(); !finished) return finished;
  }
  for (OutputFile& file : written)
    if (Status closed = file.close(); !closed) return closed;
  return Unit{};
}

Status flush_stdout() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0 && std::cout.good()) return Unit{};
  // Where an earlier write failed its reason is gone; the next one has the same.
  if (errno == 0 && ::write(STDOUT_FILENO, "\n", 1) == 1) errno = EIO;
  return failure("unwritable-file", "stdout", fmt::format("the output cannot be written: {}", std::strerror(errno)));
}

}  // namespace flexjit::tools
