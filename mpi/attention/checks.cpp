// Kernels check tensors too, but behind messages that read them.
#include "attention/checks.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <vector>

#include "layout/failure.h"

namespace flexjit::mpi {

namespace {

void append(Diagnostics& all, Diagnostics more) { std::ranges::move(more, std::back_inserter(all)); }

std::string words_of(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + ")";
}

std::string words_of(const std::vector<DType>& dtypes) {
  std::string text;
  for (const DType dtype : dtypes) text += (text.empty() ? "" : " or ") + std::string(name_of(dtype));
  return text;
}

bool is_wire_type(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16; }

Wanted wanted(const ShardedAttention::Impl& impl, std::string name, std::vector<DType> dtypes, std::int64_t heads,
              std::int64_t dim) {
  return {std::move(name), std::move(dtypes), {impl.sizes.batch, heads, impl.tokens(), dim}};
}

Wanted statistic(const ShardedAttention::Impl& impl, std::string name) {
  return {std::move(name), {DType::kF32}, {impl.sizes.batch, impl.sizes.q_heads, impl.tokens()}};
}

std::vector<DType> or_f32(DType dtype) {
  if (dtype == DType::kF32) return {dtype};
  return {dtype, DType::kF32};
}

// Of every block once, each rank's ascending.
bool is_layout_of(const Layout& layout, const SequenceSizes& sizes, int ranks) {
  if (layout.length != sizes.length || layout.block != sizes.block || layout.ranks() != ranks) return false;
  std::vector<std::int32_t> all;
  for (const std::vector<std::int32_t>& blocks : layout.blocks) {
    if (!std::ranges::is_sorted(blocks)) return false;
    all.insert(all.end(), blocks.begin(), blocks.end());
  }
  std::ranges::sort(all);
  if (static_cast<std::int64_t>(all.size()) != layout.block_count()) return false;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i] != static_cast<std::int32_t>(i)) return false;
  return true;
}

}  // namespace

Diagnostics check_spec(const AttentionSpec& spec) {
  Diagnostics wrong;
  const auto refuse = [&](const std::string& message) { append(wrong, failure("bad-option", message, "make")); };
  if (spec.weights != Weights::kSoftmax) refuse("weights are no softmax; partial results of others are not merged here");
  if (!is_wire_type(spec.dtype)) refuse("dtype is " + std::string(name_of(spec.dtype)) + "; give f32, bf16 or f16");
  if (spec.kv_dtype && !is_wire_type(*spec.kv_dtype))
    refuse("kv_dtype is " + std::string(name_of(*spec.kv_dtype)) + "; give f32, bf16 or f16");
  return wrong;
}

Diagnostics check_sizes(const SequenceSizes& sizes, const SequenceOptions& options, int ranks) {
  Diagnostics wrong;
  const auto at_least_one = [&](const char* name, std::int64_t value) {
    if (value < 1)
      append(wrong, failure("bad-option", std::string(name) + " is " + std::to_string(value) + "; give 1 or more", "make"));
  };
  at_least_one("batch", sizes.batch);
  at_least_one("q_heads", sizes.q_heads);
  at_least_one("kv_heads", sizes.kv_heads);
  at_least_one("length", sizes.length);
  at_least_one("block", sizes.block);
  at_least_one("head_ranks", options.head_ranks);
  at_least_one("message_bytes", options.message_bytes);
  if (options.message_bytes > 0x7fffffff) append(wrong, failure("bad-option", "message_bytes is above 2^31 - 1", "make"));
  if (!wrong.empty()) return wrong;
  if (sizes.q_heads % sizes.kv_heads != 0)
    append(wrong, failure("bad-option",
                          "q_heads is " + std::to_string(sizes.q_heads) + ", no multiple of kv_heads " +
                              std::to_string(sizes.kv_heads),
                          "make"));
  if (ranks % options.head_ranks != 0 || sizes.kv_heads % options.head_ranks != 0)
    append(wrong, failure("bad-option",
                          "head_ranks is " + std::to_string(options.head_ranks) + "; it must divide the " +
                              std::to_string(ranks) + " ranks and the " + std::to_string(sizes.kv_heads) + " kv_heads",
                          "make"));
  else if (options.layout != nullptr && !is_layout_of(*options.layout, sizes, ranks / options.head_ranks))
    append(wrong, failure("bad-option",
                          "layout is not one of " + std::to_string(sizes.length) + " tokens in blocks of " +
                              std::to_string(sizes.block) + " over " + std::to_string(ranks / options.head_ranks) +
                              " ranks, with every block once and those of a rank ascending",
                          "make"));
  return wrong;
}

