// What a C++ mod (docs/cxx.md) may use beside the standard library, for the host's compiler, so that a file of mods also
// compiles in a program: as a reference in its tests, or as the source of both the text and the function. When a mod is read as
// a text, these declarations are there without being included.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

// A lambda that is both a function and its text: FLEXJIT_MOD([](int q_idx, int kv_idx) { return q_idx >= kv_idx; }). It is
// called as the lambda is, and text() is an AttentionSpec's mask_mod or score_mod with TextLanguage::kCxx. Comments are not
// part of the text, and line ends are blanks in it.
#define FLEXJIT_MOD(...) (::flexjit::make_mod(__VA_ARGS__, #__VA_ARGS__))

namespace flexjit {

template <typename Function>
struct Mod : Function {
  constexpr Mod(Function function, const char* words) : Function(function), words_(words) {}
  // Of the program's life time.
  constexpr const char* text() const { return words_; }

 private:
  const char* words_;
};

template <typename Function>
constexpr Mod<Function> make_mod(Function function, const char* words) {
  return {function, words};
}

// A captured array of several dimensions, which a mod reads as array(i, j). `T` is const; contiguous, row-major.
template <typename T, int kRank>
class Tensor {
 public:
  constexpr Tensor(T* data, std::array<std::ptrdiff_t, kRank> extents) : data_(data), extents_(extents) {}

  template <typename... Index>
  constexpr const T& operator()(Index... index) const {
    static_assert(sizeof...(Index) == kRank);
    std::ptrdiff_t at = 0;
    std::size_t dimension = 0;
    ((at = at * extents_[dimension++] + static_cast<std::ptrdiff_t>(index)), ...);
    return data_[at];
  }

 private:
  T* data_;
  std::array<std::ptrdiff_t, kRank> extents_;
};

// An element of a captured array of bf16, as its bits; it reads as a float.
struct bf16 {
  std::uint16_t bits;
  constexpr operator float() const {  // NOLINT(google-explicit-constructor)
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

// Functions of the language that C++ has not. T: float or double.
template <typename T>
T rsqrt(T x) {
  return 1 / std::sqrt(x);
}
template <typename T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}
template <typename T>
T silu(T x) {
  return x * sigmoid(x);
}
template <typename T>
T gelu(T x) {
  return x / 2 * (1 + std::erf(x / std::sqrt(T{2})));
}
template <typename T>
T relu(T x) {
  return x > 0 ? x : 0;
}

}  // namespace flexjit
