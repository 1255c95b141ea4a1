// Tensors that own their memory, attention by its definition to compare with, and a list of what was shown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "flexjit/flash_attention.h"

// (batch, seqlen, heads, dim), dense, of f32 or f16; zeros at first.
class Tensor {
 public:
  Tensor(flexjit::DType type, std::vector<std::int64_t> extents);
  // Multiples of 1/256 between -2 and 2, which both types hold.
  static Tensor random(flexjit::DType type, std::vector<std::int64_t> extents, unsigned seed);

  double at(std::int64_t b, std::int64_t row, std::int64_t head, std::int64_t d) const;
  // The same bits, those of rows [begin, end) of every sequence.
  bool has_rows_of(const Tensor& other, std::int64_t begin, std::int64_t end) const;
  bool operator==(const Tensor& other) const { return shape == other.shape && bytes == other.bytes; }
  // Rows [begin, end) of every sequence as they lie.
  flexjit::TensorView rows(std::int64_t begin, std::int64_t end) const;
  flexjit::TensorView view() const { return {bytes.data(), dtype, shape}; }
  flexjit::MutableTensorView view() { return {bytes.data(), dtype, shape}; }
  std::string extents() const;  // "(2, 1024, 8, 64)"

  flexjit::DType dtype;
  std::vector<std::int64_t> shape;
  std::vector<unsigned char> bytes;
};

// What attention is: a scale, and which keys a query sees.
struct Definition {
  double scale = 0;
  std::function<bool(std::int64_t query, std::int64_t key)> allowed = [](std::int64_t, std::int64_t) { return true; };
};
// The largest difference of `out` from it, over every `step`-th query. k and v may have fewer heads; `keys` of them count.
double worst_difference(const Tensor& out, const Tensor& q, const Tensor& k, const Tensor& v, const Definition& definition,
                        std::int64_t keys, std::int64_t step = 1);

// What each program says it shows; `show` prints it, with a mark where it does not hold.
class Findings {
 public:
  void show(const std::string& what, bool holds);
  bool all_hold() const { return all_hold_; }

 private:
  bool all_hold_ = true;
};

void basic(flexjit::Engine& engine, Findings& findings);
void windows(flexjit::Engine& engine, Findings& findings);
void packed(flexjit::Engine& engine, Findings& findings);
void kv_cache(flexjit::Engine& engine, Findings& findings);
