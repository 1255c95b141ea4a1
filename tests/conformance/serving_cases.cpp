// Options in the order in which scores meet them: scales of keys, softcap, ALiBi, the text, the mask tensor.
#include "serving_cases.h"

#include <algorithm>
#include <cmath>

#include "support/dropout.h"

namespace flexjit::conformance {

namespace {

constexpr std::int32_t kBlock = 16, kWindowLeft = 9, kWindowRight = 2;
constexpr double kCap = 1.5, kScaleOfScores = 0.6, kDropped = 0.3;

bool is_block_kept(std::int32_t q, std::int32_t kv) { return (q / kBlock + kv / kBlock) % 3 != 1; }

BlockMask checkered(const Lengths& lengths) {
  const BlockMaskShape shape{1, 1, lengths.q, lengths.kv, kBlock, kBlock};
  std::vector<BlockKind> kinds;
  for (std::int32_t q = 0; q < shape.q_blocks(); ++q)
    for (std::int32_t kv = 0; kv < shape.kv_blocks(); ++kv)
      kinds.push_back(is_block_kept(q * kBlock, kv * kBlock) ? BlockKind::kPartial : BlockKind::kEmpty);
  return BlockMask::from_kinds(shape, kinds).value();
}

bool in_pages(const ServingCase& one) {
  return !one.dense &&
         (one.shape.keys == KeysIn::kPages || one.shape.keys == KeysIn::kPagesByHead || one.shape.keys == KeysIn::kPageList);
}

// The element of a scale by entry, head and row of k; one a head in pages.
struct ScaleShape {
  std::int64_t entries, heads, rows;

