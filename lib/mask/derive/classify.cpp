// One quadtree descent a plane: the whole plane first, then halves of the longer side, until interval analysis decides a
// rectangle of blocks, what is left open varies with one index alone, or one block is left. The cost grows with the undecided
// parts only; where these are many and the mask repeats, rows of blocks are copied from those above, and where block after
// block is partial, these are decided without the descent.
#include "mask/derive/classify.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "ir/analysis/intervals.h"
#include "mask/blocks/block_mask_builder.h"
#include "mask/derive/axis_breaks.h"
#include "mask/derive/block_decider.h"
#include "mask/derive/repetition.h"
#include "mask/derive/separation.h"
#include "support/check.h"

namespace flexjit::mask {

namespace {

class Classifier {
 public:
  // `request` has the planes of the mask as it is written: what a table holds may vary with them.
  Classifier(Separation& tables, const ClassifyRequest& request) : Classifier(tables.program(), tables.environment(), request) {
    tables_ = &tables;
  }

  Classifier(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& request)
      : program_(program),
        request_(request),
        known_(request.known),
        shape_(request.shape),
        varies_(dependences(program)),
        prover_(program, environment, varies_),
        representatives_(program, environment, varies_),
        decider_(program, environment, prover_, representatives_),
        repetition_(program, varies_),
        builder_(shape_) {
    if (known_.mask == nullptr) return;
    const BlockMaskShape& of = known_.mask->shape();
    FLEXJIT_CHECK(of.q_block == shape_.q_block && of.kv_block == shape_.kv_block);
    known_q_blocks_ = of.q_len == shape_.q_len ? of.q_blocks() : std::min(of.q_len, shape_.q_len) / of.q_block;
    known_kv_blocks_ = of.kv_len == shape_.kv_len ? of.kv_blocks() : std::min(of.kv_len, shape_.kv_len) / of.kv_block;
  }

  // None: a table could not be filled.
  std::optional<Classified> run() && {
    for (b_ = request_.first_b; b_ < request_.first_b + shape_.batch; ++b_) {
      for (h_ = 0; h_ < shape_.heads; ++h_) {
        if (request_.budget != kNoBudget) budget_end_ = prover_.work() + request_.budget / shape_.heads;
        if (tables_ != nullptr && !fill_tables()) return std::nullopt;
        classify_plane();
        result_.work = prover_.work();
        if (decider_.fault()) {
          result_.fault = decider_.fault()->fault;
          return std::move(result_);
        }
        builder_.finish_plane();
      }
    }
    result_.mask = std::move(builder_).build();
    return std::move(result_);
  }

 private:
  bool fill_tables() {
    const Separation::Filled filled = tables_->fill(b_, h_);
    if (filled == Separation::Filled::kAnew) prover_.forget();
    return filled != Separation::Filled::kFaulty;
  }

  // A part of open_: what the rectangles in progress hang on, innermost last.
  struct Open {
    std::size_t begin = 0, end = 0;
    bool by_column = false, by_row = false;  // varies with kv_idx alone, with q_idx alone
  };
  Open open_from(std::size_t begin) const {
    Open open{begin, open_.size()};
    open.by_column = representatives_.vary_only_with(ir::Op::kKvIdx, nodes(open));
    open.by_row = representatives_.vary_only_with(ir::Op::kQIdx, nodes(open));
    return open;
  }
  Nodes nodes(Open open) const { return {open_.data() + open.begin, open.end - open.begin}; }

