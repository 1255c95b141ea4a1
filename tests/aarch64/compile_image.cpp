// compile_image REQUEST IMAGE: a key as key_transfer.h writes it -> the kernel's offsets and bytes. Runs on the machine that
// has LLVM, for a process that an emulator runs.
#include <cstdio>
#include <exception>
#include <fstream>

#include "jit/object/compile.h"
#include "key_transfer.h"

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  std::ifstream request(argv[1]);
  const auto image = flexjit::jit::compile(flexjit::test::read_key(request)).value();
  std::ofstream out(argv[2], std::ios::binary);
  for (const std::uint64_t entry : image.entries) out << entry << ' ';
  out << image.bytes.size() << '\n';
  out.write(reinterpret_cast<const char*>(image.bytes.data()), static_cast<std::streamsize>(image.bytes.size()));
  return out.flush() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "compile_image: %s\n", error.what());
  return 1;
}