  std::size_t place(const Ragged::Place& key, std::int64_t head) const {
    return at(((entries == 1 ? 0 : key.batch) * heads + head) * rows + (rows == 1 ? 0 : key.row));
  }
};

}  // namespace

const char* name_of(Option option) {
  constexpr const char* kNames[] = {"causal",  "window", "softcap",     "alibi",    "score_mod",      "mask_mod",
                                    "scale",   "sinks",  "key_lengths", "key_mask", "attention_mask", "dropout",
                                    "sigmoid", "rotary", "block_mask",  "k_scales", "v_scales"};
  static_assert(std::size(kNames) == kOptions);
  return kNames[static_cast<std::size_t>(option)];
}

bool ServingCase::has(Option option) const { return std::ranges::find(options, option) != options.end(); }

std::string to_string(const ServingCase& one) {
  std::string text = one.dense ? "dense" : "sequences";
  for (const Option option : one.options) text += std::string(" ") + name_of(option);
  return text + ", " + to_string(one.shape);
}

Serving::Serving(const ServingCase& one) : case_(one) {
  const RaggedShape& shape = case_.shape;
  if (case_.dense) {
    Shape all = shape.each;
    all.batch = static_cast<std::int32_t>(shape.lengths.size());
    all.q_len = shape.lengths[0].q;
    all.kv_len = shape.lengths[0].kv;
    case_.shape.lengths.assign(shape.lengths.size(), shape.lengths[0]);
    batch_.emplace(all, shape.types, shape.seed);
    args_ = batch_->args();
  } else {
    sequences_.emplace(shape);
    args_ = sequences_->args();
  }
  spec_ = spec_of("", shape.each);
  spec_.dtype = shape.types.q;
  spec_.kv_dtype = shape.types.kv;
  spec_.out_dtype = shape.types.out;
  add_scales();
  add_flags();
  add_texts();
  add_tensors();
  add_rotary();
  add_block_mask();
  args_.bindings = &captures_.bindings();
  mean();
}

std::int32_t Serving::filled(const Position& p) const {
  const std::int32_t kv = lengths_of(p).kv;
  return case_.has(Option::kKeyLengths) ? std::min(key_lengths_[at(p.b)], kv) : kv;
}

std::int32_t Serving::distance(const Position& p) const { return p.q_idx + filled(p) - lengths_of(p).q - p.kv_idx; }

std::int32_t Serving::longest_q() const { return std::ranges::max(case_.shape.lengths, {}, &Lengths::q).q; }
std::int32_t Serving::longest_kv() const { return std::ranges::max(case_.shape.lengths, {}, &Lengths::kv).kv; }

void Serving::add_scales() {
  if (case_.has(Option::kScale)) spec_.scale = pattern_.scale = kScaleOfScores;
  const auto add = [&](std::vector<float>& scales, const TensorView& of, std::uint64_t seed) {
    const bool by_head = in_pages(case_);
    const ScaleShape shape{by_head ? 1 : of.shape[0], of.shape[1], by_head ? 1 : of.shape[2]};
    Random random(seed);
    scales.resize(at(shape.entries * shape.heads * shape.rows));
    for (float& scale : scales) scale = static_cast<float>(0.25 + random.unit());
    return shape;
  };
  const auto view_of = [](const std::vector<float>& scales, const ScaleShape& shape) {
    return TensorView(scales.data(), DType::kF32, {shape.entries, shape.heads, shape.rows, 1});
  };
  const auto scale_at = [this](const std::vector<float>& scales, const ScaleShape& shape, const Position& p) {
    const Ragged::Place key = case_.dense ? Ragged::Place{p.b, p.kv_idx} : sequences_->key(at(p.b), p.kv_idx);
    const std::int32_t group = case_.shape.each.q_heads / case_.shape.each.kv_heads;
    return Real{scales[shape.place(key, p.h / group)]};
  };
  if (case_.has(Option::kKeyScales)) {
    const ScaleShape shape = add(k_scales_, args_.k, 5);
    args_.k_scales = view_of(k_scales_, shape);
    scores_.push_back([=, this](Real score, const Position& p) { return score * scale_at(k_scales_, shape, p); });
  }
  if (case_.has(Option::kValueScales)) {
    const ScaleShape shape = add(v_scales_, args_.v, 6);
    args_.v_scales = view_of(v_scales_, shape);
    factors_.push_back([=, this](const Position& p) { return scale_at(v_scales_, shape, p); });
  }
}

// Longer than 40 lines: a few for each flag, which do not belong together otherwise.
void Serving::add_flags() {
  const auto batch = static_cast<std::int64_t>(case_.shape.lengths.size());
  if (case_.has(Option::kKeyLengths)) {
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int32_t kv = case_.shape.lengths[at(b)].kv;
      key_lengths_.push_back(b % 3 == 2 ? kv + 5 : kv - kv / 3);
    }
    spec_.key_lengths = true;
    captures_.add("key_lengths", {batch}, key_lengths_);
    masks_.push_back([this](const Position& p) { return p.kv_idx < key_lengths_[at(p.b)]; });
  }
  if (case_.has(Option::kCausal)) {
    spec_.causal = true;
    masks_.push_back([this](const Position& p) { return distance(p) >= 0; });
  }
  if (case_.has(Option::kWindow)) {
    spec_.window = Window{kWindowLeft, kWindowRight};
    masks_.push_back([this](const Position& p) { return distance(p) <= kWindowLeft && -distance(p) <= kWindowRight; });
  }
  if (case_.has(Option::kSoftcap)) {
    spec_.softcap = kCap;
    scores_.push_back([](Real score, const Position&) { return kCap * std::tanh(score / kCap); });
  }
  if (case_.has(Option::kAlibi)) {
    spec_.alibi = true;
    std::vector<float> slopes;
    for (std::int32_t i = 0; i < batch * case_.shape.each.q_heads; ++i) slopes.push_back(0.05F * static_cast<float>(1 + i % 5));
    captures_.add("alibi_slopes", {batch, case_.shape.each.q_heads}, slopes);
    const std::int64_t heads = case_.shape.each.q_heads;
    scores_.push_back([=, this](Real score, const Position& p) {
      return score - Real{slopes[at(p.b * heads + p.h)]} * std::abs(distance(p));
    });
  }
  if (case_.has(Option::kDropout)) {
    spec_.dropout = Dropout{.p = kDropped};
    factors_.push_back(DropoutOracle{.p = kDropped});
  }
  if (case_.has(Option::kSinks)) {
    for (std::int32_t h = 0; h < case_.shape.each.q_heads; ++h) {
      sinks_.push_back(4.0F + 0.5F * static_cast<float>(h));
      pattern_.sinks.push_back(static_cast<double>(sinks_.back()));
    }
    args_.sinks = TensorView(sinks_.data(), DType::kF32, {case_.shape.each.q_heads});
  }
}

// Sigmoid weights come with the bias that keeps their sum from growing with the keys.
void Serving::add_texts() {
  spec_.score_mod = "score";
  if (case_.has(Option::kScoreMod)) {
    spec_.score_mod += " + 0.3 * float(kv_idx % 5) - 0.1 * float(q_idx % 3) + 0.2 * b";
    scores_.push_back([](Real score, const Position& p) {
      return score + Real(0.3) * (p.kv_idx % 5) - Real(0.1) * (p.q_idx % 3) + Real(0.2) * p.b;
    });
  }
  if (case_.has(Option::kSigmoid)) {
    spec_.weights = pattern_.weights = Weights::kSigmoid;
    spec_.score_mod += " - log(float(kv_len))";
    scores_.push_back([this](Real score, const Position& p) { return score - std::log(Real(lengths_of(p).kv)); });
    args_.lse = {};
  }
  if (spec_.score_mod == "score") spec_.score_mod.clear();
  if (!case_.has(Option::kMaskMod)) return;
  spec_.mask_mod = "(kv_idx + h + b) % 7 != 2 && kv_idx < kv_len - 1 - q_len // 20";
  masks_.push_back([this](const Position& p) {
    return (p.kv_idx + p.h + p.b) % 7 != 2 && p.kv_idx < lengths_of(p).kv - 1 - lengths_of(p).q / 20;
  });
}

