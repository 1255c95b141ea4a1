// How much heap a case needs beside its inputs and outputs. The engine keeps its work memory from call to call, whatever case
// they are of, so each case is run once in a process that has run nothing before.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>

#include "bench/case.h"

namespace flexjit::tools::bench {

class HeapProbe {
 public:
  // Forks; to be made before the first thread of this process. `cases` and `options` must outlive it.
  HeapProbe(std::span<const Case> cases, const BenchOptions& options);
  ~HeapProbe();
  HeapProbe(const HeapProbe&) = delete;
  HeapProbe& operator=(const HeapProbe&) = delete;

  // Runs that case on zeros; absent where it cannot run, of which its own row tells.
  std::optional<std::int64_t> extra_bytes(std::size_t index);

 private:
  [[noreturn]] void serve(int socket) const;
  std::int64_t probe(const Case& test) const;

  std::span<const Case> cases_;
  const BenchOptions& options_;
  int socket_ = -1;
  pid_t server_ = -1;
};

}  // namespace flexjit::tools::bench
