// O += P V of one key step by products of bf16 pairs: rows of V of two neighbouring keys are interleaved, which leaves the
// value dims in another order; o keeps that order until the item is done.
#include <llvm/IR/IntrinsicsX86.h>

#include "codegen/nests/decode.h"
#include "codegen/emit/storage.h"

namespace flexjit::codegen {
namespace {

// Of each 128 bits of a and b, the lower or the upper four 16-bit elements in turn: a, b, a, b, ...
llvm::Value* interleave(Emitter& e, llvm::Value* a, llvm::Value* b, int half) {
  const int width = 2 * e.lanes();
  llvm::SmallVector<int, 32> mask;
  for (int group = 0; group < width; group += 8) {
    for (int i = 4 * half; i < 4 * half + 4; ++i) {
      mask.push_back(group + i);
      mask.push_back(width + group + i);
    }
  }
  return e.ir().CreateShuffleVector(a, b, mask);
}

}  // namespace

// acc[r][j] = o[row + r][dim + j];
// for (k = (first - kv) & -2; kv + k < last; k += 2) { prefetch; acc[r][j] += weights of k, k + 1 * interleaved V rows; }
// o[row + r][dim + j] = acc[r][j];
// A key outside the span has weight 0, and the nearest key inside it is read.
void DecodeEmitter::emit_value_pairs(const Step& step, Index row, int rows, const ValueChunk& chunk) {
  auto& ir = e_.ir();
  const int width = 2 * e_.lanes(), vectors = 2 * chunk.vectors;
  const Ptr output = output_at(row, chunk.dim);
  const auto place = [&](int r, int j) {
    return e_.at(output, e_.index(std::int64_t{r} * layout_.v_padded + std::int64_t{j} * e_.lanes()));
  };
  Values acc;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < vectors; ++j) acc.push_back(e_.load_vector(place(r, j), 4 * e_.lanes()).value);
  }
  const Index ahead = e_.mul(item_.v.stride, e_.index(rows_ahead(std::int64_t{key_.v_head_dim} * 2)));
  const Ptr dims = at_element(e_, item_.v.data, chunk.dim, DType::kBF16);
  const Ptr weights = score_at(row, e_.index(0));
  const Index from{ir.CreateAnd(e_.sub(step.first, step.kv).value, e_.index(-2).value)};
  acc = e_.for_range("pv", from, e_.sub(step.last, step.kv), e_.index(2), acc, [&](Index k, const Values& carried) {
    Ptr values[2];
    for (int i = 0; i < 2; ++i) {
      const Index key = e_.widen(e_.load_int(key_number_at(e_.add(k, e_.index(i)))));
      values[i] = at_element(e_, dims, e_.mul(key, item_.v.stride), DType::kBF16);
    }
    llvm::SmallVector<llvm::Value*, 8> pairs;
    for (int j = 0; j < chunk.vectors; ++j) {
      const int count = chunk.tail != 0 && j + 1 == chunk.vectors ? chunk.tail : width;
      const Index dim = e_.index(std::int64_t{j} * width);
      llvm::Value* v[2];
      for (int i = 0; i < 2; ++i) {
        emit_prefetch(Ptr{ir.CreateGEP(ir.getInt16Ty(), values[i].value, e_.add(ahead, dim).value)});
        v[i] = load_first(at_element(e_, values[i], dim, DType::kBF16), DType::kBF16, width, count);
      }
      for (int half : {0, 1}) pairs.push_back(interleave(e_, v[0], v[1], half));
    }
    return emit_pair_products(carried, e_.at(weights, Index{ir.CreateLShr(k.value, 1)}), pairs);
  });
  std::size_t next = 0;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < vectors; ++j) e_.store(acc[next++], place(r, j), 4 * e_.lanes());
  }
}

// acc[r][j] += weight pair of row r * pairs[j]
Values DecodeEmitter::emit_pair_products(const Values& acc, Ptr weights, llvm::ArrayRef<llvm::Value*> pairs) {
  auto& ir = e_.ir();
  auto* type = llvm::FixedVectorType::get(ir.getBFloatTy(), static_cast<unsigned>(2 * e_.lanes()));
  Values next;
  while (next.size() < acc.size()) {
    const auto r = static_cast<std::int64_t>(next.size() / pairs.size());
    const Int pair = e_.broadcast(e_.load_int(e_.at(weights, e_.index(r * key_.tiling.kv_tile))));
    for (llvm::Value* v : pairs) {
      next.push_back(ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {},
                                        {acc[next.size()], ir.CreateBitCast(v, type), ir.CreateBitCast(pair.value, type)}));
    }
  }
  return next;
}

// for (d = 0; d < v_padded; d += 2 * lanes): of the two vectors at d, the first holds the lower and the second the upper four
// dims of each eight.
void DecodeEmitter::emit_dims_in_order(Index row) {
  const int lanes = e_.lanes();
  e_.for_range("dims_in_order", e_.index(0), e_.index(layout_.v_padded), e_.index(2 * lanes), [&](Index d) {
    const Ptr address[2] = {output_at(row, d), output_at(row, e_.add(d, e_.index(lanes)))};
    llvm::Value* lower = e_.load_vector(address[0], 4 * lanes).value;
    llvm::Value* upper = e_.load_vector(address[1], 4 * lanes).value;
    for (int half : {0, 1}) {
      llvm::SmallVector<int, 16> mask;
      for (int i = 0; i < lanes; ++i) {
        const int dim = half * lanes + i;
        mask.push_back((dim % 8 < 4 ? 0 : lanes) + dim / 8 * 4 + dim % 4);
      }
      e_.store(e_.ir().CreateShuffleVector(lower, upper, mask), address[half], 4 * lanes);
    }
  });
}

}  // namespace flexjit::codegen
