// The order of attempts is that of their cost for the blocks that are met most.
#include "mask/derive/block_decider.h"

#include <algorithm>
#include <utility>

namespace flexjit::mask {

namespace {

constexpr std::int64_t kSmallBox = 64;  // elements of a box that is evaluated rather than analysed any further
// Nodes from which on a box is dear enough for representatives to come first, a read among them counting as several, and how
// many representatives are cheaper than boxes.
constexpr std::size_t kManyNodes = 32, kRead = 4;
constexpr std::int32_t kFewRepresentatives = 8;
constexpr std::int64_t kBoxesInside = 256;  // of one block

std::int64_t elements_of(const ir::Box& box) {
  return (std::int64_t{box.q_hi} - box.q_lo + 1) * (std::int64_t{box.kv_hi} - box.kv_lo + 1);
}

void note(const std::optional<BlockKind>& proved, Seen& seen) {
  seen.allowed = seen.allowed || proved == BlockKind::kFull;
  seen.forbidden = seen.forbidden || proved == BlockKind::kEmpty;
}

}  // namespace

Parts BlockDecider::decide(const ir::Box& block, Nodes open) {
  Parts parts;
  open_ = open;
  q_pieces_.look_at(block.b_lo, block.h_lo, {block.q_lo, block.q_hi});
  kv_pieces_.look_at(block.b_lo, block.h_lo, {block.kv_lo, block.kv_hi});
  patience_ = prover_.work() + kBoxesInside * static_cast<std::int64_t>(open.size() + 2);
  if (elements_of(block) > kSmallBox) probe(block, parts);
  if (!parts.are_enough()) look_inside(block, parts);
  if (parts.are_enough() || prover_.work() < patience_) return parts;
  parts.evaluated = true;
  constexpr std::int32_t kAny = LaneEvaluator::kMaxCount;
  if (const auto seen = representatives_.look(block, open, kAny, prover_))
    parts.seen = *seen;
  else
    evaluate(block, parts);
  return parts;
}

std::optional<Parts> BlockDecider::decide_by_few(const ir::Box& block, Nodes open) {
  const bool one_index = varies_with_one_index(open);
  if (!one_index && !is_dear(open)) return std::nullopt;
  const auto seen = representatives_.look(block, open, one_index ? 1 : kFewRepresentatives, prover_);
  if (!seen) return std::nullopt;
  return Parts{.seen = *seen, .evaluated = !one_index};
}

bool BlockDecider::is_dear(Nodes open) const {
  const auto is_read = [&](std::uint32_t node) { return program_.nodes()[node].op == ir::Op::kRead; };
  const auto reads = static_cast<std::size_t>(std::ranges::count_if(open, is_read));
  return open.size() + (kRead - 1) * reads >= kManyNodes;
}

bool BlockDecider::varies_with_one_index(Nodes open) const {
  return representatives_.vary_only_with(ir::Op::kQIdx, open) || representatives_.vary_only_with(ir::Op::kKvIdx, open);
}

Parts BlockDecider::decide_cheap(const ir::Box& block, Nodes open) {
  const bool one_index = varies_with_one_index(open);
  const auto seen = representatives_.look(block, open, one_index ? 1 : kFewRepresentatives / 2, prover_);
  return {.seen = seen.value_or(Seen{true, true}), .evaluated = !one_index};
}

// Proofs of single pairs, which are what most partial blocks need: the corners, then some that are spread inside.
void BlockDecider::probe(const ir::Box& box, Parts& parts) {
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
    note(prover_.prove(pair, open_), parts.seen);
  }
}

// None: the box is to be evaluated. Pieces of buffers come first, along either index alone, because a box that holds none is
// decided more often than a square one.
std::optional<BlockDecider::Cut> BlockDecider::cut_of(const ir::Box& box) {
  const auto q = q_pieces_.split({box.q_lo, box.q_hi}), kv = kv_pieces_.split({box.kv_lo, box.kv_hi});
  if (q || kv) return Cut{q.value_or(box.q_lo), kv.value_or(box.kv_lo)};
  if (elements_of(box) <= kSmallBox) return std::nullopt;
  return Cut{box.q_lo == box.q_hi ? box.q_lo : breaks_->split_q(box.q_lo, box.q_hi),
             box.kv_lo == box.kv_hi ? box.kv_lo : breaks_->split_kv(box.kv_lo, box.kv_hi)};
}

// Proofs of all quarters come before the descent into any: opposite corners differ most often.
void BlockDecider::look_inside(const ir::Box& box, Parts& parts) {
  if (prover_.work() >= patience_) return;
  const std::optional<Cut> cut = cut_of(box);
  if (!cut) return evaluate(box, parts);
  std::array<ir::Box, 4> undecided;
  std::size_t count = 0;
  for (auto [q_lo, q_hi] : {std::pair{box.q_lo, cut->q - 1}, {cut->q, box.q_hi}}) {
    for (auto [kv_lo, kv_hi] : {std::pair{box.kv_lo, cut->kv - 1}, {cut->kv, box.kv_hi}}) {
      ir::Box quarter = box;
      quarter.q_lo = q_lo, quarter.q_hi = q_hi, quarter.kv_lo = kv_lo, quarter.kv_hi = kv_hi;
      if (q_lo > q_hi || kv_lo > kv_hi) continue;
      const std::optional<BlockKind> kind = prover_.prove(quarter, open_);
      note(kind, parts.seen);
      if (!kind) undecided[count++] = quarter;
    }
  }
  for (std::size_t i = 0; i < count && !parts.are_enough(); ++i) look_inside(undecided[i], parts);
}

// Stops as soon as both an allowed and a forbidden element were seen.
void BlockDecider::evaluate(const ir::Box& box, Parts& parts) {
  parts.evaluated = true;
  if (!interpreter_) interpreter_.emplace(program_, environment_);
  for (std::int32_t q = box.q_lo; q <= box.q_hi && !parts.are_enough(); ++q) evaluate_row(box, q, parts);
}

void BlockDecider::evaluate_row(const ir::Box& box, std::int32_t q, Parts& parts) {
  for (std::int64_t begin = box.kv_lo; begin <= box.kv_hi; begin += ir::Interpreter::kMaxCount) {
    const auto kv = static_cast<std::int32_t>(begin);
    const std::int32_t count = std::min(box.kv_hi - kv + 1, ir::Interpreter::kMaxCount);
    const std::span<std::uint8_t> allowed(allowed_.data(), static_cast<std::size_t>(count));
    const ir::RowRange row{.b = box.b_lo, .h = box.h_lo, .q_idx = q, .kv_begin = kv, .count = count};
    prover_.add_work(static_cast<std::int64_t>(open_.size()) + count / 16);
    if (const auto fault = interpreter_->eval_mask(row, allowed)) {
      const LocatedFault located{q, kv, *fault};
      if (!fault_ || located.before(*fault_)) fault_ = located;
      parts.faulty = true;
      return;
    }
    parts.seen.allowed = parts.seen.allowed || std::ranges::find(allowed, std::uint8_t{1}) != allowed.end();
    parts.seen.forbidden = parts.seen.forbidden || std::ranges::find(allowed, std::uint8_t{0}) != allowed.end();
  }
}

}  // namespace flexjit::mask
