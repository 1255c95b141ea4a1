// Where queries and keys of a sequence meet. Query i sees the keys up to i + diagonal:
//
//   keys 0 .. diagonal             go into the state before any query looks
//   queries before -diagonal       meet an empty state
//   then chunk by chunk            queries i .. i + n meet the keys i + diagonal .. i + diagonal + n and the state before them
//   queries past the last key      meet the state alone
//
// Without a causal mask all keys come first.
#pragma once

#include <algorithm>
#include <cstdint>

#include "plan/kernel_abi.h"
#include "runtime/launch.h"
#include "runtime/linear/linear.h"
#include "runtime/rows/rows.h"

namespace flexjit::runtime {

// What steps of one head of a sequence share, but for rows and memory.
inline plan::LinearArg step_of(const plan::LaunchArg& launch, const LinearCall& call, const plan::Sequence& sequence,
                               std::int32_t h, std::int32_t kv_head) {
  plan::LinearArg step{};
  step.launch = &launch;
  step.b = sequence.b;
  step.h = h;
  step.kv_head = kv_head;
  step.q_len = sequence.q_len;
  step.kv_len = sequence.kv_len;
  step.q_offset = sequence.q_offset;
  step.kv_offset = sequence.kv_offset;
  step.w_rows = call.matrix.rows();
  step.w_panels = call.matrix.panels();
  step.eps = call.eps;
  return step;
}

struct Meeting {
  std::int64_t queries = 0, keys = 0;
  bool causal = false;
  std::int64_t diagonal = 0;
};

// The steps of one item, whose argument says where its first query and key lie.
class LinearSteps {
 public:
  // `before`: keys of the sequence that are in the state already.
  LinearSteps(const Kernel& kernel, const plan::LinearArg& step, std::int64_t before)
      : kernel_(kernel),
        layout_(kernel.layout),
        step_(step),
        before_(before),
        q_(step.q),
        k_(step.k),
        v_(step.v),
        out_(step.out) {}

  void run(const Meeting& of) {
    if (!of.causal || of.keys == 0) {
      take_keys(0, of.keys, -1);
      give_queries(0, of.queries);
      return;
    }
    const std::int64_t before = std::clamp<std::int64_t>(of.diagonal, 0, of.keys);
    const std::int64_t first = std::clamp<std::int64_t>(-of.diagonal, 0, of.queries);
    const std::int64_t met = std::min(of.queries - first, of.keys - before);
    take_keys(0, before, -1);
    give_queries(0, first);
    take_keys(before, before + met, first);
    give_queries(first + met, of.queries);
  }

  // The keys [begin, end), and as many queries from `query` on, which none means.
  void take_keys(std::int64_t begin, std::int64_t end, std::int64_t query) {
    for (std::int64_t kv = begin; kv < end; kv += layout_.q_tile) {
      const std::int64_t count = std::min<std::int64_t>(end - kv, layout_.q_tile);
      step(query < 0 ? 0 : query + (kv - begin), query < 0 ? 0 : count, kv, count);
    }
  }
  void give_queries(std::int64_t begin, std::int64_t end) {
    for (std::int64_t query = begin; query < end; query += layout_.q_tile)
      step(query, std::min<std::int64_t>(end - query, layout_.q_tile), 0, 0);
  }
  std::int64_t pairs() const { return pairs_; }

 private:
  void step(std::int64_t query, std::int64_t q_count, std::int64_t kv, std::int64_t kv_count) {
    step_.q = address_at(q_, query * step_.q_row * layout_.q_bytes);
    step_.out = address_at(out_, query * step_.out_row * layout_.out_bytes);
    step_.k = address_at(k_, kv * step_.k_row * layout_.kv_bytes);
    step_.v = address_at(v_, kv * step_.v_row * layout_.kv_bytes);
    step_.q_count = static_cast<std::int32_t>(q_count);
    step_.kv_begin = static_cast<std::int32_t>(before_ + kv);
    step_.kv_count = static_cast<std::int32_t>(kv_count);
    kernel_.linear_step(&step_);
    pairs_ += step_.heads * q_count * kv_count;
  }

  const Kernel& kernel_;
  const plan::KernelLayout& layout_;
  plan::LinearArg step_;
  const std::int64_t before_;
  const void *q_, *k_, *v_;
  void* out_;
  std::int64_t pairs_ = 0;
};

}  // namespace flexjit::runtime
