// KernelKey and program -> the kernel's loops as pseudo-code, the pattern's own computations at the loop that makes them: one
// page that says what runs how often, without the code of any of it.
#include <fmt/format.h>

#include "ir/program/expression_texts.h"
#include "plan/hoisting.h"
#include "plan/sizes/scratch.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

using ir::Id;
using plan::Level;

// What the pattern computes at each loop: `%7 = slope[h]`. Later lines use these names.
class Computed {
 public:
  explicit Computed(const Subject& subject)
      : program_(subject.program), hoisting_(plan::hoist(subject.program, subject.key.nest)), names_(subject.program.size()) {
    for (std::uint32_t i = 0; i < program_.size(); ++i) {
      for (Id operand : program_.operands(Id{i}))
        if (level(operand) != level(Id{i}) && !is_leaf(operand)) names_[operand.index] = fmt::format("%{}", operand.index);
    }
    const ir::ExpressionTexts texts(program_, subject.interface, names_);
    for (std::uint32_t i = 0; i < program_.size(); ++i) texts_.push_back(texts[Id{i}]);
  }

  std::vector<std::string> lines(Level at) const {
    std::vector<std::string> lines;
    for (std::uint32_t i = 0; i < program_.size(); ++i)
      if (level(Id{i}) == at && !names_[i].empty()) lines.push_back(fmt::format("{} = {}", names_[i], texts_[i]));
    return lines;
  }

  // "" where the pattern has none.
  std::string score() const { return root(program_.score()); }
  std::string mask() const { return root(program_.mask()); }
  // That of the score as it comes in, by `score_grad`.
  std::string gradient() const {
    const std::string text = root(program_.roots()[ir::Root::kScoreGrad]);
    return text.empty() ? std::string(ir::mnemonic(ir::Op::kScoreGrad)) : text;
  }
  // What is added to gradients of captured buffers.
  std::vector<std::string> accumulated() const {
    std::vector<std::string> lines;
    for (Id id : program_.accumulations()) lines.push_back(texts_[id.index]);
    return lines;
  }
  std::string weight_factor() const { return root(program_.weight_factor()); }
  std::int32_t score_cost() const { return hoisting_.score_cost; }

 private:
  Level level(Id id) const { return hoisting_.level[id.index]; }
  bool is_leaf(Id id) const {
    const auto rule = ir::type_rule(program_.node(id).op);
    return rule == ir::TypeRule::kConst || rule == ir::TypeRule::kVariable;
  }
  std::string root(Id id) const {
    if (!id.valid()) return "";
    return names_[id.index].empty() ? texts_[id.index] : names_[id.index];
  }

  const ir::Program& program_;
  const plan::Hoisting hoisting_;
  std::vector<std::string> names_, texts_;  // by node; a name only of what another loop uses
};

class NestText {
 public:
  explicit NestText(const Subject& subject) : key_(subject.key), computed_(subject) {}

  ViewResult run() {
    switch (key_.nest) {
      case plan::Nest::kPrefill: prefill(); break;
      case plan::Nest::kDecode: decode(); break;
      case plan::Nest::kBackward: backward(); break;
      case plan::Nest::kLinear:
      case plan::Nest::kLinearRows: break;  // refused before
    }
    return {.text = std::move(text_), .json = {{"nest", plan::name_of(key_.nest)}, {"lines", std::move(lines_)}}};
  }

 private:
  void line(int depth, const std::string& code, const std::string& why = "") {
    constexpr int kColumn = 64;
    const std::string indented = fmt::format("{:{}}{}", "", 2 * depth, code);
    text_ += why.empty() ? indented + "\n" : fmt::format("{:<{}} # {}\n", indented, kColumn - 1, why);
    lines_.push_back({{"depth", depth}, {"code", code}, {"comment", why}});
  }
  void computed(int depth, Level at, const char* why) {
    for (const std::string& expression : computed_.lines(at)) line(depth, expression, why);
  }
  // The score of one pair, in the innermost loop.
  void pair(int depth) {
    computed(depth, Level::kElement, "for each score");
    if (const std::string score = computed_.score(); !score.empty() && score != "score")
      line(depth, "score = " + score, fmt::format("score_mod, some {} vector instructions", computed_.score_cost()));
    if (const std::string mask = computed_.mask(); !mask.empty())
      line(depth, fmt::format("if not ({}): score = -inf", mask), "mask_mod, only where the blocks did not decide");
  }

  void prefill() {
    const plan::Tiling& t = key_.tiling;
    const plan::KernelLayout layout = plan::layout_of(key_);
    line(0, fmt::format("parallel for b, h, tile of {} query rows:", t.q_tile), "a work item; the costly ones first");
    computed(1, Level::kUniform, "once a work item");
    line(1, "for row in tile:");
    line(2, "q[row] = scale * Q[b, h, row, :]", "in the layout of the products");
    computed(2, Level::kRow, "once a query row, in a table");
    line(1, "for span of keys that the block mask visits:", "empty blocks are no span; full ones need no mask");
    line(2, fmt::format("for key tile of {} keys in span:", t.kv_tile), "K is packed, a vector of keys side by side");
    computed(3, Level::kColumn, "once a key of the tile, in a table");
    computed(3, Level::kDiagonal, "once a diagonal kv_idx - q_idx, in a table");
    line(3, fmt::format("for group of {} rows:", t.micro_rows));
    line(4, fmt::format("visits = panels of {} keys with an allowed pair", layout.lanes),
         "by interval arithmetic in the kernel");
    line(3, fmt::format("for strip of {} keys, group of {} rows:", layout.strip, t.micro_rows),
         fmt::format("{} x {} accumulators in registers", t.micro_rows, t.micro_vectors));
    line(4, fmt::format("for d in {}:", key_.head_dim), "score = q . k");
    line(5, "score[row, key] += q[row, d] * K[key, d]");
    pair(4);
    softmax(3, fmt::format("group of {} rows", t.micro_rows));
    line(3, fmt::format("for chunk of value columns, group of {} rows:", t.micro_rows), "over allowed keys alone");
    line(4, "o[row, d] = rescale * o[row, d] + p[row, key] * V[key, d]");
    finish(1, "row in tile");
  }

