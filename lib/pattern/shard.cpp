// One forward loop over the nodes, in which five variables become reads and params of a call.
#include "pattern/shard.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "flexjit/shard_names.h"
#include "ir/passes/rewrite.h"

namespace flexjit::engine {

namespace {

using ir::Id;
using ir::Op;

constexpr std::array kNames = {shard::kQPositions, shard::kKvPositions, shard::kQLen,      shard::kKvLen,
                               shard::kHeads,      shard::kKvHeads,     shard::kFirstHead, shard::kFirstKvHead};

class Sharding {
 public:
  explicit Sharding(ir::Lowered whole)
      : whole_(std::move(whole)), interface_(std::move(whole_.interface)), builder_(ir::with_declarations_of(whole_.program)) {
    lengths_ = {{Op::kQLen, add_param(shard::kQLen, false)},
                {Op::kKvLen, add_param(shard::kKvLen, false)},
                {Op::kNumHeads, add_param(shard::kHeads, false)},
                {Op::kNumKvHeads, add_param(shard::kKvHeads, false)}};
    const std::uint32_t first_head = add_param(shard::kFirstHead, true), first_kv_head = add_param(shard::kFirstKvHead, true);
    for (ir::BufferInterface& buffer : interface_.buffers)
      for (ir::Extent& extent : buffer.extents) make_whole(extent);
    q_idx_ = add_position(shard::kQPositions, Op::kQIdx, Op::kQLen);
    kv_idx_ = add_position(shard::kKvPositions, Op::kKvIdx, Op::kKvLen);
    head_ = builder_.make(Op::kAdd, {builder_.variable(Op::kHead), builder_.param(first_head)});
    kv_head_ = builder_.make(Op::kAdd, {builder_.variable(Op::kKvHead), builder_.param(first_kv_head)});
  }

  ir::Lowered operator()() && {
    const ir::Program& program = whole_.program;
    std::vector<Id> copies;
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      std::vector<Id> operands;
      for (const Id operand : program.operands(Id{i})) operands.push_back(copies[operand.index]);
      copies.push_back(copy(Id{i}, operands));
    }
    builder_.copy_marks(program, copies);
    builder_.copy_accumulations(program, copies);
    const ir::Roots roots = program.roots().of_copies(copies);
    return {std::move(builder_).finish(roots), std::move(interface_), std::move(whole_.warnings)};
  }

 private:
  std::uint32_t add_param(std::string_view name, bool has_default) {
    interface_.params.push_back(
        {.name = std::string(name), .default_value = std::int32_t{0}, .has_default = has_default, .domain = {}});
    return builder_.add_param(ir::Type::kInt);
  }

  std::optional<std::uint32_t> length(Op op) const {
    const auto found = std::ranges::find(lengths_, op, &std::pair<Op, std::uint32_t>::first);
    if (found == lengths_.end()) return std::nullopt;
    return found->second;
  }

  // What is declared as long as the sequence is bound whole.
  void make_whole(ir::Extent& extent) const {
    if (extent.kind != ir::Extent::Kind::kBuiltin) return;
    if (const auto param = length(extent.builtin)) extent = {.kind = ir::Extent::Kind::kParam, .param = *param};
  }

  Id add_position(std::string_view name, Op index, Op count) {
    const auto slot = static_cast<std::uint32_t>(interface_.buffers.size());
    interface_.buffers.push_back(
        {.name = std::string(name), .dtype = DType::kI32, .extents = {{.kind = ir::Extent::Kind::kBuiltin, .builtin = count}}});
    builder_.add_buffer({.dtype = DType::kI32, .rank = 1});
    const auto site = static_cast<std::uint32_t>(interface_.sites.size());
    interface_.sites.push_back({.buffer = slot, .source_name = "shard", .snippet = {}});
    const std::array operands = {builder_.const_bool(true), builder_.variable(index)};
    return builder_.read({.buffer = slot, .site = site}, operands);
  }

  Id copy(Id id, std::span<const Id> operands) {
    const Op op = whole_.program.node(id).op;
    if (op == Op::kQIdx) return q_idx_;
    if (op == Op::kKvIdx) return kv_idx_;
    if (op == Op::kHead) return head_;
    if (op == Op::kKvHead) return kv_head_;
    if (const auto param = length(op)) return builder_.param(*param);
    return ir::copy_node(builder_, whole_.program, id, operands);
  }

  ir::Lowered whole_;
  ir::Interface interface_;
  ir::ProgramBuilder builder_;
  std::vector<std::pair<Op, std::uint32_t>> lengths_;  // what is the whole's -> its param
  Id q_idx_, kv_idx_, head_, kv_head_;
};

}  // namespace

ir::Lowered as_shard(ir::Lowered whole, Report& report) {
  bool taken = false;
  const auto check = [&](const auto& declared) {
    if (std::ranges::find(kNames, declared.name) == kNames.end()) return;
    report.add(Finding::kFlagName, declared.name, "shard");
    taken = true;
  };
  std::ranges::for_each(whole.interface.buffers, check);
  std::ranges::for_each(whole.interface.params, check);
  return taken ? std::move(whole) : Sharding(std::move(whole))();
}

}  // namespace flexjit::engine
