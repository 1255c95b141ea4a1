// One quadtree descent a plane: the whole plane first, then halves of the longer side, until interval analysis decides a
// rectangle of blocks or one block is left. Of a block a few pairs are analysed first, because most that are left are partial;
// then it is descended into, cut where captured buffers and divisions begin something new, until both an allowed and a
// forbidden part are found. Boxes too small to be worth an analysis are evaluated row by row. The cost grows with the undecided
// parts only.
#include "mask/classify.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "ir/intervals.h"
#include "mask/axis_breaks.h"
#include "mask/block_mask_builder.h"
#include "mask/buffer_pieces.h"
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

// Elements of a box that is evaluated rather than analysed any further.
constexpr std::int64_t kSmallBox = 64;

// What was seen of a block.
struct Parts {
  bool allowed = false, forbidden = false;
  bool evaluated = false;  // some of it by evaluating elements
  bool faulty = false;     // a read was out of range: the descent ends

  bool are_enough() const { return faulty || (allowed && forbidden); }
};

class Classifier {
 public:
  Classifier(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& request)
      : program_(program),
        environment_(environment),
        undecided_(request.undecided),
        list_evaluated_(request.list_evaluated),
        known_(request.known),
        shape_(broadcast_shape(program, request.shape)),
        buffers_(environment.buffers, program.precision()),
        analysis_(program, environment, &buffers_),
        interpreter_(program, environment),
        q_pieces_(program, environment, ir::Op::kQIdx),
        kv_pieces_(program, environment, ir::Op::kKvIdx),
        builder_(shape_) {
    if (known_.mask != nullptr) {
      const BlockMaskShape& of = known_.mask->shape();
      FLEXJIT_CHECK(of.q_block == shape_.q_block && of.kv_block == shape_.kv_block);
      known_q_blocks_ = of.q_len == shape_.q_len ? of.q_blocks() : std::min(of.q_len, shape_.q_len) / of.q_block;
      known_kv_blocks_ = of.kv_len == shape_.kv_len ? of.kv_blocks() : std::min(of.kv_len, shape_.kv_len) / of.kv_block;
    }
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
    const std::int32_t q_blocks = shape_.q_blocks(), kv_blocks = shape_.kv_blocks();
    for (b_ = 0; b_ < shape_.batch; ++b_) {
      for (h_ = 0; h_ < shape_.heads; ++h_) {
        breaks_.emplace(program_, analysis_, b_, h_);
        for (std::int32_t q = 0; q < known_q_blocks_; ++q) add_known_row(q);
        descend({0, known_q_blocks_, known_kv_blocks_, kv_blocks});
        descend({known_q_blocks_, q_blocks, 0, kv_blocks});
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
    if (rect.size() == 0) return;
    const ir::Box box = box_of(rect);
    if (const std::optional<BlockKind> kind = proof(box)) {
      builder_.add(rect, *kind);
      result_.proved += rect.size();
    } else if (rect.size() == 1) {
      builder_.add(rect, undecided_ == Undecided::kEvaluate ? decide_block(rect, box) : BlockKind::kPartial);
    } else {
      const auto [first, second] = halves(rect, box);
      descend(first);
      descend(second);
    }
  }

  // The whole blocks of the known mask that lie in block row q.
  void add_known_row(std::int32_t q) {
    const bool takes_all = known_.partial || undecided_ == Undecided::kLeavePartial;
    const auto is_known = [&](std::span<const std::int32_t> blocks) {
      return blocks.empty() || blocks.back() < known_kv_blocks_;
    };
    if (takes_all && is_known(known_.mask->kv_indices(b_, h_, q)) && is_known(known_.mask->full_kv_indices(b_, h_, q)))
      return builder_.add_known_row(q, *known_.mask, b_, h_);
    known_.mask->row_runs(b_, h_, q, known_runs_);
    for (const BlockRun& run : known_runs_) {
      const std::int32_t end = std::min(run.kv_end, known_kv_blocks_);
      if (run.kind == BlockKind::kFull || takes_all) {
        builder_.add({q, q + 1, run.kv_begin, std::max(run.kv_begin, end)}, run.kind);
      } else {
        for (std::int32_t kv = run.kv_begin; kv < end; ++kv) descend({q, q + 1, kv, kv + 1});
      }
    }
  }

  // Full or empty for certain, and no read to be reported.
  std::optional<BlockKind> proof(const ir::Box& box) {
    const ir::Range truth = program_.mask().valid() ? analysis_.mask(box) : ir::Range::point(1);
    if (!truth.is_point() || may_fault()) return std::nullopt;
    return truth.lo == 0 ? BlockKind::kEmpty : BlockKind::kFull;
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

  // Whether some position of the box analysed last may read outside a buffer: such a box is never decided by its value, because
  // the read must be met by whoever evaluates the elements and be reported.
  bool may_fault() const {
    return std::ranges::any_of(checked_reads_, [&](ir::Id id) { return may_leave_buffer(analysis_.ranges(), id); });
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

  // Looks for an allowed and a forbidden part of one block that no proof decides as a whole.
  BlockKind decide_block(const BlockRect& block, const ir::Box& box) {
    Parts parts;
    q_pieces_.look_at(b_, h_, {box.q_lo, box.q_hi});
    kv_pieces_.look_at(b_, h_, {box.kv_lo, box.kv_hi});
    const std::int64_t elements = std::int64_t{box.q_hi - box.q_lo + 1} * (box.kv_hi - box.kv_lo + 1);
    if (elements > kSmallBox) probe(box, parts);
    if (!parts.are_enough()) look_inside(box, parts);
    if (parts.evaluated) {
      ++result_.evaluated;
      if (list_evaluated_) result_.evaluated_blocks.push_back({b_, h_, block.q_begin, block.kv_begin});
    }
    if (parts.are_enough()) return BlockKind::kPartial;
    if (!parts.evaluated) ++result_.proved;
    return parts.allowed ? BlockKind::kFull : BlockKind::kEmpty;
  }

  // Proofs of single pairs, which are what most partial blocks need: the corners, then some that are spread inside.
  void probe(const ir::Box& box, Parts& parts) {
    constexpr std::int64_t kCorners = 4, kProbes = 12;
    const std::int64_t rows = box.q_hi - box.q_lo + 1, columns = box.kv_hi - box.kv_lo + 1;
    for (std::int64_t i = 0; i < kProbes && !parts.are_enough(); ++i) {
      // Upper right, lower left, the others; then multiples of two irrational numbers, modulo 1, which spread over any box.
      const std::int64_t bottom = i % 2, right = i < 2 ? 1 - bottom : bottom;
      const std::int64_t down = i < kCorners ? bottom * (rows - 1) : (i * 40503 & 0xffff) * rows >> 16;
      const std::int64_t along = i < kCorners ? right * (columns - 1) : (i * 49471 & 0xffff) * columns >> 16;
      ir::Box pair = box;
      pair.q_lo = pair.q_hi = static_cast<std::int32_t>(box.q_lo + down);
      pair.kv_lo = pair.kv_hi = static_cast<std::int32_t>(box.kv_lo + along);
      note(proof(pair), parts);
    }
  }

  static void note(const std::optional<BlockKind>& proved, Parts& parts) {
    parts.allowed = parts.allowed || proved == BlockKind::kFull;
    parts.forbidden = parts.forbidden || proved == BlockKind::kEmpty;
  }

  // Where a box is cut in four; a begin of the box for no cut along that index.
  struct Cut {
    std::int32_t q, kv;
  };

  // None: the box is to be evaluated. Pieces of buffers come first, along either index alone, because a box that holds none is
  // decided more often than a square one.
  std::optional<Cut> cut_of(const ir::Box& box) {
    const std::int64_t rows = box.q_hi - box.q_lo + 1, columns = box.kv_hi - box.kv_lo + 1;
    const auto q = q_pieces_.split({box.q_lo, box.q_hi}), kv = kv_pieces_.split({box.kv_lo, box.kv_hi});
    if (q || kv) return Cut{q.value_or(box.q_lo), kv.value_or(box.kv_lo)};
    if (rows * columns <= kSmallBox) return std::nullopt;
    return Cut{rows == 1 ? box.q_lo : breaks_->split_q(box.q_lo, box.q_hi),
               columns == 1 ? box.kv_lo : breaks_->split_kv(box.kv_lo, box.kv_hi)};
  }

  // Proofs of all quarters come before the descent into any: opposite corners differ most often.
  void look_inside(const ir::Box& box, Parts& parts) {
    const std::optional<Cut> cut = cut_of(box);
    if (!cut) return evaluate(box, parts);
    std::array<ir::Box, 4> undecided;
    std::size_t count = 0;
    for (auto [q_lo, q_hi] : {std::pair{box.q_lo, cut->q - 1}, {cut->q, box.q_hi}}) {
      for (auto [kv_lo, kv_hi] : {std::pair{box.kv_lo, cut->kv - 1}, {cut->kv, box.kv_hi}}) {
        ir::Box quarter = box;
        quarter.q_lo = q_lo, quarter.q_hi = q_hi, quarter.kv_lo = kv_lo, quarter.kv_hi = kv_hi;
        if (q_lo > q_hi || kv_lo > kv_hi) continue;
        const std::optional<BlockKind> kind = proof(quarter);
        note(kind, parts);
        if (!kind) undecided[count++] = quarter;
      }
    }
    for (std::size_t i = 0; i < count && !parts.are_enough(); ++i) look_inside(undecided[i], parts);
  }

  // Stops as soon as both an allowed and a forbidden element were seen.
  void evaluate(const ir::Box& box, Parts& parts) {
    parts.evaluated = true;
    for (std::int32_t q = box.q_lo; q <= box.q_hi && !(parts.allowed && parts.forbidden); ++q) {
      for (std::int64_t begin = box.kv_lo; begin <= box.kv_hi; begin += ir::Interpreter::kMaxCount) {
        const auto kv = static_cast<std::int32_t>(begin);
        const std::int32_t count = std::min(box.kv_hi - kv + 1, ir::Interpreter::kMaxCount);
        const std::span<std::uint8_t> allowed(allowed_.data(), static_cast<std::size_t>(count));
        const ir::RowRange row{.b = b_, .h = h_, .q_idx = q, .kv_begin = kv, .count = count};
        if (auto fault = interpreter_.eval_mask(row, allowed)) {
          note_fault({q, kv, *fault});
          parts.faulty = true;
          return;
        }
        parts.allowed = parts.allowed || std::ranges::find(allowed, std::uint8_t{1}) != allowed.end();
        parts.forbidden = parts.forbidden || std::ranges::find(allowed, std::uint8_t{0}) != allowed.end();
      }
    }
  }

  void note_fault(const LocatedFault& fault) {
    if (!first_fault_ || fault.before(*first_fault_)) first_fault_ = fault;
  }

  const ir::Program& program_;
  const ir::Environment& environment_;
  Undecided undecided_;
  bool list_evaluated_;
  Known known_;
  std::vector<BlockRun> known_runs_;  // of the current row
  std::int32_t known_q_blocks_ = 0, known_kv_blocks_ = 0;
  BlockMaskShape shape_;
  BufferTable buffers_;
  ir::IntervalAnalysis analysis_;
  ir::Interpreter interpreter_;
  BufferPieces q_pieces_, kv_pieces_;
  BlockMaskBuilder builder_;
  std::optional<AxisBreaks> breaks_;   // of the current plane
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
