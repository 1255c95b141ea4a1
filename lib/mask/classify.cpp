// One quadtree descent a plane: the whole plane first, then halves of the longer side, until interval analysis decides a
// rectangle of blocks or one block is left, which is evaluated row by row. The cost grows with the undecided blocks only.
#include "mask/classify.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "ir/intervals.h"
#include "mask/block_mask_builder.h"
#include "mask/buffer_ranges.h"
#include "support/check.h"

namespace flexjit::mask {

namespace {

// Where a fault was met, ordered as errors are reported.
struct LocatedFault {
  std::int32_t q_idx = 0;
  std::int32_t kv_begin = 0;
  ir::ReadFault fault;

  bool before(const LocatedFault& other) const { return std::pair(q_idx, kv_begin) < std::pair(other.q_idx, other.kv_begin); }
};

class Classifier {
 public:
  Classifier(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& request)
      : program_(program),
        environment_(environment),
        undecided_(request.undecided),
        shape_(broadcast_shape(program, request.shape)),
        buffers_(environment.buffers),
        analysis_(program, environment, &buffers_),
        interpreter_(program, environment),
        builder_(shape_) {
    const std::vector<bool> in_mask = ir::reachable(program, program.mask());
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      const ir::Id id{i};
      const ir::Op op = program.node(id).op;
      if (!in_mask[i]) continue;
      if ((op == ir::Op::kRead && program.read(id).checked) || (op == ir::Op::kDot && program.dot(id).checked)) {
        checked_reads_.push_back(id);
      }
    }
  }

  Classified run() && {
    const BlockRect plane{0, shape_.q_blocks(), 0, shape_.kv_blocks()};
    for (b_ = 0; b_ < shape_.batch; ++b_) {
      for (h_ = 0; h_ < shape_.heads; ++h_) {
        if (plane.size() > 0) descend(plane);
        if (first_fault_) {
          result_.fault = first_fault_->fault;
          return std::move(result_);
        }
        builder_.finish_plane();
      }
    }
    result_.mask = std::move(builder_).build();
    return std::move(result_);
  }

 private:
  // Lower keys before higher ones, as the builder demands. Depth is at most the bits of both block counts.
  void descend(const BlockRect& rect) {
    const ir::Box box = box_of(rect);
    const ir::Range truth = program_.mask().valid() ? analysis_.mask(box) : ir::Range::point(1);
    if (truth.is_point() && !may_fault(box)) {
      builder_.add(rect, truth.lo == 0 ? BlockKind::kEmpty : BlockKind::kFull);
      result_.proved += rect.size();
    } else if (rect.size() == 1) {
      builder_.add(rect, undecided_ == Undecided::kEvaluate ? evaluate(box) : BlockKind::kPartial);
    } else {
      const auto [first, second] = halves(rect, box);
      descend(first);
      descend(second);
    }
  }

  static std::pair<BlockRect, BlockRect> halves(const BlockRect& rect, const ir::Box& box) {
    const std::int32_t rows = rect.q_end - rect.q_begin, columns = rect.kv_end - rect.kv_begin;
    const bool taller = box.q_hi - box.q_lo > box.kv_hi - box.kv_lo;
    BlockRect first = rect, second = rect;
    if (columns == 1 || (rows > 1 && taller)) {
      first.q_end = second.q_begin = rect.q_begin + rows / 2;
    } else {
      first.kv_end = second.kv_begin = rect.kv_begin + columns / 2;
    }
    return {first, second};
  }

  // The existing positions of a rectangle of blocks.
  ir::Box box_of(const BlockRect& rect) const {
    auto last = [](std::int32_t end, std::int32_t block, std::int32_t length) {
      return static_cast<std::int32_t>(std::min<std::int64_t>(std::int64_t{end} * block, length) - 1);
    };
    return {.b_lo = b_,
            .b_hi = b_,
            .h_lo = h_,
            .h_hi = h_,
            .q_lo = rect.q_begin * shape_.q_block,
            .q_hi = last(rect.q_end, shape_.q_block, shape_.q_len),
            .kv_lo = rect.kv_begin * shape_.kv_block,
            .kv_hi = last(rect.kv_end, shape_.kv_block, shape_.kv_len)};
  }