  void decode() {
    const plan::Tiling& t = key_.tiling;
    line(0, "parallel for b, kv head, range of keys:", "a work item; ranges depend on the length alone");
    computed(1, Level::kUniform, "once a work item");
    line(1, fmt::format("for row in query rows of all heads of the kv head, {} at most:", t.q_tile));
    line(2, "q[row] = scale * Q[b, h, q_idx, :]");
    computed(2, Level::kRow, "once a query row of any head, in a table");
    line(1, "for span of keys that the block mask visits:");
    line(2, fmt::format("for step of {} keys in span:", t.kv_tile), "K and V are read once, as they lie, for all rows");
    computed(3, Level::kColumn, "once a key of the step, in a table");
    line(3, fmt::format("for {} rows, {} keys:", t.micro_rows, t.micro_vectors), "score = q . k, vectors along head_dim");
    line(4, "score[row, key] = q[row, :] . K[key, :]");
    line(3, "for row, vector of keys:");
    pair(4);
    softmax(3, "row");
    line(3, fmt::format("for {} rows, {} vectors of value columns:", t.micro_rows, t.micro_vectors));
    line(4, "o[row, d] = rescale * o[row, d] + p[row, key] * V[key, d]");
    line(1, "state of the range = o, maximum, sum", "unnormalised");
    line(0, "for b, kv head, row:", "after all ranges, in their order");
    line(1, "out[row], lse[row] = merged states");
  }

  void backward() {
    const plan::Tiling& t = key_.tiling;
    const plan::KernelLayout layout = plan::layout_of(key_);
    line(0, fmt::format("for b, kv head, tile of {} keys at most:", t.kv_tile),
         "threads take tiles; a tile follows the one before it");
    line(1, fmt::format("for h of the kv head, tile of {} query rows:", t.q_tile),
         "a work item; only where the block mask visits");
    computed(2, Level::kUniform, "once a work item");
    computed(2, Level::kRow, "once a query row, in a table");
    computed(2, Level::kColumn, "once a key of the tile, in a table");
    computed(2, Level::kDiagonal, "once a diagonal kv_idx - q_idx, in a table");
    line(2, fmt::format("for strip of {} keys, group of {} rows:", layout.strip, t.micro_rows),
         fmt::format("{} x {} accumulators in registers", t.micro_rows, t.micro_vectors));
    line(3, "score[row, key] = scale * Q[row, :] . K[key, :]");
    line(3, "dp[row, key] = dO[row, :] . V[key, :]");
    pair(3);
    factor(3, "dp *= {}");
    if (key_.weights == plan::Weights::kSigmoid) {
      line(3, "p = 1 / (1 + exp(-score)); score_grad = p * (1 - p) * dp");
    } else {
      line(3, "p = exp(score - lse[row]); score_grad = p * (dp - delta[row])", "delta = dO . out - dlse, once a row");
    }
    line(3, "ds = " + computed_.gradient(), "back through score_mod; 0, as p, where the mask forbids");
    for (const std::string& added : computed_.accumulated()) line(3, added, "of pairs that are allowed");
    factor(3, "p *= {}");
    line(2, fmt::format("for chunk of dims, {} keys:", t.micro_rows), "over the rows that visit the keys");
    line(3, "dV[key, d] += p[row, key] * dO[row, d]");
    line(3, "dK[key, d] += ds[row, key] * scale * Q[row, d]");
    line(2, fmt::format("for chunk of dims, group of {} rows:", t.micro_rows), "over the keys that the group visits");
    line(3, "dQ[row, d] += ds[row, key] * K[key, d]", "times scale, in the end");
  }

  void softmax(int depth, const std::string& rows) {
    if (key_.weights == plan::Weights::kSigmoid) {
      line(depth, "p = 1 / (1 + exp(-score))", "weights are not normalised");
      return factor(depth, "p *= {}");
    }
    line(depth, fmt::format("for {}:", rows), "online softmax");
    line(depth + 1, "m = max(m, scores of the row); p = exp(score - m)");
    line(depth + 1, "rescale = exp(m before - m); sum = rescale * sum + p");
    factor(depth + 1, "p *= {}");
  }

  // What weights are multiplied with, if the pattern says.
  void factor(int depth, fmt::format_string<const std::string&> code) {
    if (const std::string by = computed_.weight_factor(); !by.empty())
      line(depth, fmt::format(code, by), "dropout; sums do not know it");
  }

  void finish(int depth, const std::string& rows) {
    line(depth, fmt::format("for {}:", rows));
    if (key_.weights == plan::Weights::kSigmoid) return line(depth + 1, "out[row] = o[row]");
    line(depth + 1, "out[row] = o[row] / sum; lse[row] = m + log(sum)", "the sink, if any, is in m and sum; no key: 0, -inf");
  }

  const plan::KernelKey& key_;
  const Computed computed_;
  std::string text_;
  Json lines_ = Json::array();
};

}  // namespace

Result<ViewResult> make_nest_view(const Subject& subject) { return NestText(subject).run(); }

}  // namespace flexjit::study
