// Work without the interpreter's lock. A thread that comes back while the interpreter ends stays here for good: what Python does
// instead, ending the thread under C++ frames, ends the process.
#pragma once

#include <Python.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace flexjit::python {

// Set by an atexit function, which runs when the threads that Python waits for are done.
inline std::atomic<bool> interpreter_ends{false};
inline std::thread::id ending_thread;

class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() {
    while (interpreter_ends && std::this_thread::get_id() != ending_thread) pause();
    PyEval_RestoreThread(state_);
  }

 private:
  PyThreadState* state_;
};

}  // namespace flexjit::python
