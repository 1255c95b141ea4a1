// mmap read + write, copy, mprotect read + execute; munmap with the last owner.
#include "cache/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace flexjit::cache {

namespace {

std::size_t round_up_to_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

[[noreturn]] void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

CodeMemory::CodeMemory(std::span<const std::uint8_t> code) : bytes_(round_up_to_pages(code.size())) {
  void* pages = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw_errno("cannot map memory for machine code");
  std::memcpy(pages, code.data(), code.size());
  if (::mprotect(pages, bytes_, PROT_READ | PROT_EXEC) != 0) {
    const int error = errno;
    ::munmap(pages, bytes_);
    errno = error;
    throw_errno("cannot make memory executable");
  }
  // AArch64 keeps instruction and data caches apart; on x86-64 this is nothing.
  char* begin = static_cast<char*>(pages);
  __builtin___clear_cache(begin, begin + code.size());
  pages_ = pages;
}

CodeMemory::~CodeMemory() {
  if (pages_ != nullptr) ::munmap(pages_, bytes_);
}

CodeMemory::CodeMemory(CodeMemory&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

CodeMemory& CodeMemory::operator=(CodeMemory&& other) noexcept {
  std::swap(pages_, other.pages_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace flexjit::cache