  void classify_plane() {
    const std::int32_t q_blocks = shape_.q_blocks(), kv_blocks = shape_.kv_blocks();
    const BlockRect plane{0, q_blocks, 0, kv_blocks};
    prover_.start_plane(plane.size() == 0 ? ir::Box{.b_lo = b_, .b_hi = b_, .h_lo = h_, .h_hi = h_} : box_of(plane));
    open_.assign(prover_.plane_nodes().begin(), prover_.plane_nodes().end());
    whole_ = open_from(0);
    representatives_.forget();
    std::int64_t moved = 0;
    if (known_.mask == nullptr && plane.size() > 0) moved = repetition_.distance(prover_.ranges(), unit(), longest_move());
    if (request_.undecided == Undecided::kEvaluate) decider_.start_plane(breaks_.emplace(program_, prover_.analysis(), b_, h_));
    for (std::int32_t q = 0; q < known_q_blocks_; ++q) add_known_row(q);
    if (moved > 0 && is_costly_row(moved)) return copy_rows(moved);
    descend_all({0, known_q_blocks_, known_kv_blocks_, kv_blocks});
    descend_all({known_q_blocks_, q_blocks, 0, kv_blocks});
  }

  // Rows and columns of blocks meet again after so many positions.
  std::int64_t unit() const { return std::lcm(std::int64_t{shape_.q_block}, std::int64_t{shape_.kv_block}); }
  // From an eighth of the plane on there is little to copy.
  std::int64_t longest_move() const { return std::min(shape_.q_len, shape_.kv_len) / 8; }

  // Lower keys before higher ones, as the builder demands. Depth is at most the bits of both block counts.
  void descend_all(const BlockRect& rect) { descend(rect, whole_, budget_end_); }

  // Whether a row of blocks in the middle of the plane takes more boxes than copying it would. Nothing is kept of it.
  bool is_costly_row(std::int64_t moved) {
    constexpr std::int64_t kBoxes = 32;
    const std::int64_t proved = result_.proved, evaluated = result_.evaluated;
    const std::size_t listed = result_.evaluated_blocks.size();
    const auto rows = static_cast<std::int32_t>(moved / shape_.q_block);
    const std::int32_t middle = shape_.q_blocks() / 2;
    patience_ = prover_.work() + rows * kBoxes * static_cast<std::int64_t>(open_.size() + 2);
    descend_all({middle, middle + rows, 0, shape_.kv_blocks()});
    const bool is_costly = prover_.work() >= patience_;
    patience_ = kNoBudget;
    result_.proved = proved, result_.evaluated = evaluated;
    result_.evaluated_blocks.resize(listed);
    builder_.clear_plane();
    return is_costly;
  }

  void descend(const BlockRect& rect, Open open, std::int64_t end) {
    if (rect.size() == 0 || prover_.work() >= patience_) return;
    if (prover_.work() >= end) return builder_.add(rect, BlockKind::kPartial);
    if (partial_in_a_row_ >= kExpected && rect.size() <= kTogether) return decide_each(rect, open, end);
    const ir::Box box = box_of(rect);
    if (const std::optional<BlockKind> kind = prover_.prove(box, nodes(open))) {
      builder_.add(rect, *kind);
      result_.proved += rect.size();
      return;
    }
    constexpr std::size_t kFewNodes = 12;  // are analysed sooner than sorted out
    if (open.end - open.begin <= kFewNodes) return descend_open(rect, box, open, end);
    const std::size_t begin = open_.size();
    open_.reserve(2 * begin);  // what is appended is a part of what is there
    prover_.add_open_nodes(nodes(open), open_);
    descend_open(rect, box, open_from(begin), end);
    open_.resize(begin);
  }

  // What varies with one index alone is decided column by column, or row by row: one block stands for all of it.
  void descend_open(const BlockRect& rect, const ir::Box& box, Open open, std::int64_t end) {
    const std::int32_t rows = rect.q_end - rect.q_begin, columns = rect.kv_end - rect.kv_begin;
    if ((open.by_column || rows == 1) && (open.by_row || columns == 1)) return decide_block(rect, open);
    const bool taller = open.by_row || (!open.by_column && box.q_hi - box.q_lo > box.kv_hi - box.kv_lo);
    BlockRect first = rect, second = rect;
    if (columns == 1 || (rows > 1 && taller)) {
      first.q_end = second.q_begin = rect.q_begin + rows / 2;
    } else {
      first.kv_end = second.kv_begin = rect.kv_begin + columns / 2;
    }
    descend(first, open, end == kNoBudget ? end : prover_.work() + (end - prover_.work()) / 2);
    descend(second, open, end);
  }