  // Whether some position of the box may read outside a buffer: such a box is never decided by its value, because the read
  // must be met by whoever evaluates the elements and be reported.
  bool may_fault(const ir::Box& box) {
    if (checked_reads_.empty()) return false;
    const std::span<const ir::Range> ranges = analysis_.run(box);
    return std::ranges::any_of(checked_reads_, [&](ir::Id id) { return may_leave_buffer(ranges, id); });
  }

  bool may_leave_buffer(std::span<const ir::Range> ranges, ir::Id id) const {
    const std::span<const ir::Id> operands = program_.operands(id);
    if (ranges[operands[0].index] == ir::Range::point(0)) return false;
    auto leaves = [&](const TensorView& view, std::span<const ir::Id> indices) {
      for (std::size_t d = 0; d < indices.size(); ++d) {
        const ir::Range& index = ranges[indices[d].index];
        if (index.lo < 0 || index.hi >= static_cast<double>(view.shape[d])) return true;
      }
      return false;
    };
    const std::span<const ir::Id> indices = operands.subspan(1);
    if (program_.node(id).op == ir::Op::kRead) return leaves(environment_.buffers[program_.read(id).buffer], indices);
    const ir::DotInfo& dot = program_.dot(id);
    const TensorView& a = environment_.buffers[dot.buffer_a];
    const TensorView& c = environment_.buffers[dot.buffer_b];
    const auto a_indices = static_cast<std::size_t>(a.rank - 1);
    return leaves(a, indices.first(a_indices)) || leaves(c, indices.subspan(a_indices));
  }

  // Any and all over the elements of one block; stops as soon as both an allowed and a forbidden one were seen.
  BlockKind evaluate(const ir::Box& box) {
    ++result_.evaluated;
    bool any = false, all = true;
    for (std::int32_t q = box.q_lo; q <= box.q_hi; ++q) {
      for (std::int64_t begin = box.kv_lo; begin <= box.kv_hi; begin += ir::Interpreter::kMaxCount) {
        const auto kv = static_cast<std::int32_t>(begin);
        const std::int32_t count = std::min(box.kv_hi - kv + 1, ir::Interpreter::kMaxCount);
        const std::span<std::uint8_t> allowed(allowed_.data(), static_cast<std::size_t>(count));
        const ir::RowRange row{.b = b_, .h = h_, .q_idx = q, .kv_begin = kv, .count = count};
        if (auto fault = interpreter_.eval_mask(row, allowed)) {
          note_fault({q, kv, *fault});
          return BlockKind::kPartial;
        }
        any = any || std::ranges::find(allowed, std::uint8_t{1}) != allowed.end();
        all = all && std::ranges::find(allowed, std::uint8_t{0}) == allowed.end();
        if (any && !all) return BlockKind::kPartial;
      }
    }
    return any ? BlockKind::kFull : BlockKind::kEmpty;
  }

  void note_fault(const LocatedFault& fault) {
    if (!first_fault_ || fault.before(*first_fault_)) first_fault_ = fault;
  }

  const ir::Program& program_;
  const ir::Environment& environment_;
  Undecided undecided_;
  BlockMaskShape shape_;
  BufferTable buffers_;
  ir::IntervalAnalysis analysis_;
  ir::Interpreter interpreter_;
  BlockMaskBuilder builder_;
  std::vector<ir::Id> checked_reads_;  // of the mask
  std::array<std::uint8_t, ir::Interpreter::kMaxCount> allowed_{};
  std::int32_t b_ = 0, h_ = 0;
  std::optional<LocatedFault> first_fault_;  // of the current plane
  Classified result_;
};

}  // namespace

BlockMaskShape broadcast_shape(const ir::Program& program, BlockMaskShape shape) {
  bool batch = false, heads = false;
  const std::vector<bool> in_mask = ir::reachable(program, program.mask());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const ir::Op op = program.nodes()[i].op;
    if (!in_mask[i]) continue;
    batch = batch || op == ir::Op::kBatch;
    heads = heads || op == ir::Op::kHead || op == ir::Op::kKvHead;
  }
  if (!batch) shape.batch = 1;
  if (!heads) shape.heads = 1;
  return shape;
}

Classified classify(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& request) {
  return Classifier(program, environment, request).run();
}

}  // namespace flexjit::mask
