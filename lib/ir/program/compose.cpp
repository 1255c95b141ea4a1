// Each stage's nodes are made again in one builder, with Score replaced by the root of the stages before and every slot and
// site moved behind theirs. Hash-consing merges what two stages share.
#include "ir/program/compose.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "ir/passes/rewrite.h"
#include "support/check.h"

namespace flexjit::ir {
namespace {

// Where a stage's slots and sites lie in the whole.
struct Offsets {
  std::vector<std::uint32_t> buffers{};  // by the stage's slot
  std::uint32_t param = 0;
  std::uint32_t site = 0;
  std::uint32_t text = 0;
};

class Composition {
 public:
  explicit Composition(Precision precision) : builder_(precision) {}

  void add(const Lowered& stage) {
    const Program& program = stage.program;
    Offsets offsets{.param = static_cast<std::uint32_t>(interface_.params.size()),
                    .site = static_cast<std::uint32_t>(interface_.sites.size()),
                    .text = static_cast<std::uint32_t>(interface_.texts.size())};
    for (std::size_t i = 0; i < stage.interface.buffers.size(); ++i) offsets.buffers.push_back(slot_of(stage, i, offsets));
    add_declarations(stage, offsets);
    if (stage.interface.projection) interface_.projection = offsets.buffers[*stage.interface.projection];
    std::vector<Id> copies;
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      std::vector<Id> operands;
      for (Id operand : program.operands(Id{i})) operands.push_back(copies[operand.index]);
      copies.push_back(copy(program, Id{i}, operands, offsets));
    }
    builder_.copy_marks(program, copies);
    builder_.copy_accumulations(program, copies);
    const Roots added = program.roots().of_copies(copies);
    for (const RootFacts& facts : kRoots) {
      Id &so_far = roots_[facts.root], root = added[facts.root];
      if (!root.valid()) continue;
      so_far = so_far.valid() && facts.type == Type::kBool ? builder_.make(Op::kAnd, {so_far, root}) : root;
    }
  }

  Lowered finish() && {
    Program program = std::move(builder_).finish(roots_);
    return {std::move(program), std::move(interface_)};
  }

 private:
  // That of the stage before which declares the same name, or a new one.
  std::uint32_t slot_of(const Lowered& stage, std::size_t index, const Offsets& offsets) {
    BufferInterface buffer = stage.interface.buffers[index];
    for (Extent& extent : buffer.extents) {
      if (extent.kind == Extent::Kind::kParam) extent.param += offsets.param;
    }
    const auto same = std::ranges::find(interface_.buffers, buffer.name, &BufferInterface::name);
    const auto slot = static_cast<std::uint32_t>(same - interface_.buffers.begin());
    if (same != interface_.buffers.end()) {
      FLEXJIT_CHECK(same->dtype == buffer.dtype && same->extents == buffer.extents, buffer.name);
      return slot;
    }
    builder_.add_buffer(stage.program.buffers()[index]);
    interface_.buffers.push_back(std::move(buffer));
    return slot;
  }

  void add_declarations(const Lowered& stage, const Offsets& offsets) {
    for (Type param : stage.program.params()) builder_.add_param(param);
    std::ranges::copy(stage.interface.params, std::back_inserter(interface_.params));
    for (ReadSite site : stage.interface.sites) {
      site.buffer = offsets.buffers[site.buffer];
      interface_.sites.push_back(std::move(site));
    }
    std::ranges::copy(stage.interface.texts, std::back_inserter(interface_.texts));
    for (Expression expression : stage.interface.expressions) {
      expression.text += offsets.text;
      interface_.expressions.push_back(expression);
    }
  }

  Id copy(const Program& program, Id id, std::span<const Id> operands, const Offsets& offsets) {
    const Node& node = program.node(id);
    if (node.op == Op::kScore && roots_[Root::kScore].valid()) return roots_[Root::kScore];
    if (node.op == Op::kScore) return builder_.variable(Op::kScore);
    if (node.op == Op::kParam) return builder_.param(node.payload + offsets.param);
    if (node.op == Op::kRead || node.op == Op::kAccumulate) {
      ReadInfo read = program.read(id);
      read.buffer = offsets.buffers[read.buffer];
      read.site += offsets.site;
      return node.op == Op::kRead ? builder_.read(read, operands) : builder_.accumulate(read, operands);
    }
    if (node.op == Op::kDot || node.op == Op::kAccumulateRow) {
      DotInfo dot = program.dot(id);
      dot.buffer_a = offsets.buffers[dot.buffer_a];
      dot.buffer_b = offsets.buffers[dot.buffer_b];
      dot.site += offsets.site;
      return node.op == Op::kDot ? builder_.dot(dot, operands) : builder_.accumulate_row(dot, operands);
    }
    return copy_node(builder_, program, id, operands);
  }

  ProgramBuilder builder_;
  Interface interface_;
  Roots roots_;
};

}  // namespace

Lowered compose(std::span<const Lowered> stages) {
  // All are texts of one pattern.
  Composition whole(stages.empty() ? Precision::kFp32 : stages.front().program.precision());
  for (const Lowered& stage : stages) whole.add(stage);
  return std::move(whole).finish();
}

}  // namespace flexjit::ir
