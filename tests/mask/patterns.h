// Masks in two independent forms, a Program and a C++ predicate, with the buffers and params that the Program reads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/program/program.h"
#include "support/brute_force.h"

namespace flexjit::test {

struct MaskPattern {
  std::string name;
  ir::Program program;
  test::Allowed allowed;
  std::vector<std::shared_ptr<std::vector<std::int32_t>>> memory;  // what `buffers` view
  std::vector<TensorView> buffers;
  std::vector<Scalar> params;
  bool by_batch = false;
  bool by_head = false;

  // Valid while the pattern lives and is not moved.
  ir::Environment environment(const BlockMaskShape& shape) const;
};

MaskPattern causal();
MaskPattern everything(bool allowed);
MaskPattern causal_window(int back);      // q >= kv && q - kv <= back
MaskPattern window(int left, int right);  // -right <= q - kv <= left
MaskPattern attamba(int width, int chunk);
MaskPattern longformer(int side);              // global tokens 0 and 1
MaskPattern documents(int q_len, int kv_len);  // causal within documents of uneven length
MaskPattern window_by_head(int heads);         // a captured width a head
MaskPattern prefix_by_batch(int batch);        // a captured prefix a sequence
MaskPattern kv_head_parity();                  // reads kv_head alone
MaskPattern swin(int side, int size, int shift);
MaskPattern neighbourhood(int side, int radius);  // clipped at the borders
MaskPattern natten(int side, int kernel);         // always kernel^2 keys

}  // namespace flexjit::test
