// The interpreter computes a read at every position and the one before it, many positions at once. Guards are left out: they
// may vary along the other index, and a piece more costs time alone.
#include "mask/derive/buffer_pieces.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ir/passes/rewrite.h"

namespace flexjit::mask {

namespace {

// By node: whether it varies along an index. A read varies where its indices do.
std::vector<bool> varying(const ir::Program& program, ir::Op axis) {
  std::vector<bool> varies(program.size());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.nodes()[i].op;
    const auto operands = program.operands(ir::Id{i}).subspan(op == ir::Op::kRead ? 1 : 0);
    varies[i] = op == axis || std::ranges::any_of(operands, [&](ir::Id id) { return varies[id.index]; });
  }
  return varies;
}

// What `root` is made of, once more in `builder`: unguarded and with `position` for the axis.
class Copier {
 public:
  Copier(ir::ProgramBuilder& builder, const ir::Program& program, ir::Op axis, ir::Id position)
      : builder_(builder), program_(program), axis_(axis), position_(position), copies_(program.size()) {}

  ir::Id copy(ir::Id root) {
    std::vector<bool> needed(program_.size());
    needed[root.index] = true;
    for (std::uint32_t i = root.index + 1; i-- > 0;) {
      if (!needed[i]) continue;
      for (ir::Id operand : program_.operands(ir::Id{i}).subspan(is_read(i) ? 1 : 0)) needed[operand.index] = true;
    }
    for (std::uint32_t i = 0; i <= root.index; ++i) {
      if (needed[i]) copies_[i] = copy_one(i);
    }
    return copies_[root.index];
  }

 private:
  bool is_read(std::uint32_t i) const { return program_.nodes()[i].op == ir::Op::kRead; }

  ir::Id copy_one(std::uint32_t i) {
    if (program_.nodes()[i].op == axis_) return position_;
    std::vector<ir::Id> operands;
    for (ir::Id operand : program_.operands(ir::Id{i})) operands.push_back(copies_[operand.index]);
    if (is_read(i)) operands[0] = builder_.const_bool(true);
    return ir::copy_node(builder_, program_, ir::Id{i}, operands);
  }

  ir::ProgramBuilder& builder_;
  const ir::Program& program_;
  ir::Op axis_;
  ir::Id position_;
  std::vector<ir::Id> copies_;
};

ir::Program change_of(const ir::Program& program, ir::Id read, ir::Op axis) {
  ir::ProgramBuilder builder = ir::with_declarations_of(program);
  const ir::Id here = builder.variable(ir::Op::kKvIdx);
  const ir::Id before = builder.make(ir::Op::kSub, {here, builder.const_int(1)});
  const ir::Id value = Copier(builder, program, axis, here).copy(read);
  const ir::Id last = Copier(builder, program, axis, before).copy(read);
  const ir::Id differs = builder.make(ir::Op::kNe, {value, last});
  return std::move(builder).finish(ir::Id{}, differs);
}

}  // namespace

void BufferPieces::make_changes() {
  made_ = true;
  const ir::Op other = axis_ == ir::Op::kQIdx ? ir::Op::kKvIdx : ir::Op::kQIdx;
  const std::vector<bool> in_mask = ir::reachable(program_, program_.mask());
  const std::vector<bool> along = varying(program_, axis_), across = varying(program_, other);
  for (std::uint32_t i = 0; i < program_.size(); ++i) {
    if (!in_mask[i] || program_.nodes()[i].op != ir::Op::kRead || !along[i] || across[i]) continue;
    changes_.push_back(std::make_unique<Change>(change_of(program_, ir::Id{i}, axis_), environment_));
  }
}

// The window of the positions that were chosen, with its pieces.
const BufferPieces::Window& BufferPieces::window() {
  if (windows_.empty()) windows_.resize(kWindows);
  const std::int64_t size = std::int64_t{positions_.hi} - positions_.lo + 1;
  Window& window = windows_[static_cast<std::size_t>(positions_.lo / size) % kWindows];
  if (window.known && window.positions == positions_ && window.b == b_ && window.h == h_) return window;
  window = {.positions = positions_, .b = b_, .h = h_, .known = true, .begins = std::move(window.begins)};
  window.begins.clear();
  for (const auto& change : changes_) add_pieces_of(*change, window);
  std::ranges::sort(window.begins);
  return window;
}

void BufferPieces::add_pieces_of(Change& change, Window& window) {
  found_.clear();
  std::array<std::uint8_t, ir::Interpreter::kMaxCount> differs{};
  const Positions positions = window.positions;
  for (std::int64_t begin = std::int64_t{positions.lo} + 1; begin <= positions.hi; begin += ir::Interpreter::kMaxCount) {
    const auto first = static_cast<std::int32_t>(begin);
    const std::int32_t count = std::min(positions.hi - first + 1, ir::Interpreter::kMaxCount);
    // A read out of range is reported by who evaluates the mask.
    change.interpreter.eval_mask({.b = window.b, .h = window.h, .kv_begin = first, .count = count}, differs);
    for (std::int32_t i = 0; i < count; ++i) {
      if (differs[static_cast<std::size_t>(i)] != 0) found_.push_back(first + i);
    }
  }
  const std::int64_t length = std::int64_t{positions.hi} - positions.lo + 1;
  if (static_cast<std::int64_t>(found_.size() + 1) * kShortPiece > length) return;
  window.begins.insert(window.begins.end(), found_.begin(), found_.end());
}

std::optional<std::int32_t> BufferPieces::split(Positions positions) {
  if (!made_) make_changes();
  if (changes_.empty()) return std::nullopt;
  const std::vector<std::int32_t>& begins = window().begins;
  const auto first = std::ranges::upper_bound(begins, positions.lo), last = std::ranges::upper_bound(begins, positions.hi);
  if (first >= last) return std::nullopt;
  const auto middle = static_cast<std::int32_t>((std::int64_t{positions.lo} + positions.hi + 1) / 2);
  const auto above = std::lower_bound(first, last, middle);
  if (above == last) return *(last - 1);
  if (above == first) return *first;
  return *above - middle < middle - *(above - 1) ? *above : *(above - 1);
}

}  // namespace flexjit::mask