  // Where block after block is partial and seen to be so from few of its pairs, a proof is dearer than the pairs.
  void decide_each(const BlockRect& rect, Open open, std::int64_t end) {
    for (std::int32_t q = rect.q_begin; q < rect.q_end; ++q) {
      for (std::int32_t kv = rect.kv_begin; kv < rect.kv_end; ++kv) {
        const BlockRect block{q, q + 1, kv, kv + 1};
        const auto parts = prover_.work() < end ? decider_.decide_by_few(box_of(block), nodes(open)) : std::nullopt;
        if (parts && parts->are_enough()) {
          settle(block, *parts);
          continue;
        }
        partial_in_a_row_ = 0;
        descend({q, q + 1, kv, rect.kv_end}, open, end);
        return descend({q + 1, rect.q_end, rect.kv_begin, rect.kv_end}, open, end);
      }
    }
  }

  // The first block, for all of the rectangle.
  void decide_block(const BlockRect& rect, Open open) {
    const ir::Box block = box_of({rect.q_begin, rect.q_begin + 1, rect.kv_begin, rect.kv_begin + 1});
    if (request_.undecided == Undecided::kEvaluate) {
      const auto few = decider_.decide_by_few(block, nodes(open));
      partial_in_a_row_ = few && few->are_enough() ? partial_in_a_row_ + 1 : 0;
      settle(rect, few ? *few : decider_.decide(block, nodes(open)));
    } else if (request_.undecided == Undecided::kDecideCheap) {
      settle(rect, decider_.decide_cheap(block, nodes(open)));
    } else {
      settle(rect, {.seen = {true, true}});
    }
  }

  void settle(const BlockRect& rect, const Parts& parts) {
    if (parts.evaluated) {
      ++result_.evaluated;
      if (request_.list_evaluated) result_.evaluated_blocks.push_back({b_, h_, rect.q_begin, rect.kv_begin});
    }
    const bool is_partial = parts.are_enough();
    if (!is_partial) result_.proved += rect.size() - (parts.evaluated ? 1 : 0);
    builder_.add(rect, is_partial ? BlockKind::kPartial : parts.seen.allowed ? BlockKind::kFull : BlockKind::kEmpty);
  }

  // The whole blocks of the known mask that lie in block row q.
  void add_known_row(std::int32_t q) {
    const bool takes_all = known_.partial || request_.undecided != Undecided::kEvaluate;
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
        for (std::int32_t kv = run.kv_begin; kv < end; ++kv) descend_all({q, q + 1, kv, kv + 1});
      }
    }
  }

  // Band by band of as many rows as the mask moves by. Blocks that are cut short by the lengths are no copies of others, unless
  // they stay in their column.
  void copy_rows(std::int64_t moved) {
    moved_ = {static_cast<std::int32_t>(moved / shape_.q_block), static_cast<std::int32_t>(moved / shape_.kv_block)};
    const std::int32_t q_blocks = shape_.q_blocks(), kv_blocks = shape_.kv_blocks();
    const std::int32_t whole_rows = shape_.q_len / shape_.q_block, whole_columns = shape_.kv_len / shape_.kv_block;
    std::int32_t q = std::min(moved_.rows, whole_rows);
    descend_all({0, q, 0, kv_blocks});
    constexpr int kTries = 8;  // bands in a row of which nothing could be copied
    for (int failed = 0; q < whole_rows && failed < kTries; q += moved_.rows) {
      const std::int32_t end = std::min(q + moved_.rows, whole_rows);
      if (copied({q, end, 0, kv_blocks}, 0)) continue;
      descend_all({q, end, 0, moved_.columns});
      failed = copy_or_descend({q, end, moved_.columns, whole_columns}) ? 0 : failed + 1;
      descend_all({q, end, whole_columns, kv_blocks});
    }
    descend_all({std::min(q, whole_rows), q_blocks, 0, kv_blocks});
  }

