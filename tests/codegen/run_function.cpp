// run_function IMAGE OFFSET COUNT INPUTS OUTPUTS: maps a code image and calls its function on two arrays of COUNT floats from
// one file, writing as many to another. Built for AArch64 and run by an emulator; see EmittedFunction.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "function_arguments.h"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  std::ifstream image(argv[1], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(image), {}};
  const auto offset = std::strtoull(argv[2], nullptr, 10);
  const auto count = std::strtoull(argv[3], nullptr, 10);
  std::vector<float> a(count), b(count), y(count);
  const auto size = static_cast<std::streamsize>(count * sizeof(float));
  std::ifstream in(argv[4], std::ios::binary);
  in.read(reinterpret_cast<char*>(a.data()), size);
  in.read(reinterpret_cast<char*>(b.data()), size);
  if (!in) return 3;

  void* code = mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 4;
  std::memcpy(code, bytes.data(), bytes.size());
  if (mprotect(code, bytes.size(), PROT_READ | PROT_EXEC) != 0) return 5;
  __builtin___clear_cache(static_cast<char*>(code), static_cast<char*>(code) + bytes.size());
  const flexjit::test::FunctionArguments arguments{a.data(), b.data(), y.data(), static_cast<std::int64_t>(count)};
  reinterpret_cast<flexjit::test::EntryPoint>(static_cast<char*>(code) + offset)(&arguments);

  std::ofstream out(argv[5], std::ios::binary);
  out.write(reinterpret_cast<const char*>(y.data()), size);
  return out.flush() ? 0 : 6;
}
