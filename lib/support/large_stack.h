// Work that needs a deep stack -> the same work on a thread that has one, whatever the caller's: reading a deeply nested text
// and generating code recurse, and a program's threads may have as little as 128 KiB.
#pragma once

#include <pthread.h>

#include <csignal>
#include <cstddef>
#include <exception>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/fork_gate.h"

namespace flexjit::support {

inline constexpr std::size_t kLargeStack = std::size_t{16} << 20;  // address space; only what is used becomes memory

// body(), whose exceptions are the caller's. Throws std::system_error where no thread can be started. A thread costs some
// ten microseconds, which the work must be worth. The thread takes no signals of the program.
template <typename Body>
auto on_large_stack(const Body& body, std::size_t bytes = kLargeStack) {
  struct Call {
    const Body& body;
    bool is_inside = ForkGate::is_inside();
    std::optional<std::invoke_result_t<const Body&>> result{};
    std::exception_ptr failure{};
  } call{body};
  const auto work = [](void* argument) -> void* {
    auto& wanted = *static_cast<Call*>(argument);
    if (wanted.is_inside) ForkGate::let_in();
    try {
      wanted.result.emplace(wanted.body());
    } catch (...) {
      wanted.failure = std::current_exception();
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  sigset_t all, before;
  pthread_t thread{};
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, bytes);
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = ::pthread_create(&thread, &attributes, work, &call);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start a thread");
  ::pthread_join(thread, nullptr);
  if (call.failure) std::rethrow_exception(call.failure);
  return *std::move(call.result);
}

}  // namespace flexjit::support