  // Whether anything was copied.
  bool copy_or_descend(const BlockRect& rect) {
    if (rect.size() == 0) return true;
    if (copied(rect, moved_.columns) || copied(rect, 0)) return true;
    const std::int32_t columns = rect.kv_end - rect.kv_begin;
    if (columns <= 2 * moved_.columns) return descend_all(rect), false;
    BlockRect first = rect, second = rect;
    first.kv_end = second.kv_begin = rect.kv_begin + columns / 2;
    const bool first_copied = copy_or_descend(first);
    return copy_or_descend(second) || first_copied;
  }

  // False: the rectangle is not what lies a band above it, so many columns to the left.
  bool copied(const BlockRect& rect, std::int32_t columns) {
    if (prover_.work() >= budget_end_) return descend_all(rect), true;
    const BlockRect both{rect.q_begin - moved_.rows, rect.q_end, rect.kv_begin - columns, rect.kv_end};
    const std::optional<BlockKind> kind = prover_.prove(box_of(both), nodes(whole_));
    const Repetition::Move move{std::int64_t{moved_.rows} * shape_.q_block, std::int64_t{columns} * shape_.kv_block};
    if (!kind && !repetition_.holds(prover_, nodes(whole_), move)) return false;
    result_.proved += rect.size();
    if (kind)
      builder_.add(rect, *kind);
    else
      copy(rect, columns);
    return true;
  }

  void copy(const BlockRect& rect, std::int32_t columns) {
    constexpr std::int64_t kRun = 4, kRow = 2;  // what one takes until it is in its list
    const std::size_t runs = builder_.runs();
    for (std::int32_t q = rect.q_begin; q < rect.q_end; ++q)
      result_.proved -= builder_.copy_row(q, {q - moved_.rows, columns, rect.kv_begin, rect.kv_end});
    prover_.add_work(kRow * (rect.q_end - rect.q_begin) + kRun * static_cast<std::int64_t>(builder_.runs() - runs));
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

  // In blocks.
  struct Moved {
    std::int32_t rows = 0, columns = 0;
  };

  const ir::Program& program_;
  const ClassifyRequest& request_;
  Separation* tables_ = nullptr;
  Known known_;
  std::vector<BlockRun> known_runs_;  // of the current row
  std::int32_t known_q_blocks_ = 0, known_kv_blocks_ = 0;
  BlockMaskShape shape_;
  std::vector<Dependence> varies_;
  BoxProver prover_;
  Representatives representatives_;
  BlockDecider decider_;
  Repetition repetition_;
  BlockMaskBuilder builder_;
  std::optional<AxisBreaks> breaks_;  // of the current plane
  std::vector<std::uint32_t> open_;
  Open whole_;                                                  // of the plane
  std::int64_t budget_end_ = kNoBudget, patience_ = kNoBudget;  // in the prover's work
  static constexpr std::int64_t kExpected = 8, kTogether = 16;  // blocks
  std::int64_t partial_in_a_row_ = 0;
  Moved moved_;
  std::int32_t b_ = 0, h_ = 0;
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

Classified classify(const ir::Program& program, const ir::Environment& environment, const ClassifyRequest& wanted) {
  ClassifyRequest request = wanted;
  request.shape = broadcast_shape(program, wanted.shape);
  // Of a mask that is only extended little is analysed, so that tables of all positions would cost more.
  const std::int64_t most = request.known.mask != nullptr && request.known.partial ? 0 : request.budget / 4;
  Separation tables(program, environment, most);
  if (tables.is_worthwhile()) {
    if (auto found = Classifier(tables, request).run()) return *std::move(found);
  }
  return *Classifier(program, environment, request).run();
}

}  // namespace flexjit::mask
