// Blocks of rounded sizes, cut from one array from its begin on; freed ones are kept in a list for each size. Once none is in
// use the array is whole again.
#include "jit/object/reserve.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace flexjit::jit::reserve {
namespace {

constexpr std::size_t kUnit = 16;  // of alignment, and of the header in front of a block's memory

// Four sizes between a power of two and the next.
constexpr std::size_t kClasses = 128;

struct Header {
  std::uint32_t size_class;
  std::uint32_t to_block;  // from the block's begin to the memory behind this header
};
static_assert(sizeof(Header) <= kUnit);

struct FreeBlock {
  FreeBlock* next;
};

alignas(kUnit) std::array<std::byte, kBytes> storage;
constinit std::mutex mutex;
std::size_t cut = 0, in_use = 0;
std::array<FreeBlock*, kClasses> free_blocks{};

// In the library's part of a thread's static memory: other thread-local memory is allocated at its first use, and a thread that
// gets none ends the process.
[[gnu::tls_model("initial-exec")]] thread_local bool taken = false;

// The smallest class whose blocks hold `bytes`, at least a unit.
std::size_t class_of(std::size_t bytes) {
  const std::size_t units = std::max<std::size_t>((bytes + kUnit - 1) / kUnit, 1);
  const auto power = static_cast<std::size_t>(std::bit_width(units) - 1);
  const std::size_t quarter =
      power < 2 ? 0 : (units - (std::size_t{1} << power) + (std::size_t{1} << (power - 2)) - 1) >> (power - 2);
  return power < 2 ? units - 1 : 4 * power - 5 + quarter;
}

std::size_t size_of_class(std::size_t size_class) {
  if (size_class < 3) return (size_class + 1) * kUnit;
  const std::size_t power = (size_class + 5) / 4, quarter = (size_class + 5) % 4;
  return ((std::size_t{1} << power) + (quarter << (power - 2))) * kUnit;
}

Header& header_of(void* memory) { return *reinterpret_cast<Header*>(static_cast<std::byte*>(memory) - kUnit); }

std::byte* take_block(std::size_t size_class) {
  if (FreeBlock* block = free_blocks[size_class]) {
    free_blocks[size_class] = block->next;
    return reinterpret_cast<std::byte*>(block);
  }
  const std::size_t bytes = size_of_class(size_class);
  if (bytes > kBytes - cut) return nullptr;
  std::byte* block = storage.data() + cut;
  cut += bytes;
  return block;
}

}  // namespace

void* take(std::size_t bytes, std::size_t alignment) noexcept {
  taken = true;
  alignment = std::max(alignment, kUnit);
  if (bytes > kBytes || alignment > kBytes) return nullptr;
  const std::size_t size_class = class_of(bytes + alignment);
  if (size_class >= kClasses) return nullptr;
  const std::lock_guard lock(mutex);
  std::byte* block = take_block(size_class);
  if (block == nullptr) return nullptr;
  ++in_use;
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  const std::size_t to_block = (address + kUnit + alignment - 1) / alignment * alignment - address;
  void* memory = block + to_block;
  header_of(memory) = {static_cast<std::uint32_t>(size_class), static_cast<std::uint32_t>(to_block)};
  return memory;
}

void give(void* memory) noexcept {
  const Header header = header_of(memory);
  const std::lock_guard lock(mutex);
  auto* block = reinterpret_cast<FreeBlock*>(static_cast<std::byte*>(memory) - header.to_block);
  block->next = free_blocks[header.size_class];
  free_blocks[header.size_class] = block;
  if (--in_use > 0) return;
  free_blocks = {};
  cut = 0;
}

bool owns(const void* memory) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(memory), begin = reinterpret_cast<std::uintptr_t>(storage.data());
  return address - begin < kBytes;
}

std::size_t size_of(const void* memory) noexcept {
  const Header& header = header_of(const_cast<void*>(memory));
  return size_of_class(header.size_class) - header.to_block;
}

void begin() noexcept { taken = false; }
bool is_taken() noexcept { return taken; }

}  // namespace flexjit::jit::reserve
