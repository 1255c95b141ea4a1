// The caller's rows -> what the backward nest multiplies: rows of reals padded with zeros to whole vectors, panels of keys and
// values, what is the same for all pairs of a row; and sums of gradients -> the caller's elements, rounded once.
#include <cstddef>

#include "codegen/backward/gradient_tile.h"
#include "codegen/emit/storage.h"
#include "codegen/parts/element_rows.h"
#include "codegen/parts/panels.h"
#include "codegen/parts/product.h"
#include "plan/kernel_abi.h"

namespace flexjit::codegen {
namespace {

using plan::GiveRowsArg;
using plan::GradientRow;
using plan::GradientsArg;
using plan::TakeKeysArg;
using plan::TakeRowsArg;

// The same where elements lie `stride` apart.
void copy_strided_row(Emitter& e, Ptr source, const ElementsOf& of, Index stride, Ptr target) {
  const std::int64_t padded = (of.dims + e.lanes() - 1) / e.lanes() * e.lanes();
  e.for_range("take.strided", e.index(0), e.index(of.dims), e.index(1), [&](Index d) {
    const Ptr address = e.anywhere(source, e.mul(e.mul(d, stride), e.index(static_cast<std::int64_t>(size_of(of.dtype)))));
    e.store(e.to_real(load_element(e, address, of.dtype)).value, e.at_real(target, d));
  });
  e.for_range("take.padding", e.index(of.dims), e.index(padded), e.index(1),
              [&](Index d) { e.store(e.real(0.0).value, e.at_real(target, d)); });
}

// if (any element of rows[row] is not finite) *flag = 1
void note_not_finite(Emitter& e, const RealRows& rows, Index row, Ptr flag) {
  const Float zeros = e.broadcast(e.real(0.0));
  const Values sum = e.for_range("finite", e.index(0), e.index(rows.stride), e.index(e.lanes()), {zeros.value},
                                 [&](Index d, const Values& sums) {
                                   const Float x = rows.load_vector(row, d);
                                   return Values{e.add(Float{sums[0]}, e.mul(x, zeros)).value};
                                 });
  e.if_then("not_finite", e.any(e.compare(FloatOrder::kNe, Float{sum[0]}, zeros)), [&] { e.store(e.index(1).value, flag, 8); });
}

// pointer ? *pointer as a real : otherwise
Float load_or(Emitter& e, const char* name, Ptr pointer, double otherwise) {
  return {e.choose(
      name, Bool{e.ir().CreateIsNotNull(pointer.value)}, [&] { return e.to_real(e.load(pointer)).value; },
      [&] { return e.real(otherwise).value; })};
}

// Of a row that has one.
Float load_lse(Emitter& e, Ptr pointer, Bool is_f64) {
  if (!is_f64) return e.to_real(e.load(pointer));
  return {e.choose(
      "lse_f64", is_f64, [&] { return e.load_real(pointer).value; }, [&] { return e.to_real(e.load(pointer)).value; })};
}

Bool load_flag(Emitter& e, const ArgFields& fields, std::size_t offset) {
  return e.logical_not(e.equal(fields.long_index(offset), e.index(0)));
}

// Rows whose deltas are summed side by side, since each waits for its own multiply-adds.
constexpr int kDeltaRows = 4;

// What take_rows fills.
struct TakenRows {
  const plan::KernelKey& key;
  const RealRows q, grad_out, lse, delta;
  Index grad_out_stride;
  Bool grad_out_f32, lse_f64;
  Float scale;
};

// grad_out[row] = the caller's, or zeros
void take_grad_out(Emitter& e, const TakenRows& to, Ptr source, Index row) {
  const auto take = [&](DType dtype) {
    const ElementsOf elements{dtype, to.key.v_head_dim};
    e.if_else(
        "dense", e.equal(to.grad_out_stride, e.index(1)),
        [&] { copy_row(e, "take.grad_out", source, elements, to.grad_out.at(row), Float{}); },
        [&] { copy_strided_row(e, source, elements, to.grad_out_stride, to.grad_out.at(row)); });
  };
  e.if_else(
      "grad_out", Bool{e.ir().CreateIsNotNull(source.value)},
      [&] { of_either_type(e, to.key.types.out, to.grad_out_f32, take); }, [&] { to.grad_out.clear(row); });
}

// lse[row] = lse, 0 where it is -inf
void take_lse(Emitter& e, const TakenRows& to, const ArgFields& source, Index row) {
  const Float lse = load_lse(e, source.pointer(offsetof(GradientRow, lse)), to.lse_f64);
  const Float counted = e.select(e.compare(FloatOrder::kEq, lse, e.lowest()), e.real(0.0), lse);
  e.store(counted.value, to.lse.at(row), static_cast<int>(e.real_bytes()));
}

// delta[row] = sum of grad_out[row] * out, less grad_lse, of some rows side by side. It is summed dim after dim, as the tiles
// sum dO V: where one key has all the weight, so that its value is the output, the two are the same number.
void take_delta(Emitter& e, const TakenRows& to, llvm::function_ref<ArgFields(Index)> source_of, Index first, int count) {
  const DType dtype = to.key.types.out;
  llvm::SmallVector<ArgFields, kDeltaRows> sources;
  llvm::SmallVector<Ptr, kDeltaRows> outs;
  Values zeros;
  for (int r = 0; r < count; ++r) {
    sources.push_back(source_of(e.add(first, e.index(r))));
    outs.push_back(sources.back().pointer(offsetof(GradientRow, out)));
    zeros.push_back(e.real(0.0).value);
  }
  const auto add = [&](Index d, const Values& sums) {
    const Ptr grad_out = to.grad_out.at(first, d);
    Values next;
    for (int r = 0; r < count; ++r) {
      const auto i = static_cast<std::size_t>(r);
      const Float out = e.to_real(load_element(e, at_element(e, outs[i], d, dtype), dtype));
      next.push_back(e.fma(e.load_real(e.at_real(grad_out, e.index(r * to.grad_out.stride))), out, Float{sums[i]}).value);
    }
    return next;
  };
  const Values sums = e.for_range("delta.dim", e.index(0), e.index(to.key.v_head_dim), e.index(1), zeros, add);
  for (int r = 0; r < count; ++r) {
    const auto i = static_cast<std::size_t>(r);
    const Float of_lse = load_or(e, "grad_lse", sources[i].pointer(offsetof(GradientRow, grad_lse)), 0.0);
    e.store(e.sub(Float{sums[i]}, of_lse).value, to.delta.at(e.add(first, e.index(r))), static_cast<int>(e.real_bytes()));
  }
}

void emit_take_rows(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("take_rows", "arg");
  const SourceScope part = e.part(plan::Part::kQueries);
  const ArgFields fields{e, arg};
  const plan::KernelLayout layout = plan::layout_of(key);
  const Ptr launch = fields.pointer(offsetof(TakeRowsArg, launch)), rows = fields.pointer(offsetof(TakeRowsArg, rows));
  const auto target = [&](std::size_t offset, std::int64_t stride) { return RealRows{e, fields.pointer(offset), {}, stride}; };
  const TakenRows to{.key = key,
                     .q = target(offsetof(TakeRowsArg, q_rows), layout.k_padded),
                     .grad_out = target(offsetof(TakeRowsArg, grad_out_rows), layout.v_padded),
                     .lse = target(offsetof(TakeRowsArg, lse), 1),
                     .delta = target(offsetof(TakeRowsArg, delta), 1),
                     .grad_out_stride = fields.long_index(offsetof(TakeRowsArg, grad_out_stride)),
                     .grad_out_f32 = load_flag(e, fields, offsetof(TakeRowsArg, grad_out_f32)),
                     .lse_f64 = emit_lse_f64(e, launch),
                     .scale = load_scale(e, launch)};
  const Ptr not_finite = fields.pointer(offsetof(TakeRowsArg, not_finite));
  const Index count = fields.long_index(offsetof(TakeRowsArg, count));
  const auto source_of = [&](Index row) { return ArgFields{e, e.at(rows, e.mul(row, e.index(sizeof(GradientRow) / 4)))}; };
  e.for_range("take", e.index(0), count, e.index(1), [&](Index row) {
    const ArgFields source = source_of(row);
    copy_row(e, "take.q", source.pointer(offsetof(GradientRow, q)), {key.types.q, key.head_dim}, to.q.at(row), to.scale);
    take_grad_out(e, to, source.pointer(offsetof(GradientRow, grad_out)), row);
    note_not_finite(e, to.q, row, not_finite);
    note_not_finite(e, to.grad_out, row, not_finite);
    if (is_relative(key.weights)) take_lse(e, to, source, row);
  });
  if (is_relative(key.weights)) {
    for_row_chunks(e, "delta", count, kDeltaRows, [&](Index row, int many) { take_delta(e, to, source_of, row, many); });
  }
  e.end_function();
}

void emit_take_keys(Emitter& e, const plan::KernelKey& key) {
  const Ptr arg = e.begin_function("take_keys", "arg");
  const ArgFields fields{e, arg};
  const KeyRows run = load_key_run(e, fields.pointer(offsetof(TakeKeysArg, run)));
  const PanelKeys keys{.begin = fields.long_index(offsetof(TakeKeysArg, kv_begin)),
                       .end = fields.long_index(offsetof(TakeKeysArg, kv_end)),
                       .length = fields.long_index(offsetof(TakeKeysArg, kv_len))};
  const SourceScope part = e.part(plan::Part::kPackKeys);
  emit_panels(e, {run.k, key.types.kv, key.head_dim, false}, keys, fields.pointer(offsetof(TakeKeysArg, k_panels)));
  emit_panels(e, {run.v, key.types.kv, key.v_head_dim, false}, keys, fields.pointer(offsetof(TakeKeysArg, v_panels)));
  const RealRows rows{e, fields.pointer(offsetof(TakeKeysArg, k_rows)), {}, plan::layout_of(key).k_padded};
  const Ptr not_finite = fields.pointer(offsetof(TakeKeysArg, not_finite));
  const auto for_keys = [&](llvm::function_ref<void(Index)> body) {
    e.for_range("take", keys.begin, e.min(keys.end, keys.length), e.index(1), body);
  };
  e.if_then("k_rows", Bool{e.ir().CreateIsNotNull(rows.base.value)}, [&] {
    e.if_then("copied", Bool{e.ir().CreateICmpNE(rows.base.value, run.k.data.value)}, [&] {
      for_keys([&](Index kv) {
        copy_row(e, "take.k", row_of(e, run.k, key.types.kv, kv), {key.types.kv, key.head_dim}, rows.at(kv), Float{});
      });
    });
    for_keys([&](Index kv) { note_not_finite(e, rows, kv, not_finite); });
  });
  e.end_function();
}

// for (r = 0; r < count; ++r) target[r] = factor * rows[r]
void emit_give_rows(Emitter& e, const char* name, const ElementsOf& of, std::int64_t padded) {
  const Ptr arg = e.begin_function(name, "arg");
  const SourceScope part = e.part(plan::Part::kOutput);
  const ArgFields fields{e, arg};
  const RealRows rows{e, fields.pointer(offsetof(GiveRowsArg, rows)), {}, padded};
  const Rows target{fields.pointer(offsetof(GiveRowsArg, target)), fields.long_index(offsetof(GiveRowsArg, stride))};
  const Float factor = load_f64(e, e.at_byte(arg, offsetof(GiveRowsArg, factor)));
  const Index count = fields.long_index(offsetof(GiveRowsArg, count));
  of_either_type(e, of.dtype, load_flag(e, fields, offsetof(GiveRowsArg, as_f32)), [&](DType dtype) {
    e.for_range("give", e.index(0), count, e.index(1),
                [&](Index row) { give_row(e, "give", rows.at(row), row_of(e, target, dtype, row), {dtype, of.dims}, factor); });
  });
  e.end_function();
}

}  // namespace

GradientItem load_gradient_item(Emitter& e, const plan::KernelKey& key, Ptr arg) {
  const ArgFields tile{e, arg};
  GradientItem item;
  static_cast<TileItem&>(item) = load_tile_item(e, key, arg, {offsetof(GradientsArg, scratch), offsetof(GradientsArg, fault)});
  item.q_rows = tile.pointer(offsetof(GradientsArg, q_rows), "q_rows");
  item.grad_out_rows = tile.pointer(offsetof(GradientsArg, grad_out_rows), "grad_out_rows");
  item.lse = tile.pointer(offsetof(GradientsArg, lse), "lse");
  item.delta = tile.pointer(offsetof(GradientsArg, delta), "delta");
  item.k_panels = tile.pointer(offsetof(GradientsArg, k_panels), "k_panels");
  item.v_panels = tile.pointer(offsetof(GradientsArg, v_panels), "v_panels");
  item.k_rows = tile.pointer(offsetof(GradientsArg, k_rows), "k_rows");
  item.grad_q = tile.pointer(offsetof(GradientsArg, grad_q), "grad_q");
  item.grad_k = tile.pointer(offsetof(GradientsArg, grad_k), "grad_k");
  item.grad_v = tile.pointer(offsetof(GradientsArg, grad_v), "grad_v");
  item.sums = tile.pointer(offsetof(GradientsArg, sums), "sums");
  item.careful = load_flag(e, tile, offsetof(GradientsArg, careful));
  return item;
}

void emit_gradient_rows(Emitter& e, const plan::KernelKey& key) {
  const plan::KernelLayout layout = plan::layout_of(key);
  emit_take_rows(e, key);
  emit_take_keys(e, key);
  emit_give_rows(e, "give_q", {key.types.q, key.head_dim}, layout.k_padded);
  emit_give_rows(e, "give_k", {key.types.kv, key.head_dim}, layout.k_padded);
  emit_give_rows(e, "give_v", {key.types.kv, key.v_head_dim}, layout.v_padded);
}

}  // namespace flexjit::codegen
