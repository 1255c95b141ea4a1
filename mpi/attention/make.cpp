// Sizes, options and a spec on every rank -> the handle: agreed upon, dealt, cut into steps, compiled.
#include <utility>

#include "attention/checks.h"
#include "flexjit/shards.h"
#include "layout/failure.h"

namespace flexjit::mpi {

namespace {

using Impl = ShardedAttention::Impl;

// A ring's dealing -> that of all ranks: those that share heads have neighbours of what their rank of the ring has.
Layout with_members(const Layout& ring, std::int32_t members) {
  Layout made = ring;
  made.blocks.clear();
  for (const std::vector<std::int32_t>& blocks : ring.blocks) {
    const auto count = static_cast<std::int64_t>(blocks.size());
    for (std::int32_t m = 0; m < members; ++m)
      made.blocks.emplace_back(blocks.begin() + count * m / members, blocks.begin() + count * (m + 1) / members);
  }
  return made;
}

AttentionSpec with_defaults(AttentionSpec spec) {
  spec.kv_dtype = spec.kv_dtype.value_or(spec.dtype);
  spec.out_dtype = spec.out_dtype.value_or(spec.dtype);
  if (spec.v_head_dim == 0) spec.v_head_dim = spec.head_dim;
  return spec;
}

// No kernel is needed for a mask.
Result<BlockMask> derive_mask(const AttentionSpec& spec, const SequenceSizes& sizes, const Bindings* bindings) {
  EngineOptions options;
  options.backend = Backend::kReference;
  const Result<Attention> attention = Engine(options).compile(spec);
  if (!attention) return attention.diagnostics();
  return attention->create_block_mask({.batch = sizes.batch,
                                       .heads = sizes.q_heads,
                                       .kv_heads = sizes.kv_heads,
                                       .q_len = sizes.length,
                                       .kv_len = sizes.length,
                                       .q_block = sizes.block,
                                       .kv_block = sizes.block},
                                      bindings);
}

// What needs no other rank: the mask, the dealing, the steps and the kernel.
Diagnostics prepare(Engine& engine, Impl& impl, const Bindings* bindings, std::uint64_t& mask_hash) {
  const Result<BlockMask> mask = derive_mask(impl.spec, impl.sizes, bindings);
  if (!mask) return mask.diagnostics();
  const std::vector<std::uint8_t> bytes = mask->to_bytes();
  mask_hash = Hash().add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())).value();
  const Layout* given = std::exchange(impl.options.layout, nullptr);
  Result<Layout> ring = given != nullptr ? Result<Layout>(*given)
                                         : deal({&*mask, 1}, {.ranks = impl.ring.size(), .dealing = impl.options.dealing});
  if (!ring) return ring.diagnostics();
  impl.ring_layout = std::move(*ring);
  impl.layout = with_members(impl.ring_layout, impl.heads.size());
  impl.positions = impl.layout.positions(impl.world.rank());
  // Slices are what transfers are polled between; alone there are none.
  const StepsOf of{.mask = *mask,
                   .layout = impl.ring_layout,
                   .rank = impl.ring.rank(),
                   .first_head = impl.first_head(),
                   .heads = impl.q_heads(),
                   .slices = impl.ring.size() > 1 ? 4 : 1};
  Result<Steps> steps = impl.options.exchange == Exchange::kRing ? ring_steps(of) : gather_steps(of);
  if (!steps) return steps.diagnostics();
  impl.steps = std::move(*steps);
  AttentionSpec partial = impl.spec;  // whose results are merged before they are rounded
  partial.out_dtype = DType::kF32;
  Result<Attention> attention = compile_shard(engine, partial);
  if (!attention) return attention.diagnostics();
  impl.attention = std::move(*attention);
  return {};
}

bool mpi_runs() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

}  // namespace

Result<ShardedAttention> ShardedAttention::make(Engine& engine, const AttentionSpec& spec, const SequenceSizes& sizes,
                                                const SequenceOptions& options, const Bindings* bindings) {
  if (!mpi_runs()) return failure("no-mpi", "MPI is not running; call MPI_Init first", "make");
  const Communicator world = Communicator::duplicate(options.comm);
  Diagnostics wrong = check_sizes(sizes, options, world.size());
  if (wrong.empty()) wrong = check_spec(spec);
  const Fact given[] = {{"texts, types or flags", hash_of(spec)}, {"sizes or options", hash_of(sizes, options)}};
  if (Diagnostics all = agree(world, wrong, given, "make"); !all.empty()) return all;
  const int members = options.head_ranks;
  auto impl = std::make_shared<Impl>(Impl{.attention = {},
                                          .spec = with_defaults(spec),
                                          .sizes = sizes,
                                          .options = options,
                                          .world = world,
                                          .heads = world.split(world.rank() / members, world.rank()),
                                          .ring = world.split(world.rank() % members, world.rank()),
                                          .layout = {},
                                          .ring_layout = {},
                                          .positions = {},
                                          .steps = {}});
  std::uint64_t mask_hash = 0;
  wrong = prepare(engine, *impl, bindings, mask_hash);
  const Fact derived[] = {{"masks", mask_hash}};
  if (Diagnostics all = agree(world, wrong, derived, "make"); !all.empty()) return all;
  return ShardedAttention(std::move(impl));
}

const Layout& ShardedAttention::layout() const noexcept { return impl_->layout; }
std::span<const std::int32_t> ShardedAttention::positions() const noexcept { return impl_->positions; }

}  // namespace flexjit::mpi
