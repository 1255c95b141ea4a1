// The names and layouts below are those of gdb's manual, chapter "JIT Compilation Interface": gdb stops at the function and
// reads the list.
#include "cache/gdb.h"

#include <elf.h>

#include <cstring>
#include <mutex>

#include "flexjit/export.h"
#include "support/fork_gate.h"

extern "C" {

struct jit_code_entry {
  jit_code_entry* next_entry;
  jit_code_entry* prev_entry;
  const char* symfile_addr;
  std::uint64_t symfile_size;
};

struct jit_descriptor {
  std::uint32_t version;
  std::uint32_t action_flag;
  jit_code_entry* relevant_entry;
  jit_code_entry* first_entry;
};

// NOLINTBEGIN(bugprone-reserved-identifier): gdb looks for these names.
FLEXJIT_API extern jit_descriptor __jit_debug_descriptor;
FLEXJIT_API void __jit_debug_register_code();

jit_descriptor __jit_debug_descriptor = {1, 0, nullptr, nullptr};

// gdb sets a breakpoint here; the statement keeps calls to it.
[[gnu::noinline, gnu::used]] void __jit_debug_register_code() { __asm__ volatile("" ::: "memory"); }
// NOLINTEND(bugprone-reserved-identifier)
}

namespace flexjit::cache {

namespace {

constexpr std::uint32_t kRegister = 1, kUnregister = 2;
support::Mutex list_mutex;

void tell(std::uint32_t action, jit_code_entry& entry) {
  __jit_debug_descriptor.action_flag = action;
  __jit_debug_descriptor.relevant_entry = &entry;
  __jit_debug_register_code();
}

void move_sections(std::vector<std::uint8_t>& object, const void* base) {
  Elf64_Ehdr header;
  std::memcpy(&header, object.data(), sizeof header);
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    std::uint8_t* at = object.data() + header.e_shoff + i * sizeof(Elf64_Shdr);
    Elf64_Shdr section;
    std::memcpy(&section, at, sizeof section);
    if ((section.sh_flags & SHF_ALLOC) == 0) continue;
    section.sh_addr += reinterpret_cast<std::uintptr_t>(base);
    std::memcpy(at, &section, sizeof section);
  }
}

}  // namespace

struct DebuggerEntry::Entry : jit_code_entry {};

DebuggerEntry::DebuggerEntry(std::vector<std::uint8_t> object, const void* base)
    : object_(std::move(object)), entry_(std::make_unique<Entry>()) {
  move_sections(object_, base);
  entry_->symfile_addr = reinterpret_cast<const char*>(object_.data());
  entry_->symfile_size = object_.size();
  const std::lock_guard lock(list_mutex);
  entry_->prev_entry = nullptr;
  entry_->next_entry = __jit_debug_descriptor.first_entry;
  if (entry_->next_entry != nullptr) entry_->next_entry->prev_entry = entry_.get();
  __jit_debug_descriptor.first_entry = entry_.get();
  tell(kRegister, *entry_);
}

DebuggerEntry::~DebuggerEntry() {
  const std::lock_guard lock(list_mutex);
  if (entry_->prev_entry != nullptr)
    entry_->prev_entry->next_entry = entry_->next_entry;
  else
    __jit_debug_descriptor.first_entry = entry_->next_entry;
  if (entry_->next_entry != nullptr) entry_->next_entry->prev_entry = entry_->prev_entry;
  tell(kUnregister, *entry_);
}

}  // namespace flexjit::cache
