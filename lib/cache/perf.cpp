// The formats are those of the perf tools: jit-interface.txt and jitdump-specification.txt of tools/perf/Documentation.
#include "cache/perf.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <iterator>
#include <mutex>
#include <string>
#include <system_error>

#include "cache/process_file.h"
#include "support/fork_gate.h"

namespace flexjit::cache {

namespace {

// Lines of other generators of code in the same process, which share the file, are kept.
class PerfMap {
 public:
  void prepare() {
    const std::lock_guard lock(mutex_);
    file_.open();
  }
  void add(std::span<const CodeSymbol> symbols) {
    std::string lines;
    for (const CodeSymbol& symbol : symbols) {
      fmt::format_to(std::back_inserter(lines), "{:x} {:x} {}\n", reinterpret_cast<std::uintptr_t>(symbol.code.data()),
                     symbol.code.size(), symbol.name);
    }
    const std::lock_guard lock(mutex_);
    file_.open();
    file_.write(lines);
  }

 private:
  support::Mutex mutex_;
  ProcessFile file_{"perf-", ".map", Existing::kKeep};
};

struct DumpHeader {
  std::uint32_t magic = 0x4A695444, version = 1, total_size = sizeof(DumpHeader);
#if defined(__aarch64__)
  std::uint32_t machine = EM_AARCH64;
#else
  std::uint32_t machine = EM_X86_64;
#endif
  std::uint32_t padding = 0, process = 0;
  std::uint64_t timestamp = 0, flags = 0;
};
static_assert(sizeof(DumpHeader) == 40);

// Followed by the name with its 0, and the code.
struct CodeLoad {
  std::uint32_t record = 0, total_size = 0;
  std::uint64_t timestamp = 0;
  std::uint32_t process = 0, thread = 0;
  std::uint64_t virtual_address = 0, address = 0, size = 0, index = 0;
};
static_assert(sizeof(CodeLoad) == 56);

// Samples and records are brought in order by this clock: `perf record -k mono`.
std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

template <typename Struct>
void append(std::string& bytes, const Struct& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

class Jitdump {
 public:
  void prepare() {
    const std::lock_guard lock(mutex_);
    open();
  }
  void add(std::span<const CodeSymbol> symbols) {
    const std::lock_guard lock(mutex_);
    open();
    std::string bytes;
    for (const CodeSymbol& symbol : symbols) append_load(bytes, symbol);
    file_.write(bytes);
  }

 private:
  void open() {
    if (file_.open()) {
      is_mapped_ = false;
      std::string bytes;
      append(bytes, DumpHeader{.process = static_cast<std::uint32_t>(::getpid()), .timestamp = monotonic_ns()});
      file_.write(bytes);
    }
    if (is_mapped_) return;
    // perf records executable mappings, and this one's path is how `perf inject` finds the file. It stays to the end.
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    if (::mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file_.descriptor(), 0) == MAP_FAILED) {
      throw std::system_error(errno, std::generic_category(), "cannot map " + file_.path() + " as executable");
    }
    is_mapped_ = true;
  }

  void append_load(std::string& bytes, const CodeSymbol& symbol) {
    const auto address = reinterpret_cast<std::uintptr_t>(symbol.code.data());
    append(bytes,
           CodeLoad{.total_size = static_cast<std::uint32_t>(sizeof(CodeLoad) + symbol.name.size() + 1 + symbol.code.size()),
                    .timestamp = monotonic_ns(),
                    .process = static_cast<std::uint32_t>(::getpid()),
                    .thread = static_cast<std::uint32_t>(::gettid()),
                    .virtual_address = address,
                    .address = address,
                    .size = symbol.code.size(),
                    .index = next_index_++});
    bytes.append(symbol.name.c_str(), symbol.name.size() + 1);
    bytes.append(reinterpret_cast<const char*>(symbol.code.data()), symbol.code.size());
  }

  support::Mutex mutex_;
  ProcessFile file_{"jit-", ".dump", Existing::kReplace};
  bool is_mapped_ = false;
  std::uint64_t next_index_ = 0;
};

PerfMap& perf_map() {
  static PerfMap instance;
  return instance;
}

Jitdump& jitdump() {
  static Jitdump instance;
  return instance;
}

}  // namespace

std::optional<Perf> parse_perf(std::string_view text) {
  if (text.empty()) return Perf::kOff;
  if (text == "map") return Perf::kMap;
  if (text == "jitdump") return Perf::kJitdump;
  return std::nullopt;
}

void prepare_perf(Perf perf) {
  switch (perf) {
    case Perf::kOff: return;
    case Perf::kMap: return perf_map().prepare();
    case Perf::kJitdump: return jitdump().prepare();
  }
}

void announce(Perf perf, std::span<const CodeSymbol> symbols) {
  switch (perf) {
    case Perf::kOff: return;
    case Perf::kMap: return perf_map().add(symbols);
    case Perf::kJitdump: return jitdump().add(symbols);
  }
}

}  // namespace flexjit::cache
