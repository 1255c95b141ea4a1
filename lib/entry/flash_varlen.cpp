// The three calls of packed sequences: lengths looked at before anything is read by them, then Sequences that say the same.
// What FlashAttention allows beyond them (a length from cu_seqlens_k beside pages, a left pad of packed keys) is written out in
// arrays of the call.
#include <algorithm>
#include <vector>

#include "call/numbers.h"
#include "diagnostics/guard.h"
#include "entry/flash_call.h"
#include "entry/layouts.h"

namespace flexjit {

namespace engine {

namespace {

struct Numbers {
  explicit Numbers(const FlashAttnVarlenOptions& of)
      : cu_seqlens_q{"cu_seqlens_q", &of.cu_seqlens_q},
        cu_seqlens_k{"cu_seqlens_k", &of.cu_seqlens_k},
        block_table{"block_table", &of.block_table},
        seqused_q{"seqused_q", &of.seqused_q},
        seqused_k{"seqused_k", &of.seqused_k},
        leftpad_k{"leftpad_k", &of.leftpad_k} {}
  Ints cu_seqlens_q, cu_seqlens_k, block_table, seqused_q, seqused_k, leftpad_k;

  std::int64_t batch() const { return cu_seqlens_q.size() - 1; }
  std::int64_t queries(std::int64_t b) const { return std::int64_t{cu_seqlens_q[b + 1]} - cu_seqlens_q[b]; }
  // What cu_seqlens_k has room for.
  std::int64_t room(std::int64_t b) const { return std::int64_t{cu_seqlens_k[b + 1]} - cu_seqlens_k[b]; }
  std::int64_t used_q(std::int64_t b) const { return seqused_q.given() ? seqused_q[b] : queries(b); }
  std::int64_t used_k(std::int64_t b) const { return seqused_k.given() ? seqused_k[b] : room(b); }
};

bool check_forms(const Numbers& n, Report& report) {
  if (!n.cu_seqlens_q.given()) report.add(Finding::kSequenceOption, "cu_seqlens_q is not given; it says where queries lie");
  if (!n.cu_seqlens_k.given() && !(n.block_table.given() && n.seqused_k.given()))
    report.add(Finding::kSequenceOption, "cu_seqlens_k is not given; it says where keys lie, or how many the pages hold");
  if (n.leftpad_k.given() && n.block_table.given())
    report.add(Finding::kSequenceOption, "leftpad_k and block_table are both given; keys in pages begin with the first page");
  for (const Ints* ints : {&n.cu_seqlens_q, &n.cu_seqlens_k}) {
    check_ints(*ints, 1, "(batch + 1)", report);
    if (ints->given() && ints->view->rank == 1 && ints->size() < 2)
      report.add(Finding::kSequenceOption,
                 fmt::format("{} has {} numbers; it needs 2 or more, for a sequence at least", ints->name, ints->size()));
  }
  for (const Ints* ints : {&n.seqused_q, &n.seqused_k, &n.leftpad_k}) check_ints(*ints, 1, "(batch)", report);
  if (!report.empty()) return false;
  check_size(n.cu_seqlens_k, n.cu_seqlens_q.size(), "numbers", "cu_seqlens_q", report);
  for (const Ints* ints : {&n.seqused_q, &n.seqused_k, &n.leftpad_k})
    check_size(*ints, n.batch(), "sequences", "cu_seqlens_q (less 1)", report);
  return report.empty();
}

// `q` and `k` are views of the call.
bool check_values(const Numbers& n, const TensorView& q, const TensorView& k, Report& report) {
  const std::int64_t batch = n.batch(), rows = q.shape[2];
  const std::int64_t keys = n.block_table.given() ? kMaxLength : k.shape[2];
  if (!check_begins(n.cu_seqlens_q, rows, report) || !check_begins(n.cu_seqlens_k, keys, report)) return false;
  for (const Ints* ints : {&n.cu_seqlens_q, &n.cu_seqlens_k})
    if (ints->given() && (*ints)[0] != 0) report.add(Finding::kSequenceIndex, ints->name, 0, (*ints)[0], 0);
  if (n.cu_seqlens_q[batch] != rows)
    report.add(Finding::kSequenceIndex, "cu_seqlens_q", batch, n.cu_seqlens_q[batch],
               fmt::format("{}, the number of rows of q", rows));
  check_range(n.seqused_q, batch, 0, [&](std::int64_t b) { return n.queries(b); }, report);
  const bool paged = n.block_table.given();
  const bool used = check_range(n.seqused_k, batch, 0, [&](std::int64_t b) { return paged ? kMaxLength : n.room(b); }, report);
  if (used) check_range(n.leftpad_k, batch, 0, [&](std::int64_t b) { return n.used_k(b); }, report);
  return report.empty();
}

// The longest sequence, or what the caller says is at least as long.
template <typename LengthOf>
std::int64_t longest(const char* name, int given, std::int64_t batch, const LengthOf& length_of, Report& report) {
  std::int64_t most = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    most = std::max<std::int64_t>(most, length_of(b));
    if (given == 0 || length_of(b) <= given) continue;
    report.add(Finding::kBadOption, name, given, fmt::format("sequence {} has a length of {}", b, length_of(b)));
    return most;
  }
  return given == 0 ? most : given;
}

void say(const Numbers& n, const FlashAttnVarlenOptions& options, FlashSequences& said) {
  said.sequences.cu_seqlens_q = options.cu_seqlens_q;
  said.sequences.seqused_q = options.seqused_q;
  said.sequences.block_table = options.block_table;
  const bool padded = n.leftpad_k.given(), paged = n.block_table.given();
  if (!padded && !paged) {
    said.sequences.cu_seqlens_k = options.cu_seqlens_k;
    said.sequences.total_len = options.seqused_k;
    return;
  }
  for (std::int64_t b = 0; b < n.batch(); ++b) {
    const std::int32_t pad = padded ? n.leftpad_k[b] : 0;
    said.lengths.push_back(static_cast<std::int32_t>(n.used_k(b) - pad));
    if (padded) said.begins.push_back(n.cu_seqlens_k[b] + pad);
  }
  said.sequences.total_len = ints_view(said.lengths);
  if (!padded) return;
  said.begins.push_back(n.cu_seqlens_k[n.batch()]);
  said.sequences.cu_seqlens_k = ints_view(said.begins);
}

Result<FlashAttnResult> attend_packed(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                      const FlashAttnVarlenOptions& options, Report& report) {
  FlashSequences said;
  const auto call = take_packed(q, k, v, options, said, report);
  if (!call) return report.take();
  return attend_flash(engine, *call, report);
}

}  // namespace

std::optional<FlashCall> take_packed(const TensorView& q, const TensorView& k, const TensorView& v,
                                     const FlashAttnVarlenOptions& options, FlashSequences& said, Report& report) {
  const Numbers n(options);
  const Lengths keys_in = n.block_table.given() ? Lengths::kBatch : Lengths::kPacked;
  const auto q_view = heads_first("q", q, Lengths::kPacked, report);
  const auto k_view = heads_first("k", k, keys_in, report);
  const auto v_view = heads_first("v", v, keys_in, report);
  const auto out = heads_first("out", options.out, Lengths::kPacked, report);
  const auto lse = lse_of("softmax_lse", options.softmax_lse, Lengths::kPacked, report);
  const bool forms = check_forms(n, report);
  if (!forms || !report.empty() || !check_values(n, *q_view, *k_view, report)) return std::nullopt;
  FlashCall call{.args = {.q = *q_view, .k = *k_view, .v = *v_view, .out = *out, .lse = *lse, .sinks = options.learnable_sink},
                 .flags = FlashFlags::of(options),
                 .wants_weights = options.return_attn_probs};
  call.seqlen_q = longest("max_seqlen_q", options.max_seqlen_q, n.batch(), [&](std::int64_t b) { return n.used_q(b); }, report);
  call.seqlen_k = longest("max_seqlen_k", options.max_seqlen_k, n.batch(), [&](std::int64_t b) { return n.used_k(b); }, report);
  say(n, options, said);
  call.args.sequences = &said.sequences;
  return call;
}

}  // namespace engine

