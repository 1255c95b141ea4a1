// What keeps fork() away from held locks: it passes this gate only while no thread of the library is inside, so that the child,
// which has none of the other threads, never meets a lock that nobody will release. Every mutex of the library is a Mutex of
// this file; longer work that must be whole in the child (a compilation, which takes locks of LLVM) is a Pass.
#pragma once

#include <pthread.h>

#include <mutex>

namespace flexjit::support {

class ForkGate {
 public:
  // A thread may enter more than once. A thread that is inside must not wait for another one that is not yet inside: whom it
  // starts and waits for is let in by it.
  static void enter() noexcept {
    if (inside_++ == 0) ::pthread_rwlock_rdlock(&lock_);
  }
  static void leave() noexcept {
    if (--inside_ == 0) ::pthread_rwlock_unlock(&lock_);
  }

  static bool is_inside() noexcept { return inside_ > 0; }
  // Of a thread for which one that is inside waits to its end.
  static void let_in() noexcept { ++inside_; }

 private:
  static void close() noexcept {
    if (inside_ == 0) ::pthread_rwlock_wrlock(&lock_);
  }
  static void open() noexcept {
    if (inside_ == 0) ::pthread_rwlock_unlock(&lock_);
  }

  // The child's thread is another one to the lock, which it therefore cannot unlock.
  static void open_in_child() noexcept {
    constexpr pthread_rwlock_t kOpen = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    lock_ = kOpen;
    if (inside_ > 0) ::pthread_rwlock_rdlock(&lock_);
  }

  // Who forks comes before those who want to enter: a thread that forks under steady load waits for one round of them.
  inline static pthread_rwlock_t lock_ = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
  inline static thread_local int inside_ = 0;
  inline static const int registered_ = ::pthread_atfork(&close, &open, &open_in_child);
};

class Pass {
 public:
  Pass() noexcept { ForkGate::enter(); }
  ~Pass() { ForkGate::leave(); }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
};

// For std::lock_guard.
class Mutex {
 public:
  void lock() {
    ForkGate::enter();
    mutex_.lock();
  }
  void unlock() {
    mutex_.unlock();
    ForkGate::leave();
  }

 private:
  std::mutex mutex_;
};

}  // namespace flexjit::support
