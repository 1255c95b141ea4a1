// Work without the interpreter's lock. When the interpreter ends, it waits for the work of other threads, since what they run
// in goes with the process; and a thread that comes back then, or begins anew, stays here for good: what Python does instead,
// ending the thread under C++ frames, ends the process.
#pragma once

#include <Python.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace flexjit::python {

class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {
    ++working_;
    if (stays()) {
      --working_;
      stay();
    }
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() {
    --working_;
    if (stays()) stay();
    PyEval_RestoreThread(state_);
  }

  // An atexit function: the threads that Python waits for are done by then.
  static void end_of_interpreter() {
    ending_thread_ = std::this_thread::get_id();
    ends_ = true;
    PyThreadState* state = PyEval_SaveThread();
    while (working_ > 0) usleep(1000);
    PyEval_RestoreThread(state);
  }

  // The child of a fork has no other threads.
  static void watch_forks() {
    pthread_atfork(nullptr, nullptr, [] { working_ = 0; });
  }

 private:
  static bool stays() { return ends_ && std::this_thread::get_id() != ending_thread_; }
  [[noreturn]] static void stay() {
    while (true) pause();
  }

  inline static std::atomic<bool> ends_{false};
  inline static std::atomic<int> working_{0};
  inline static std::thread::id ending_thread_{};
  PyThreadState* state_;
};

}  // namespace flexjit::python