using engine::Lengths, engine::Report;

Result<FlashAttnResult> flash_attn_varlen_func(Engine& engine, const TensorView& q, const TensorView& k, const TensorView& v,
                                               const FlashAttnVarlenOptions& options) {
  return engine::guarded("flash_attn_varlen_func", [&]() -> Result<FlashAttnResult> {
    Report report("flash_attn_varlen_func");
    return engine::attend_packed(engine, q, k, v, options, report);
  });
}

Result<FlashAttnResult> flash_attn_varlen_qkvpacked_func(Engine& engine, const PackedView& qkv,
                                                         const FlashAttnVarlenOptions& options) {
  return engine::guarded("flash_attn_varlen_qkvpacked_func", [&]() -> Result<FlashAttnResult> {
    Report report("flash_attn_varlen_qkvpacked_func");
    const auto parts = engine::parts_of<3>("qkv", qkv, Lengths::kPacked, report);
    if (!parts) return report.take();
    FlashAttnVarlenOptions all = options;
    all.cu_seqlens_k = options.cu_seqlens_q;
    all.max_seqlen_k = options.max_seqlen_q;
    return engine::attend_packed(engine, (*parts)[0], (*parts)[1], (*parts)[2], all, report);
  });
}

Result<FlashAttnResult> flash_attn_varlen_kvpacked_func(Engine& engine, const TensorView& q, const PackedView& kv,
                                                        const FlashAttnVarlenOptions& options) {
  return engine::guarded("flash_attn_varlen_kvpacked_func", [&]() -> Result<FlashAttnResult> {
    Report report("flash_attn_varlen_kvpacked_func");
    const auto parts = engine::parts_of<2>("kv", kv, Lengths::kPacked, report);
    if (!parts) return report.take();
    return engine::attend_packed(engine, q, (*parts)[0], (*parts)[1], options, report);
  });
}

}  // namespace flexjit