void check_tensor(const Wanted& wanted, const TensorView& view, Diagnostics& wrong) {
  const auto refuse = [&](const char* kind, const std::string& message) {
    append(wrong, failure(kind, wanted.name + message, "run"));
  };
  if (std::ranges::find(wanted.dtypes, view.dtype) == wanted.dtypes.end())
    refuse("dtype", " is " + std::string(name_of(view.dtype)) + "; give " + words_of(wanted.dtypes));
  const auto rank = wanted.shape.size();
  if (view.rank != static_cast<int>(rank) || !std::equal(wanted.shape.begin(), wanted.shape.end(), view.shape.begin())) {
    const std::size_t kept = static_cast<std::size_t>(std::clamp(view.rank, 0, kMaxRank));
    return refuse("shape", " is " + words_of(std::span(view.shape).first(kept)) + "; the rows of this rank make it " +
                               words_of(wanted.shape));
  }
  if (std::ranges::find(wanted.shape, 0) != wanted.shape.end()) return;
  if (view.data == nullptr) refuse("null-data", " has no data");
  if (rank == kMaxRank && view.strides[3] != 1 && view.shape[3] > 1) refuse("stride", "'s innermost stride is not 1");
}

Diagnostics check_run(const ShardedAttention::Impl& impl, const ShardArgs& args) {
  Diagnostics wrong;
  const AttentionSpec& spec = impl.spec;
  check_tensor(wanted(impl, "q", {spec.dtype}, impl.sizes.q_heads, spec.head_dim), args.q, wrong);
  check_tensor(wanted(impl, "k", {*spec.kv_dtype}, impl.sizes.kv_heads, spec.head_dim), args.k, wrong);
  check_tensor(wanted(impl, "v", {*spec.kv_dtype}, impl.sizes.kv_heads, spec.v_head_dim), args.v, wrong);
  check_tensor(wanted(impl, "out", {*spec.out_dtype}, impl.sizes.q_heads, spec.v_head_dim), args.out, wrong);
  if (args.lse.data != nullptr) check_tensor(statistic(impl, "lse"), args.lse, wrong);
  if (args.sinks.data != nullptr) check_tensor({"sinks", {DType::kF32}, {impl.sizes.q_heads}}, args.sinks, wrong);
  return wrong;
}