void Serving::add_tensors() {
  const auto batch = static_cast<std::int64_t>(case_.shape.lengths.size());
  const std::int64_t rows = longest_q(), keys = longest_kv();
  Random random(case_.shape.seed + 77);
  if (case_.has(Option::kKeyMask)) {
    for (std::int64_t i = 0; i < batch * keys; ++i) key_mask_.push_back(random.chance(0.6));
    spec_.key_mask = true;
    captures_.add("key_mask", {batch, keys}, key_mask_);
    masks_.push_back([=, this](const Position& p) { return key_mask_[at(p.b * keys + p.kv_idx)]; });
  }
  if (!case_.has(Option::kAttentionMask)) return;
  std::vector<float> bias = random.normals(at(rows * keys));
  for (float& each : bias) each = random.chance(0.2) ? -INFINITY : each;
  spec_.attention_mask = MaskTensor{DType::kF32, 2};
  captures_.add("attention_mask", {rows, keys}, bias);
  scores_.push_back([=](Real score, const Position& p) { return score + Real{bias[at(p.q_idx * keys + p.kv_idx)]}; });
  masks_.push_back([=](const Position& p) { return !std::isinf(bias[at(p.q_idx * keys + p.kv_idx)]); });
}

// The oracle's queries rotate; what the call is given does not.
void Serving::add_rotary() {
  if (!case_.has(Option::kRotary)) return;
  const std::int32_t dim = case_.shape.each.head_dim;
  tables_.emplace(std::max(longest_kv(), longest_q()), dim / 4 * 2, RotaryPairing::kHalves);
  rotary_ = tables_->arg();
  args_.rotary = &rotary_;
  const auto rotate = [&](Tensor& q, std::int64_t length, std::int64_t past) {
    for (std::size_t row = 0; row < q.size() / at(dim); ++row) {
      std::vector<double> values(at(dim));
      for (std::size_t d = 0; d < at(dim); ++d) values[d] = q[row * at(dim) + d];
      values = tables_->rotated(values, past + static_cast<std::int64_t>(row) % length);
      for (std::size_t d = 0; d < at(dim); ++d) q.set(row * at(dim) + d, values[d]);
    }
  };
  if (case_.dense) {
    const Lengths all = case_.shape.lengths[0];
    q_ = batch_->q;
    args_.q = std::as_const(*q_).view();
    rotate(batch_->q, all.q, all.kv - all.q);
    return;
  }
  for (std::size_t i = 0; i < case_.shape.lengths.size(); ++i) {
    const Lengths own = case_.shape.lengths[i];
    if (own.kv > 0) rotate(sequences_->problem(i).q, own.q, own.kv - own.q);
  }
}

void Serving::add_block_mask() {
  if (!case_.has(Option::kBlockMask)) return;
  masks_.push_back([](const Position& p) { return is_block_kept(p.q_idx, p.kv_idx); });
  for (const Lengths& own : case_.shape.lengths) block_masks_.push_back(checkered(own));
  if (case_.dense)
    args_.block_mask = block_masks_.data();
  else
    sequences_->sequences.block_masks = block_masks_;
}

void Serving::mean() {
  if (!scores_.empty()) {
    pattern_.score = [this](Real score, const Position& p) {
      for (const Score& next : scores_) score = next(score, p);
      return score;
    };
  }
  if (!masks_.empty()) {
    pattern_.mask = [this](const Position& p) { return std::ranges::all_of(masks_, [&](const Truth& one) { return one(p); }); };
  }
  if (!factors_.empty()) {
    pattern_.factor = [this](const Position& p) {
      Real product = 1;
      for (const auto& one : factors_) product *= one(p);
      return product;
    };
  }
}

Bounds Serving::bounds() const {
  const DType q = case_.shape.types.q;
  if (q == DType::kF32) return {near(3e-5), near(3e-5)};
  return {near(q == DType::kBF16 ? 2e-2 : 3e-3), near(1e-2)};
}

::testing::AssertionResult Serving::is_attention() const {
  return case_.dense ? test::is_attention(*batch_, pattern_, bounds()) : sequences_->is_attention(pattern_, bounds());
}

std::vector<double> Serving::outputs() const { return case_.dense ? batch_->out.values() : sequences_->out.values(); }

bool Serving::is_untouched() const {
  return std::ranges::all_of(outputs(), [](double x) { return std::isnan(x); });
}

}  // namespace flexjit::conformance
