// Section headers are rewritten in a copy; relocations of debug sections are left to the debugger.
#include "jit/object/debug_object.h"

#include <elf.h>

#include <cstring>

#include "support/check.h"

namespace flexjit::jit {

std::vector<std::uint8_t> place_sections(llvm::ArrayRef<char> object, const std::map<std::string, std::uint64_t>& offsets) {
  std::vector<std::uint8_t> bytes(object.begin(), object.end());
  Elf64_Ehdr header;
  FLEXJIT_CHECK(bytes.size() >= sizeof header && std::memcmp(bytes.data(), ELFMAG, SELFMAG) == 0);
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto section_at = [&](unsigned index) {
    Elf64_Shdr section;
    std::memcpy(&section, bytes.data() + header.e_shoff + index * sizeof section, sizeof section);
    return section;
  };
  const Elf64_Shdr names = section_at(header.e_shstrndx);
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section = section_at(i);
    const std::string name(reinterpret_cast<const char*>(bytes.data()) + names.sh_offset + section.sh_name);
    const auto found = offsets.find(name);
    if (found == offsets.end()) continue;
    section.sh_addr = found->second;
    std::memcpy(bytes.data() + header.e_shoff + i * sizeof section, &section, sizeof section);
  }
  return bytes;
}

}  // namespace flexjit::jit
