// The linker reads and writes files, so everything passes through a folder of its own that is gone afterwards.
#include "jit/library/link_shared.h"

#include <lld/Common/Driver.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/raw_ostream.h>

#include <array>
#include <csignal>
#include <mutex>
#include <string_view>

#include "flexjit/export.h"
#include "jit/object/internal_error.h"
#include "plan/compiler_door.h"

LLD_HAS_DRIVER(elf);

namespace flexjit::jit {
namespace {

namespace fs = llvm::sys::fs;

class TemporaryFolder {
 public:
  TemporaryFolder() : error_(fs::createUniqueDirectory("flexjit-build", path_)) {}
  ~TemporaryFolder() {
    if (!error_) fs::remove_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::error_code error() const { return error_; }
  std::string path_of(std::string_view name) const { return (path_ + "/" + name).str(); }

 private:
  llvm::SmallString<128> path_;
  std::error_code error_;
};

Diagnostic system_error(const std::string& what, std::error_code error) {
  Diagnostic diagnostic;
  diagnostic.kind = "system";
  diagnostic.source_name = "build";
  diagnostic.message = what + " cannot be written: " + error.message() + "; TMPDIR names another folder for temporary files";
  return diagnostic;
}

Status write_file(const std::string& path, llvm::ArrayRef<char> bytes) {
  std::error_code error;
  llvm::raw_fd_ostream out(path, error);
  if (!error) {
    out.write(bytes.data(), bytes.size());
    out.close();
    error = out.error();
    out.clear_error();
  }
  if (error) return system_error(path, error);
  return Unit{};
}

// The first output file of a process makes LLVM take its signals, to remove the file, and gives the thread a signal stack. Both
// are given back: a program's handlers are its own, and the thread ends before the stack would.
class KeptSignals {
 public:
  KeptSignals() {
    ::sigaltstack(nullptr, &stack_);
    for (int signal = 1; signal < kSignals; ++signal) ::sigaction(signal, nullptr, &actions_[static_cast<std::size_t>(signal)]);
  }
  ~KeptSignals() {
    for (int signal = 1; signal < kSignals; ++signal) {
      const struct sigaction& before = actions_[static_cast<std::size_t>(signal)];
      struct sigaction now{};
      if (::sigaction(signal, nullptr, &now) == 0 && now.sa_sigaction != before.sa_sigaction)
        ::sigaction(signal, &before, nullptr);
    }
    ::sigaltstack(&stack_, nullptr);
  }
  KeptSignals(const KeptSignals&) = delete;
  KeptSignals& operator=(const KeptSignals&) = delete;

 private:
  static constexpr int kSignals = 32;  // the real-time ones are nobody's here
  stack_t stack_{};
  std::array<struct sigaction, kSignals> actions_{};
};

// The linker keeps its state in globals. It gets no threads: they would stay for the next call, and not be there in the child
// of a fork.
Status link(std::vector<std::string> options) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const KeptSignals kept;
  std::vector<const char*> arguments = {"ld.lld",           "-shared",        "-z",         "now", "-z", "relro",
                                        "--hash-style=gnu", "--no-undefined", "--threads=1"};
  for (const std::string& option : options) arguments.push_back(option.c_str());
  std::string said;
  llvm::raw_string_ostream out(said);
  const lld::Result result = lld::lldMain(arguments, out, out, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0) return internal_error("linking the library failed: " + said);
  return Unit{};
}

Result<std::vector<std::uint8_t>> link_files(llvm::ArrayRef<char> object, llvm::ArrayRef<char> stub,
                                             const std::string& soname) {
  const TemporaryFolder folder;
  if (folder.error()) return system_error("the temporary folder", folder.error());
  const std::string object_file = folder.path_of("library.o"), stub_file = folder.path_of("stub.o");
  const std::string engine = folder.path_of("libflexjit.so"), library = folder.path_of("library.so");
  Status done = write_file(object_file, object);
  if (done) done = write_file(stub_file, stub);
  if (done) done = link({"-soname", FLEXJIT_SONAME, stub_file, "-o", engine});
  // Beside itself, then where the system looks.
  if (done) done = link({"-soname", soname, "--rpath=$ORIGIN", object_file, engine, "-o", library});
  if (!done) return done.diagnostics();
  const auto bytes = llvm::MemoryBuffer::getFile(library);
  if (!bytes) return system_error(library, bytes.getError());
  return std::vector<std::uint8_t>((*bytes)->getBufferStart(), (*bytes)->getBufferEnd());
}

}  // namespace
}  // namespace flexjit::jit

extern "C" FLEXJIT_API const flexjit::jit::LinkerDoor* flexjit_linker_door();

const flexjit::jit::LinkerDoor* flexjit_linker_door() {
  static const flexjit::jit::LinkerDoor door{flexjit::plan::kBuildId, &flexjit::jit::link_files};
  return &door;
}
