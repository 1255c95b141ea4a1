// A rank's keys -> a state; the states of all ranks -> the result, on all ranks.
#include "flexjit/mpi/decode.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "attention/checks.h"
#include "attention/rows.h"
#include "attention/shard_call.h"
#include "exchange/exchange.h"
#include "flexjit/merge_states.h"
#include "flexjit/shards.h"
#include "layout/failure.h"

namespace flexjit::mpi {

struct ShardedDecoder::Impl {
  Attention attention;  // of compile_shard(), with f32 output
  AttentionSpec spec;
  Communicator world;
  mutable Pool pool{};  // of calls, of which there is one at a time
};

namespace {

Diagnostics check(const AttentionSpec& spec, const DecodeArgs& args) {
  Diagnostics wrong;
  const DType kv = spec.kv_dtype.value_or(spec.dtype);
  const std::int64_t v_head_dim = spec.v_head_dim == 0 ? spec.head_dim : spec.v_head_dim;
  const auto &q = args.q.shape, &k = args.k.shape;
  check_tensor({"q", {spec.dtype}, {q[0], q[1], q[2], spec.head_dim}}, args.q, wrong);
  check_tensor({"k", {kv}, {q[0], k[1], k[2], spec.head_dim}}, args.k, wrong);
  check_tensor({"v", {kv}, {q[0], k[1], k[2], v_head_dim}}, args.v, wrong);
  check_tensor({"out", {spec.out_dtype.value_or(spec.dtype)}, {q[0], q[1], q[2], v_head_dim}}, args.out, wrong);
  if (args.lse.data != nullptr) check_tensor({"lse", {DType::kF32}, {q[0], q[1], q[2]}}, args.lse, wrong);
  if (k[1] < 1 || q[1] % k[1] != 0)
    wrong.push_back(failure("shape",
                            "q has " + std::to_string(q[1]) + " heads, no multiple of the " + std::to_string(k[1]) + " of k",
                            "decode")
                        .front());
  if (static_cast<std::int64_t>(args.kv_positions.size()) != k[2])
    wrong.push_back(failure("shape",
                            "kv_positions has " + std::to_string(args.kv_positions.size()) + " numbers for " +
                                std::to_string(k[2]) + " keys",
                            "decode")
                        .front());
  for (const std::int32_t position : args.kv_positions) {
    if (position >= 0 && position < args.kv_len) continue;
    wrong.push_back(
        failure("bad-option",
                "kv_positions has " + std::to_string(position) + ", outside of 0.." + std::to_string(args.kv_len - 1), "decode")
            .front());
    break;
  }
  return wrong;
}

// Of what must be the same on all ranks.
Fact sizes_of(const DecodeArgs& args) {
  Hash hash;
  for (const std::int64_t extent : args.q.shape) hash.add(extent);
  return {"lengths or heads", hash.add(args.k.shape[1]).add(args.kv_len).value()};
}

// Every block is looked at: to classify them would take longer than to compute them for a few queries.
Result<BlockMask> undecided(const DecodeArgs& args) {
  const BlockMaskShape shape{.q_len = static_cast<std::int32_t>(args.q.shape[2]),
                             .kv_len = static_cast<std::int32_t>(args.k.shape[2])};
  const std::vector<BlockKind> kinds(static_cast<std::size_t>(shape.q_blocks()) * static_cast<std::size_t>(shape.kv_blocks()),
                                     BlockKind::kPartial);
  return BlockMask::from_kinds(shape, kinds);
}

// Over this rank's keys.
Diagnostics run_part(const Attention& attention, const DecodeArgs& args, const MutableTensorView& out,
                     const MutableTensorView& lse) {
  fill(out, 0);
  fill(as_rows(lse), -std::numeric_limits<float>::infinity());
  if (args.k.shape[2] == 0 || args.q.shape[2] == 0) return {};
  const Result<BlockMask> mask = undecided(args);
  if (!mask) return mask.diagnostics();
  std::vector<std::int32_t> rows(static_cast<std::size_t>(args.q.shape[2]));
  std::iota(rows.begin(), rows.end(), 0);
  const Bindings bindings = bindings_of({.q_positions = rows,
                                         .kv_positions = args.kv_positions,
                                         .q_len = args.q.shape[2],
                                         .kv_len = args.kv_len,
                                         .heads = args.q.shape[1],
                                         .kv_heads = args.k.shape[1]},
                                        args.bindings);
  const Result<RunStats> done = attention.run(
      {.q = args.q, .k = args.k, .v = args.v, .out = out, .lse = lse, .bindings = &bindings, .block_mask = &*mask});
  return done ? Diagnostics{} : done.diagnostics();
}

// The states of all ranks, in their order, each out and lse one behind the other.
Diagnostics merge_all(const Communicator& world, Rows& mine, const DecodeArgs& args) {
  const auto [batch, heads, length, width] = mine.view().shape;
  const auto count = static_cast<std::size_t>(batch * heads * length * width);
  std::vector<float> all(count * static_cast<std::size_t>(world.size()));
  MPI_Allgather(mine.view().data, static_cast<int>(count), MPI_FLOAT, all.data(), static_cast<int>(count), MPI_FLOAT,
                world.get());
  if (count == 0) return {};
  std::vector<AttentionState> states;
  for (int rank = 0; rank < world.size(); ++rank) {
    TensorView rows(all.data() + count * static_cast<std::size_t>(rank), DType::kF32, {batch, heads, length, width});
    TensorView lse = rows;
    lse.data = static_cast<const float*>(rows.data) + width - 1;
    rows.shape[3] = width - 1;
    states.push_back({.v = rows, .lse = as_statistic(lse)});
  }
  const Status merged = merge_states({.states = states, .out = args.out, .lse = args.lse});
  return merged ? Diagnostics{} : merged.diagnostics();
}

}  // namespace

Result<ShardedDecoder> ShardedDecoder::make(Engine& engine, const AttentionSpec& spec, MPI_Comm comm) {
  const Communicator world = Communicator::duplicate(comm);
  const Fact given[] = {{"texts, types or flags", hash_of(spec)}};
  if (Diagnostics all = agree(world, check_spec(spec), given, "make"); !all.empty()) return all;
  AttentionSpec partial = spec;
  partial.out_dtype = DType::kF32;
  Result<Attention> attention = compile_shard(engine, partial);
  const Diagnostics wrong = attention ? Diagnostics{} : attention.diagnostics();
  if (Diagnostics all = agree(world, wrong, {}, "make"); !all.empty()) return all;
  return ShardedDecoder(std::make_shared<const Impl>(Impl{std::move(*attention), spec, world, {}}));
}

Status ShardedDecoder::run(const DecodeArgs& args) const {
  const Fact facts[] = {sizes_of(args)};
  if (Diagnostics all = agree(impl_->world, check(impl_->spec, args), facts, "decode"); !all.empty()) return all;
  Diagnostics wrong;
  exchange_or_abort(impl_->world, [&] {
    const auto& q = args.q.shape;
    const std::int64_t dim = args.out.shape[3];
    Rows state(impl_->pool, DType::kF32, {q[0], q[1], q[2], dim + 1});  // a row of out and its lse
    MutableTensorView out = state.view(), lse = state.view();
    out.shape[3] = dim;
    lse.data = static_cast<float*>(lse.data) + dim;
    wrong = run_part(impl_->attention, args, out, as_statistic(lse));
    Diagnostics merged = merge_all(impl_->world, state, args);
    if (wrong.empty()) wrong = std::move(merged);
  });
  if (Diagnostics all = agree(impl_->world, wrong, {}, "decode"); !all.empty()) return all;
  return Unit{};
}

}  // namespace flexjit::mpi
