// LinearState: memory of the kernel's states between calls, and its numbers without what pads them.
#include "flexjit/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "call/linear/linear_call.h"
#include "diagnostics/guard.h"
#include "engine/launch_outcome.h"
#include "engine/linear/linear.h"
#include "runtime/workspace.h"

namespace flexjit {

using engine::Finding;

// The bytes of a saved state begin with it.
struct SavedState {
  std::int64_t magic = 0x544C4A464C454146;
  std::int64_t sequences = 0, states = 0, features = 0, v_head_dim = 0, real_bytes = 0, keys = 0;
};

struct LinearState::Impl {
  Attention attention;
  LinearStateOptions options;
  Bindings bindings;
  runtime::LinearCall call;
  std::vector<plan::Sequence> sequences;
  runtime::AlignedBuffer memory;
  std::int64_t keys = 0;

  const engine::Pattern& pattern() const { return *attention.impl().pattern; }
  const runtime::Kernel& kernel() const { return attention.impl().kernel->kernel; }
  const plan::KernelLayout& layout() const { return kernel().layout; }
  std::int64_t states() const { return call.by_head ? options.q_heads : options.kv_heads; }
  std::size_t state_bytes() const { return static_cast<std::size_t>(layout().state_bytes); }
  std::size_t count() const { return static_cast<std::size_t>(options.batch * states()); }
  SavedState description() const {
    return {.sequences = options.batch,
            .states = states(),
            .features = layout().linear.features,
            .v_head_dim = layout().v_head_dim,
            .real_bytes = layout().cell_bytes,
            .keys = keys};
  }
  // visit(its bytes, whether they are in `memory` one row of values or sums after the other): the numbers without padding.
  template <typename Visit>
  void visit_rows(const Visit& visit) const {
    const plan::KernelLayout& of = layout();
    const auto real = static_cast<std::size_t>(of.cell_bytes), row = static_cast<std::size_t>(of.v_padded) * real;
    for (std::size_t i = 0; i < count(); ++i) {
      std::byte* state = memory.data() + i * state_bytes();
      for (std::int32_t f = 0; f < of.linear.features; ++f)
        visit(state + static_cast<std::size_t>(f) * row, static_cast<std::size_t>(of.v_head_dim) * real);
      visit(state + static_cast<std::size_t>(of.f_padded) * row, static_cast<std::size_t>(of.linear.features) * real);
    }
  }
  std::size_t saved_bytes() const {
    std::size_t bytes = sizeof(SavedState);
    visit_rows([&](const std::byte*, std::size_t row) { bytes += row; });
    return bytes;
  }

