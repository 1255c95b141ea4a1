// Each wrapped call either fails as the refusal in force says or goes to the system.
#include "refusing_system.h"

#include <fcntl.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstddef>

namespace flexjit::test {

namespace {

Refusal in_force = Refusal::kNone;
int calls = 0;  // of read or write since it came into force

int fail(int error) {
  errno = error;
  return -1;
}

bool refuses(Refusal refusal) { return in_force == refusal; }

}  // namespace

Refusing::Refusing(Refusal refusal) {
  in_force = refusal;
  calls = 0;
}
Refusing::~Refusing() { in_force = Refusal::kNone; }

extern "C" {

int __real_open(const char* path, int flags, ...);
int __real_mkostemp(char* path, int flags);
ssize_t __real_read(int file, void* bytes, std::size_t count);
ssize_t __real_write(int file, const void* bytes, std::size_t count);
int __real_mkdir(const char* path, mode_t mode);
int __real_unlink(const char* path);

int __wrap_open(const char* path, int flags, ...) {
  std::va_list more;
  va_start(more, flags);
  const auto mode = static_cast<mode_t>((flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0U);
  va_end(more);
  const bool unnamed = (flags & O_TMPFILE) == O_TMPFILE, writes = (flags & O_ACCMODE) != O_RDONLY;
  if (unnamed && refuses(Refusal::kUnnamedFiles)) return fail(EOPNOTSUPP);
  if (writes && refuses(Refusal::kReadOnly)) return fail(EROFS);
  if (!writes && refuses(Refusal::kUnreadable)) return fail(EACCES);
  return __real_open(path, flags, mode);
}

int __wrap_mkostemp(char* path, int flags) { return refuses(Refusal::kReadOnly) ? fail(EROFS) : __real_mkostemp(path, flags); }

ssize_t __wrap_read(int file, void* bytes, std::size_t count) {
  if (refuses(Refusal::kBrokenMedium)) return fail(EIO);
  if (!refuses(Refusal::kSlowReads)) return __real_read(file, bytes, count);
  return calls++ % 2 == 0 ? fail(EINTR) : __real_read(file, bytes, std::min<std::size_t>(count, 1));
}

ssize_t __wrap_write(int file, const void* bytes, std::size_t count) {
  if (!refuses(Refusal::kFullDisk)) return __real_write(file, bytes, count);
  return calls++ % 2 == 0 ? __real_write(file, bytes, count / 2) : fail(ENOSPC);
}

int __wrap_mkdir(const char* path, mode_t mode) { return refuses(Refusal::kReadOnly) ? fail(EROFS) : __real_mkdir(path, mode); }

int __wrap_unlink(const char* path) { return refuses(Refusal::kReadOnly) ? fail(EROFS) : __real_unlink(path); }
}

}  // namespace flexjit::test
