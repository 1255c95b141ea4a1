// The pool keeps the workspaces that came back last on top, so that a single caller always meets warm memory.
#include "runtime/workspace.h"

#include <utility>

namespace flexjit::runtime {

void AlignedBuffer::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  release();
  data_.reset(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{kAlignment})));
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

}  // namespace flexjit::runtime
