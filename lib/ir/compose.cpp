// Each stage's nodes are made again in one builder, with Score replaced by the root of the stages before and every slot and
// site moved behind theirs. Hash-consing merges what two stages share.
#include "ir/compose.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "ir/rewrite.h"

namespace flexjit::ir {
namespace {

// Where a stage's slots and sites begin in the whole.
struct Offsets {
  std::uint32_t buffer = 0;
  std::uint32_t param = 0;
  std::uint32_t site = 0;
  std::uint32_t text = 0;
};

class Composition {
 public:
  explicit Composition(Precision precision) : builder_(precision) {}

  void add(const Lowered& stage) {
    const Program& program = stage.program;
    const Offsets offsets{
        static_cast<std::uint32_t>(interface_.buffers.size()), static_cast<std::uint32_t>(interface_.params.size()),
        static_cast<std::uint32_t>(interface_.sites.size()), static_cast<std::uint32_t>(interface_.texts.size())};
    add_declarations(stage, offsets);
    std::vector<Id> copies;
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      std::vector<Id> operands;
      for (Id operand : program.operands(Id{i})) operands.push_back(copies[operand.index]);
      copies.push_back(copy(program, Id{i}, operands, offsets));
    }
    builder_.copy_marks(program, copies);
    if (program.score().valid()) score_ = copies[program.score().index];
    if (!program.mask().valid()) return;
    const Id mask = copies[program.mask().index];
    mask_ = mask_.valid() ? builder_.make(Op::kAnd, {mask_, mask}) : mask;
  }

  Lowered finish() && {
    Program program = std::move(builder_).finish(score_, mask_);
    return {std::move(program), std::move(interface_)};
  }

 private:
  void add_declarations(const Lowered& stage, const Offsets& offsets) {
    for (const BufferType& buffer : stage.program.buffers()) builder_.add_buffer(buffer);
    for (Type param : stage.program.params()) builder_.add_param(param);
    for (BufferInterface buffer : stage.interface.buffers) {
      for (Extent& extent : buffer.extents) {
        if (extent.kind == Extent::Kind::kParam) extent.param += offsets.param;
      }
      interface_.buffers.push_back(std::move(buffer));
    }
    std::ranges::copy(stage.interface.params, std::back_inserter(interface_.params));
    for (ReadSite site : stage.interface.sites) {
      site.buffer += offsets.buffer;
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
    if (node.op == Op::kScore) return score_.valid() ? score_ : builder_.variable(Op::kScore);
    if (node.op == Op::kParam) return builder_.param(node.payload + offsets.param);
    if (node.op == Op::kRead) {
      ReadInfo read = program.read(id);
      read.buffer += offsets.buffer;
      read.site += offsets.site;
      return builder_.read(read, operands);
    }
    if (node.op == Op::kDot) {
      DotInfo dot = program.dot(id);
      dot.buffer_a += offsets.buffer;
      dot.buffer_b += offsets.buffer;
      dot.site += offsets.site;
      return builder_.dot(dot, operands);
    }
    return copy_node(builder_, program, id, operands);
  }

  ProgramBuilder builder_;
  Interface interface_;
  Id score_;
  Id mask_;
};

}  // namespace

Lowered compose(std::span<const Lowered> stages) {
  // All are texts of one pattern.
  Composition whole(stages.empty() ? Precision::kFp32 : stages.front().program.precision());
  for (const Lowered& stage : stages) whole.add(stage);
  return std::move(whole).finish();
}

}  // namespace flexjit::ir
