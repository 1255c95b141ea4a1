// The JSON of the views. Destroying a value of nlohmann's library allocates, in a destructor that may not throw: where memory
// has run out, and a view is unwound because of that, the process would end. What destroying asks for comes from a part of this
// library then. (The library flattens nested values into a std::vector of them, so that std::allocator is what has to know.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

namespace flexjit::study {

// std::allocator under another name, which makes Json a type of this library alone.
template <typename T>
struct JsonAllocator : std::allocator<T> {
  using value_type = T;
  template <typename U>
  struct rebind {
    using other = JsonAllocator<U>;
  };
  JsonAllocator() = default;
  template <typename U>
  JsonAllocator(const JsonAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor)
};

using Json = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, std::int64_t, std::uint64_t, double,
                                  JsonAllocator>;

}  // namespace flexjit::study

template <>
class std::allocator<flexjit::study::Json> {
 public:
  using value_type = flexjit::study::Json;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using propagate_on_container_move_assignment = std::true_type;
  using is_always_equal = std::true_type;

  allocator() = default;
  template <typename U>
  allocator(const allocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor)

  // std::bad_alloc where the part that is set aside is used up too.
  value_type* allocate(size_type count);
  void deallocate(value_type* values, size_type count) noexcept;

  friend bool operator==(const allocator&, const allocator&) noexcept { return true; }
};