  Result<RunStats> advance(const char* verb, const LinearTokens& tokens, bool with_queries);
};

LinearState::LinearState() noexcept = default;
LinearState::~LinearState() = default;
LinearState::LinearState(LinearState&&) noexcept = default;
LinearState& LinearState::operator=(LinearState&&) noexcept = default;

namespace {

// Whether the mask lets query i of n see the keys up to its own, whatever n is.
bool ends_at_own_key(const engine::LinearPattern& linear, const engine::Bound& bound, const LinearStateOptions& options) {
  ir::Environment environment = bound.environment;
  for (const std::int32_t length : {1, 7}) {
    environment.q_len = environment.kv_len = length;
    for (std::int32_t h = 0; h < (linear.by_head ? options.q_heads : 1); ++h)
      if (engine::diagonal_of(linear.diagonals, environment, 0, h) != 0) return false;
  }
  return true;
}

// Null: a state can be made.
const char* why_none(const Attention::Impl& impl) {
  if (!impl.pattern->linear) return "the pattern has other weights";
  if (impl.kernel == nullptr) return "there is no kernel, which the reference does without";
  return impl.pattern->linear->causal() ? nullptr : "give a causal mask: a query cannot meet keys to come";
}

void check_options(const LinearStateOptions& options, engine::Report& report) {
  const auto check = [&](const char* name, std::int32_t value) {
    if (value < 1) report.add(Finding::kBadOption, name, value, "give 1 or more");
  };
  check("batch", options.batch);
  check("q_heads", options.q_heads);
  check("kv_heads", options.kv_heads);
  if (report.empty() && options.q_heads % options.kv_heads != 0)
    report.add(Finding::kHeadGroups, options.q_heads, options.kv_heads);
}

}  // namespace

Result<LinearState> LinearState::create(const Attention& attention, const LinearStateOptions& options) {
  return engine::guarded("LinearState::create", attention, [&]() -> Result<LinearState> {
    engine::Report report("LinearState::create");
    const Attention::Impl& impl = attention.impl();
    const engine::Pattern& pattern = *impl.pattern;
    const char* hint = why_none(impl);
    if (hint != nullptr) return engine::single_finding("LinearState::create", Finding::kNotLinear, "a state", hint);
    check_options(options, report);
    if (!report.empty()) return report.take();
    const engine::CallShape shape{
        .batch = options.batch, .q_heads = options.q_heads, .kv_heads = options.kv_heads, .q_len = 1, .kv_len = 1};
    const engine::Bound bound = engine::bind_names(pattern.interface, options.bindings, shape, report);
    if (report.empty()) engine::check_linear_call(pattern, {}, bound, report);
    if (report.empty() && !ends_at_own_key(*pattern.linear, bound, options))
      report.add(Finding::kNotLinear, "a state",
                 "its mask must let a query see the keys up to its own, as AttentionSpec::causal");
    if (!report.empty()) return report.take();

    LinearState state;
    state.impl_ = std::make_unique<Impl>();
    Impl& made = *state.impl_;
    made.attention = attention;
    made.options = options;
    if (options.bindings != nullptr) made.bindings = *options.bindings;
    made.call = {.matrix = engine::feature_matrix_of(pattern, bound, impl.kernel->kernel.layout),
                 .eps = pattern.linear->eps,
                 .by_head = pattern.linear->by_head,
                 .causal = true};
    made.memory.reserve(made.count() * made.state_bytes());
    std::memset(made.memory.data(), 0, made.count() * made.state_bytes());
    return Result<LinearState>(std::move(state));
  });
}

// Queries that are not there have no rows.
Result<RunStats> LinearState::Impl::advance(const char* verb, const LinearTokens& tokens, bool with_queries) {
  RunArgs args{.q = tokens.q, .k = tokens.k, .v = tokens.v, .out = tokens.out, .bindings = &bindings};
  if (!with_queries) {
    const engine::Pattern& of = pattern();
    args.q = TensorView(static_cast<const void*>(nullptr), of.types.q, {options.batch, options.q_heads, 0, of.head_dim});
    args.out = MutableTensorView(static_cast<void*>(nullptr), of.types.out, {options.batch, options.q_heads, 0, of.v_head_dim});
  }
  engine::Report report(verb);
  std::optional<engine::Call> checked = engine::check_call(pattern(), args, report);
  if (!checked) return report.take();
  const auto expect = [&](const char* tensor, const char* what, std::int64_t extent, std::int64_t wanted) {
    if (extent != wanted) report.add(Finding::kTensorShape, tensor, what, extent, "the state", wanted);
  };
  expect("k", "batch", args.k.shape[0], options.batch);
  expect("k", "kv_heads", args.k.shape[1], options.kv_heads);
  expect("q", "q_heads", args.q.shape[1], options.q_heads);
  if (with_queries && args.q.shape[2] != args.k.shape[2])
    report.add(Finding::kTensorShape, "q", "tokens", args.q.shape[2], "k", args.k.shape[2]);
  if (args.k.shape[2] > engine::kMaxLength - keys)
    report.add(Finding::kLengthLimit, "keys of a sequence", keys + args.k.shape[2], engine::kMaxLength);
  if (!report.empty()) return report.take();

  const Attention::Impl& impl = attention.impl();
  engine::Launch launch = engine::make_launch(pattern(), args, *checked);
  launch.arg.block_counts = impl.block_counts;
  const runtime::LinearMemory of{
      .states = memory.data(), .keys = keys, .tokens = checked->shape.kv_len, .queries = with_queries};
  const runtime::LaunchOutcome outcome =
      runtime::advance_linear(kernel(), launch.arg, call, checked->sequences, of, engine::workers_of(impl, args));
  keys += checked->shape.kv_len;
  return engine::finish(impl, *checked, outcome, {});
}

Result<RunStats> LinearState::append(const LinearTokens& tokens) {
  return engine::guarded("LinearState::append", *this, [&] { return impl_->advance("LinearState::append", tokens, false); });
}

Result<RunStats> LinearState::step(const LinearTokens& tokens) {
  return engine::guarded("LinearState::step", *this, [&] { return impl_->advance("LinearState::step", tokens, true); });
}

std::int64_t LinearState::keys() const noexcept { return impl_ != nullptr ? impl_->keys : 0; }

std::size_t LinearState::bytes() const noexcept { return impl_ != nullptr ? impl_->count() * impl_->state_bytes() : 0; }

Result<std::vector<std::byte>> LinearState::save() const {
  return engine::guarded("LinearState::save", *this, [&]() -> Result<std::vector<std::byte>> {
    std::vector<std::byte> saved(impl_->saved_bytes());
    const SavedState description = impl_->description();
    std::memcpy(saved.data(), &description, sizeof(description));
    std::byte* to = saved.data() + sizeof(description);
    impl_->visit_rows([&](const std::byte* row, std::size_t bytes) {
      std::memcpy(to, row, bytes);
      to += bytes;
    });
    return saved;
  });
}

Status LinearState::load(std::span<const std::byte> saved) {
  return engine::guarded("LinearState::load", *this, [&]() -> Status {
    SavedState given, own = impl_->description();
    const bool whole = saved.size() == impl_->saved_bytes();
    if (whole) std::memcpy(&given, saved.data(), sizeof(given));
    own.keys = given.keys;
    if (!whole || std::memcmp(&given, &own, sizeof(own)) != 0 || given.keys < 0 || given.keys > engine::kMaxLength)
      return engine::single_finding("LinearState::load", Finding::kBadOption, "saved", fmt::format("{} bytes", saved.size()),
                                    "give what save() of a state of this pattern, batch and heads gave");
    const std::byte* from = saved.data() + sizeof(given);
    impl_->visit_rows([&](std::byte* row, std::size_t bytes) {
      std::memcpy(row, from, bytes);
      from += bytes;
    });
    impl_->keys = given.keys;
    return Unit{};
  });
}

}  // namespace flexjit