Diagnostics check_backward(const ShardedAttention::Impl& impl, const ShardArgs& forward, const ShardGradients& gradients) {
  Diagnostics wrong = check_run(impl, forward);
  const AttentionSpec& spec = impl.spec;
  const SequenceSizes& sizes = impl.sizes;
  if (forward.lse.data == nullptr && impl.tokens() > 0)
    append(wrong, failure("missing-lse", "gradients need the lse that run() wrote", "run_backward"));
  check_tensor(wanted(impl, "the gradient of out", or_f32(*spec.out_dtype), sizes.q_heads, spec.v_head_dim), gradients.out,
               wrong);
  const auto check = [&](const Wanted& of, const TensorView& view) {
    if (view.data != nullptr) check_tensor(of, view, wrong);
  };
  check(statistic(impl, "the gradient of lse"), gradients.lse);
  check(wanted(impl, "the gradient of q", or_f32(spec.dtype), sizes.q_heads, spec.head_dim), gradients.q);
  check(wanted(impl, "the gradient of k", or_f32(*spec.kv_dtype), sizes.kv_heads, spec.head_dim), gradients.k);
  check(wanted(impl, "the gradient of v", or_f32(*spec.kv_dtype), sizes.kv_heads, spec.v_head_dim), gradients.v);
  check({"the gradient of sinks", {DType::kF32}, {sizes.q_heads}}, gradients.sinks);
  if (gradients.sinks.data != nullptr && forward.sinks.data == nullptr)
    append(wrong, failure("bad-option", "a gradient of sinks is wanted where there are none", "run_backward"));
  for (const auto& [name, view] : gradients.buffers) {
    std::int64_t step = 1;
    bool dense = view.dtype == DType::kF32 && view.rank >= 1 && view.rank <= kMaxRank && view.data != nullptr;
    for (int d = view.rank; dense && d-- > 0; step *= view.shape[static_cast<std::size_t>(d)])
      dense = view.shape[static_cast<std::size_t>(d)] <= 1 || view.strides[static_cast<std::size_t>(d)] == step;
    if (!dense)
      append(wrong, failure("bad-option", "the gradient of buffer `" + name + "` is no dense f32 tensor", "run_backward"));
  }
  return wrong;
}

// Names all members of the spec, so that one that is added is looked at here. What check_spec() refuses is not among the facts,
// nor is the name that diagnostics show.
std::uint64_t hash_of(const AttentionSpec& spec) {
  const auto& [program, program_name, score_mod, mask_mod, buffers, params, language, dtype, kv_dtype, kv_scale_dims, out_dtype,
               head_dim, v_head_dim, scale, causal, window, softcap, alibi, key_lengths, key_mask, attention_mask, weights,
               linear, dropout] = spec;
  Hash hash;
  hash.add(program).add(score_mod).add(mask_mod).add(static_cast<std::int64_t>(language));
  const auto real = [&](const std::optional<double>& value) {
    hash.add(value ? 1 : 0).add(value ? std::bit_cast<std::int64_t>(*value) : 0);
  };
  for (const BufferDeclaration& buffer : buffers)
    hash.add(buffer.name).add(static_cast<std::int64_t>(buffer.dtype)).add(buffer.rank);
  for (const ParamDeclaration& param : params) hash.add(param.name).add(static_cast<std::int64_t>(param.default_value.index()));
  for (const DType type : {dtype, kv_dtype.value_or(dtype), out_dtype.value_or(dtype)})
    hash.add(static_cast<std::int64_t>(type));
  hash.add(head_dim).add(v_head_dim == 0 ? head_dim : v_head_dim);
  real(scale);
  real(softcap);
  for (const bool flag : {causal, alibi, key_lengths, key_mask}) hash.add(flag ? 1 : 0);
  if (window) hash.add("window").add(window->left).add(window->right);
  if (attention_mask)
    hash.add("attention_mask").add(static_cast<std::int64_t>(attention_mask->dtype)).add(attention_mask->rank);
  if (dropout) {
    hash.add("dropout").add(static_cast<std::int64_t>(dropout->generator));
    real(dropout->p);
  }
  return hash.value();
}

std::uint64_t hash_of(const SequenceSizes& sizes, const SequenceOptions& options) {
  Hash hash;
  for (const std::int64_t number : {std::int64_t{sizes.batch}, std::int64_t{sizes.q_heads}, std::int64_t{sizes.kv_heads},
                                    std::int64_t{sizes.length}, std::int64_t{sizes.block}, std::int64_t{options.head_ranks},
                                    std::int64_t(options.exchange), std::int64_t(options.dealing), options.message_bytes})
    hash.add(number);
  if (options.layout != nullptr) {
    for (const std::vector<std::int32_t>& blocks : options.layout->blocks) {
      hash.add(static_cast<std::int64_t>(blocks.size()));
      for (const std::int32_t block : blocks) hash.add(block);
    }
  }
  return hash.value();
}

}  // namespace flexjit::mpi
