// K rows (kv, head_dim) -> panels [strip of kv][head_dim][strip], through lanes x lanes register transposes; V rows -> rows
// padded with zeros to whole vectors.
#include "codegen/pack.h"

#include <cstddef>

#include "codegen/launch_fields.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using plan::PackArg;

struct Pack {
  Index kv_begin, kv_end, kv_len;
  Rows k, v;
  Ptr k_panels, v_rows;
};

Pack load_pack(Emitter& e, Ptr arg) {
  const Ptr launch = e.load_pointer(e.at_byte(arg, offsetof(PackArg, launch)));
  const auto index_at = [&](std::size_t offset) {
    return e.widen(e.load_int(e.at_byte(arg, static_cast<std::int64_t>(offset))));
  };
  const Index b = index_at(offsetof(PackArg, b));
  const Index head = index_at(offsetof(PackArg, kv_head));
  return {.kv_begin = index_at(offsetof(PackArg, kv_begin)),
          .kv_end = index_at(offsetof(PackArg, kv_end)),
          .kv_len = e.widen(e.load_int(e.at_byte(launch, offsetof(plan::LaunchArg, kv_len)))),
          .k = load_rows(e, launch, offsetof(plan::LaunchArg, k), b, head),
          .v = load_rows(e, launch, offsetof(plan::LaunchArg, v), b, head),
          .k_panels = e.load_pointer(e.at_byte(arg, offsetof(PackArg, k_panels))),
          .v_rows = e.load_pointer(e.at_byte(arg, offsetof(PackArg, v_rows)))};
}

// rows[i][l] -> rows[l][i] in log2(lanes) butterfly steps: step w swaps the w-th bit of row and lane number.
void transpose(Emitter& e, llvm::SmallVectorImpl<llvm::Value*>& rows) {
  const int lanes = e.lanes();
  for (int w = 1; w < lanes; w *= 2) {
    llvm::SmallVector<int, 16> low;
    llvm::SmallVector<int, 16> high;
    for (int l = 0; l < lanes; ++l) {
      low.push_back((l & w) == 0 ? l : lanes + l - w);
      high.push_back((l & w) == 0 ? l + w : lanes + l);
    }
    for (int i = 0; i < lanes; ++i) {
      if ((i & w) != 0) continue;
      llvm::Value*& a = rows[static_cast<std::size_t>(i)];
      llvm::Value*& b = rows[static_cast<std::size_t>(i + w)];
      auto* first = e.ir().CreateShuffleVector(a, b, low);
      b = e.ir().CreateShuffleVector(a, b, high);
      a = first;
    }
  }
}

// A whole strip: for (c = 0; c < strip; c += lanes) for (d = 0; d < head_dim; d += lanes) transpose; the last dims one by one.
void emit_whole_strip(Emitter& e, const plan::KernelKey& key, Ptr source, Index stride, Ptr panel) {
  const std::int64_t strip = plan::layout_of(key).strip;
  const std::int64_t whole = key.head_dim / e.lanes() * e.lanes();
  e.for_range("pack.columns", e.index(0), e.index(strip), e.index(e.lanes()), [&](Index c) {
    const Ptr first = e.at(source, e.mul(c, stride));
    e.for_range("pack.dims", e.index(0), e.index(whole), e.index(e.lanes()), [&](Index d) {
      llvm::SmallVector<llvm::Value*, 16> rows;
      for (int i = 0; i < e.lanes(); ++i) {
        rows.push_back(e.load_vector(e.at(first, e.add(e.mul(stride, e.index(i)), d))).value);
      }
      transpose(e, rows);
      for (int i = 0; i < e.lanes(); ++i) {
        const Index dim = e.add(d, e.index(i));
        e.store(rows[static_cast<std::size_t>(i)], e.at(panel, e.add(e.mul(dim, e.index(strip)), c)), 4 * e.lanes());
      }
    });
  });
  e.for_range("pack.tail_dims", e.index(whole), e.index(key.head_dim), e.index(1), [&](Index d) {
    e.for_range("pack.tail_dim", e.index(0), e.index(strip), e.index(1), [&](Index c) {
      e.store(e.load(e.at(source, e.add(e.mul(c, stride), d))).value, e.at(panel, e.add(e.mul(d, e.index(strip)), c)));
    });
  });
}

// The strip that kv_len cuts: for (d) for (c) panel[d][c] = c < count ? source[c][d] : 0;
void emit_ragged_strip(Emitter& e, const plan::KernelKey& key, Ptr source, Index stride, Ptr panel, Index count) {
  const std::int64_t strip = plan::layout_of(key).strip;
  e.for_range("pack.ragged", e.index(0), e.index(key.head_dim), e.index(1), [&](Index d) {
    const Ptr row = e.at(panel, e.mul(d, e.index(strip)));
    e.for_range("pack.copy", e.index(0), count, e.index(1),
                [&](Index c) { e.store(e.load(e.at(source, e.add(e.mul(c, stride), d))).value, e.at(row, c)); });
    e.for_range("pack.zero", count, e.index(strip), e.index(1),
                [&](Index c) { e.store(e.constant(0.0F).value, e.at(row, c)); });
  });
}

// for (row = kv_begin; row < min(kv_end, kv_len); ++row) v_rows[row][d] = d < v_head_dim ? v[row][d] : 0;
void emit_value_rows(Emitter& e, const plan::KernelKey& key, const Pack& pack) {
  const std::int64_t padded = plan::layout_of(key).v_padded;
  const std::int64_t whole = key.v_head_dim / e.lanes() * e.lanes();
  e.for_range("pack.v", pack.kv_begin, e.min(pack.kv_end, pack.kv_len), e.index(1), [&](Index row) {
    const Ptr source = e.at(pack.v.data, e.mul(row, pack.v.stride));
    const Ptr target = e.at(pack.v_rows, e.mul(row, e.index(padded)));
    e.for_range("pack.v.vector", e.index(0), e.index(whole), e.index(e.lanes()),
                [&](Index d) { e.store(e.load_vector(e.at(source, d)).value, e.at(target, d)); });
    e.for_range("pack.v.tail", e.index(whole), e.index(key.v_head_dim), e.index(1),
                [&](Index d) { e.store(e.load(e.at(source, d)).value, e.at(target, d)); });
    e.for_range("pack.v.zero", e.index(key.v_head_dim), e.index(padded), e.index(1),
                [&](Index d) { e.store(e.constant(0.0F).value, e.at(target, d)); });
  });
}

}  // namespace

void emit_pack(Emitter& e, const plan::KernelKey& key) {
  const plan::KernelLayout layout = plan::layout_of(key);
  const Pack pack = load_pack(e, e.begin_function("pack", "arg"));
  e.for_range("pack.strip", pack.kv_begin, pack.kv_end, e.index(layout.strip), [&](Index kv) {
    const Ptr source = e.at(pack.k.data, e.mul(kv, pack.k.stride));
    const Ptr panel = e.at(pack.k_panels, e.mul(kv, e.index(key.head_dim)));
    const Index left = e.sub(pack.kv_len, kv);
    e.if_else(
        "pack.is_ragged", e.less(left, e.index(layout.strip)),
        [&] { emit_ragged_strip(e, key, source, pack.k.stride, panel, left); },
        [&] { emit_whole_strip(e, key, source, pack.k.stride, panel); });
  });
  if (layout.packs_v) emit_value_rows(e, key, pack);
  e.end_function();
}

}  // namespace flexjit::codegen
