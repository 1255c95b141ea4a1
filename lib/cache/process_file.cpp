// Anyone may make files in /tmp, so what is opened there must be a regular file of this user that has no other name.
#include "cache/process_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace flexjit::cache {

namespace {

[[noreturn]] void fail(int error, const std::string& path) {
  throw std::system_error(error, std::generic_category(), "cannot write " + path);
}

}  // namespace

bool ProcessFile::open() {
  if (descriptor_ >= 0 && process_ == ::getpid()) return false;
  close();
  path_ = fmt::format("/tmp/{}{}{}", prefix_, ::getpid(), suffix_);
  // Readable and writable: what is to be mapped must be both. A pipe of this name must not wait.
  const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (descriptor < 0) fail(errno, path_);
  // Only then is anything of it changed: another name of it may be that of a file which somebody needs.
  struct stat status{};
  const bool is_ours =
      ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && status.st_nlink == 1;
  const bool is_ready = is_ours && (existing_ == Existing::kKeep || ::ftruncate(descriptor, 0) == 0);
  if (!is_ready) {
    const int error = is_ours ? errno : EEXIST;
    ::close(descriptor);
    fail(error, path_);
  }
  descriptor_ = descriptor;
  process_ = ::getpid();
  return true;
}

void ProcessFile::write(std::span<const char> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(written < 0 ? errno : EIO, path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void ProcessFile::close() noexcept {
  if (const int descriptor = std::exchange(descriptor_, -1); descriptor >= 0) ::close(descriptor);
}

}  // namespace flexjit::cache
