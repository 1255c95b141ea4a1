// Memory of calls that have been, for those that come: its pages are there already, which costs as much as to fill them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

namespace flexjit::mpi {

// Blocks come in powers of two, of which only what is written to is memory. For one thread at a time; outlives its blocks.
class Pool {
 public:
  struct Return {
    Pool* pool = nullptr;
    std::size_t power = 0;
    void operator()(std::byte* data) const noexcept { pool->free_[power].emplace_back(data); }
  };
  using Block = std::unique_ptr<std::byte[], Return>;

  // Not set. Throws std::bad_alloc.
  Block take(std::size_t bytes) {
    const auto power = static_cast<std::size_t>(std::bit_width(bytes > 0 ? bytes - 1 : 0));
    auto& free = free_[power];
    if (free.empty()) {
      free.reserve(++made_[power]);  // so that what is returned has its place
      return {new std::byte[std::size_t{1} << power], Return{this, power}};
    }
    std::byte* data = free.back().release();
    free.pop_back();
    return {data, Return{this, power}};
  }

 private:
  std::array<std::vector<std::unique_ptr<std::byte[]>>, 8 * sizeof(std::size_t)> free_;
  std::array<std::size_t, 8 * sizeof(std::size_t)> made_{};
};

}  // namespace flexjit::mpi
