// Longformer's second pass: the global rows of a sequence gathered, attended to by keys of their own and scattered over what
// the first pass wrote, which is 0 there, since its mask lets them see nothing.
#include "flexjit/global_rows.h"

#include <cstring>
#include <vector>

#include "call/expected_tensor.h"
#include "diagnostics/guard.h"
#include "variants/call_checks.h"
#include "variants/rows.h"

namespace flexjit {

struct Longformer::Impl {
  Attention local, global;
};

namespace variants {

namespace {

using engine::Finding, engine::Report;

template <typename View>
View entry_of(const View& view, std::int64_t b) {
  View entry = view;
  entry.shape[0] = 1;
  if (view.data != nullptr) {
    using Byte = std::conditional_t<std::is_same_v<View, TensorView>, const std::byte, std::byte>;
    entry.data = static_cast<Byte*>(view.data) + b * view.strides[0] * static_cast<std::int64_t>(size_of(view.dtype));
  }
  return entry;
}

// Strides are of (batch, heads, length[, dim]); the innermost elements of rows lie side by side, which run() has checked.
void clear(const MutableTensorView& tensor) {
  const auto size = static_cast<std::int64_t>(size_of(tensor.dtype));
  for (std::int64_t b = 0; b < tensor.shape[0]; ++b) {
    for (std::int64_t h = 0; h < tensor.shape[1]; ++h) {
      for (std::int64_t i = 0; i < tensor.shape[2]; ++i)
        std::memset(static_cast<std::byte*>(tensor.data) +
                        (b * tensor.strides[0] + h * tensor.strides[1] + i * tensor.strides[2]) * size,
                    0, static_cast<std::size_t>(tensor.shape[3] * size));
    }
  }
}

// A global tensor against what it stands beside.
void check_like(const char* name, const TensorView& view, const TensorView& like, Report& report) {
  const engine::Expected expected{name,
                                  like.dtype,
                                  "(batch, heads, length, dim)",
                                  {{"sequences", like.shape[0], "its local one"},
                                   {"heads", like.shape[1], "its local one"},
                                   {"tokens", like.shape[2], "its local one"},
                                   {"dims", like.shape[3], "its local one"}}};
  if (!engine::check_rank(expected, view, report)) return;
  engine::check_tensor(expected, view, report);
  engine::check_inner_stride(name, view, report);
}

void check_args(const LongformerArgs& args, Report& report) {
  const RunArgs& local = args.local;
  const auto refuse = [&](const char* name, bool given) {
    if (given) report.add(Finding::kBadOption, name, "given", "Longformer has none, so leave it empty");
  };
  refuse_other_layouts(local, "Longformer has none", report);
  refuse("block_mask", local.block_mask != nullptr);
  refuse("sinks", local.sinks.data != nullptr);
  refuse("max_scores", local.max_scores.data != nullptr);
  if (local.q.rank != kMaxRank || local.k.rank != kMaxRank || local.v.rank != kMaxRank) return;  // which run() tells
  check_like("q_global", args.q_global, local.q, report);
  check_like("k_global", args.k_global, local.k, report);
  check_like("v_global", args.v_global, local.v, report);
}

// The positions of a sequence's global tokens. `tokens` is as the first pass has checked it.
std::vector<std::int32_t> global_rows(const TensorView& tokens, std::int64_t b) {
  std::vector<std::int32_t> rows;
  const auto* kinds = static_cast<const std::int32_t*>(tokens.data) + b * tokens.strides[0];
  for (std::int64_t i = 0; i < tokens.shape[1]; ++i) {
    if (kinds[i * tokens.strides[1]] > 0) rows.push_back(static_cast<std::int32_t>(i));
  }
  return rows;
}

// The second pass over one sequence: `args` refer to its other members.
struct SequencePass {
  std::vector<std::int32_t> rows;
  Rows q, out, lse;
  Bindings bindings;
  RunArgs args;

  SequencePass(const Attention& attention, const LongformerArgs& of, const TensorView& tokens, std::int64_t b,
               std::vector<std::int32_t> positions)
      : rows(std::move(positions)),
        q(gathered(entry_of(of.q_global, b), rows)),
        out(entry_of(view_of(of.local.out), b), rows.size()),
        lse(entry_of(view_of(of.local.lse), b), of.local.lse.data == nullptr ? 0 : rows.size()) {
    TensorView kinds = entry_of(tokens, b);
    kinds.rank = 1;
    kinds.shape = {tokens.shape[1]};
    kinds.strides = {tokens.strides[1]};
    bindings.buffers["tokens"] = kinds;
    if (attention.buffers().size() > 1)  // autoregressive
      bindings.buffers["rows"] = TensorView(rows.data(), DType::kI32, {static_cast<std::int64_t>(rows.size())});
    args = {.q = q.view, .k = entry_of(of.k_global, b), .v = entry_of(of.v_global, b), .out = out.view, .bindings = &bindings};
    if (of.local.lse.data != nullptr) args.lse = lse.view;
  }
  SequencePass(const SequencePass&) = delete;
  SequencePass& operator=(const SequencePass&) = delete;

