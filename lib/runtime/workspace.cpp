// The pool keeps the workspaces that came back last on top, so that a single caller always meets warm memory.
#include "runtime/workspace.h"

#include <sys/mman.h>

#include <utility>

namespace flexjit::runtime {

namespace {

// From here on memory is mapped without being reserved. Workspaces that are kept are smaller.
constexpr std::size_t kMappedBytes = WorkspacePool::kMaxIdleBytes;

}  // namespace

void AlignedBuffer::Free::operator()(std::byte* memory) const noexcept {
  if (mapped == 0) return ::operator delete(memory, std::align_val_t{kAlignment});
  ::munmap(memory, mapped);
}

void AlignedBuffer::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  release();
  if (bytes < kMappedBytes) {
    data_ = {static_cast<std::byte*>(::operator new(bytes, std::align_val_t{kAlignment})), Free{}};
  } else {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = {static_cast<std::byte*>(memory), Free{bytes}};
  }
  bytes_ = bytes;
}

void AlignedBuffer::release() noexcept {
  data_.reset();
  bytes_ = 0;
}

// Room for every idle workspace is made here, so that giving one back cannot fail.
WorkspacePool::WorkspacePool() { idle_.reserve(kMaxIdle); }

std::size_t WorkspacePool::idle() const {
  const std::lock_guard lock(mutex_);
  return idle_.size();
}

std::unique_ptr<Workspace> WorkspacePool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Workspace> workspace = std::move(idle_.back());
      idle_.pop_back();
      return workspace;
    }
  }
  return std::make_unique<Workspace>();
}

void WorkspacePool::put(std::unique_ptr<Workspace> workspace) noexcept {
  if (workspace->panels.bytes() + workspace->scratch.bytes() + workspace->schedule.bytes() > kMaxIdleBytes) return;
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(workspace));
}

WorkspacePool& workspaces() {
  static WorkspacePool instance;
  return instance;
}

}  // namespace flexjit::runtime