  static TensorView view_of(const MutableTensorView& view) { return view; }
};

void add_stats(RunStats& sum, const RunStats& more) {
  sum.scores_visited += more.scores_visited;
  sum.blocks.full += more.blocks.full;
  sum.blocks.partial += more.blocks.partial;
  sum.blocks.empty += more.blocks.empty;
}

Result<RunStats> run_global(const Attention& attention, const LongformerArgs& args, RunStats stats) {
  const TensorView& tokens = args.local.bindings->buffers.find("tokens")->second;
  for (std::int64_t b = 0; b < args.local.q.shape[0]; ++b) {
    std::vector<std::int32_t> rows = global_rows(tokens, b);
    if (rows.empty()) continue;
    const SequencePass pass(attention, args, tokens, b, std::move(rows));
    const Result<RunStats> done = attention.run(pass.args);
    if (!done) return done.diagnostics();
    scatter(pass.out, entry_of(args.local.out, b), pass.rows);
    if (args.local.lse.data != nullptr) scatter(pass.lse, entry_of(args.local.lse, b), pass.rows);
    add_stats(stats, *done);
  }
  return stats;
}

// One sequence's gradients of the second pass, of rows that were gathered as the forward call wrote them.
Result<RunStats> run_global_backward(const Attention& attention, const LongformerArgs& args, SequencePass& pass, std::int64_t b,
                                     const LongformerGradients& wanted) {
  const Rows out = gathered(entry_of(SequencePass::view_of(args.local.out), b), pass.rows);
  const Rows lse = gathered(entry_of(SequencePass::view_of(args.local.lse), b), pass.rows);
  pass.args.out = out.view;
  pass.args.lse = lse.view;
  const bool is_constant = wanted.local.out.strides[3] == 0;  // one number for all elements
  const Rows d_out = is_constant ? Rows(out.view, 0) : gathered(entry_of(wanted.local.out, b), pass.rows);
  const bool has_lse = wanted.local.lse.data != nullptr;
  const Rows d_lse = has_lse ? gathered(entry_of(wanted.local.lse, b), pass.rows) : Rows(lse.view, 0);
  const bool has_q = wanted.q_global.data != nullptr;
  const Rows dq = has_q ? Rows(entry_of(SequencePass::view_of(wanted.q_global), b), pass.rows.size()) : Rows(pass.q.view, 0);
  Gradients gradients{.out = is_constant ? wanted.local.out : TensorView(d_out.view)};
  gradients.out.shape = out.view.shape;
  if (has_lse) gradients.lse = d_lse.view;
  if (has_q) gradients.q = dq.view;
  if (wanted.k_global.data != nullptr) gradients.k = entry_of(wanted.k_global, b);
  if (wanted.v_global.data != nullptr) gradients.v = entry_of(wanted.v_global, b);
  Result<RunStats> done = run_backward(attention, pass.args, gradients);
  if (done && has_q) scatter(dq, entry_of(wanted.q_global, b), pass.rows);
  return done;
}

}  // namespace
}  // namespace variants

Result<Longformer> Longformer::create(Engine& engine, const LongformerOptions& options, const AttentionSpec& types) {
  return engine::guarded("Longformer::create", [&]() -> Result<Longformer> {
    LongformerOptions apart = options;
    apart.global_rows_apart = true;
    const Result<AttentionSpec> text = longformer(apart);
    if (!text) return text.diagnostics();
    AttentionSpec spec;
    spec.program = text->program;
    spec.program_name = text->program_name;
    spec.dtype = types.dtype;
    spec.kv_dtype = types.kv_dtype;
    spec.out_dtype = types.out_dtype;
    spec.head_dim = types.head_dim;
    spec.v_head_dim = types.v_head_dim;
    spec.scale = types.scale;
    const Result<Attention> local = engine.compile(spec);
    if (!local) return local.diagnostics();
    spec.program = "buffer tokens : i32[kv_len]\n";
    if (options.autoregressive) spec.program += "buffer rows : i32[q_len]\n";
    spec.program += "mask = tokens[kv_idx] >= 0";
    spec.program += options.autoregressive ? " && kv_idx <= rows[q_idx]\n" : "\n";
    spec.program_name = "longformer_global";
    const Result<Attention> global = engine.compile(spec);
    if (!global) return global.diagnostics();
    return Longformer(std::make_shared<const Impl>(Impl{*local, *global}));
  });
}

Result<RunStats> Longformer::run(const LongformerArgs& args) const {
  return engine::guarded("Longformer::run", *this, [&]() -> Result<RunStats> {
    engine::Report report("Longformer::run");
    variants::check_args(args, report);
    if (!report.empty()) return report.take();
    const Result<RunStats> local = impl_->local.run(args.local);
    if (!local) return local;
    return variants::run_global(impl_->global, args, *local);
  });
}

Result<RunStats> Longformer::run_backward(const LongformerArgs& forward, const LongformerGradients& gradients) const {
  return engine::guarded("Longformer::run_backward", *this, [&]() -> Result<RunStats> {
    engine::Report report("Longformer::run_backward");
    variants::check_args(forward, report);
    if (report.empty()) {
      variants::check_wanted("gradient of q_global", gradients.q_global, forward.q_global, report);
      variants::check_wanted("gradient of k_global", gradients.k_global, forward.k_global, report);
      variants::check_wanted("gradient of v_global", gradients.v_global, forward.v_global, report);
    }
    if (!report.empty()) return report.take();
    const Result<RunStats> local = flexjit::run_backward(impl_->local, forward.local, gradients.local);
    if (!local) return local;
    for (const MutableTensorView* wanted : {&gradients.q_global, &gradients.k_global, &gradients.v_global}) {
      if (wanted->data != nullptr) variants::clear(*wanted);
    }
    RunStats stats = *local;
    const TensorView& tokens = forward.local.bindings->buffers.find("tokens")->second;
    for (std::int64_t b = 0; b < forward.local.q.shape[0]; ++b) {
      std::vector<std::int32_t> rows = variants::global_rows(tokens, b);
      if (rows.empty()) continue;
      variants::SequencePass pass(impl_->global, forward, tokens, b, std::move(rows));
      const Result<RunStats> done = variants::run_global_backward(impl_->global, forward, pass, b, gradients);
      if (!done) return done;
      variants::add_stats(stats, *done);
    }
    return stats;
  });
}

}  // namespace flexjit
