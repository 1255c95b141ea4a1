// Calls of ProgramBuilder -> a Program of unique, well-typed nodes. Hash-consing makes common subexpressions vanish as they are
// built; finish() renumbers in the order of a depth-first walk from the roots, so the numbering depends on the expression
// alone and not on the order in which it was built.
#include "ir/program/program.h"

#include <algorithm>
#include <limits>

#include "support/check.h"

namespace flexjit::ir {
namespace {

std::uint64_t mix_identity(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 29);
}

bool is_wide_constant(const Node& node) {
  return node.op == Op::kConst && (node.type == Type::kFloat || node.type == Type::kLong);
}

// The type that `rule` gives to operands of these types; empty when it forbids them.
std::optional<Type> result_type(TypeRule rule, std::span<const Type> types) {
  auto all = [&](Type type) { return std::all_of(types.begin(), types.end(), [&](Type t) { return t == type; }); };
  auto same_of = [&](std::initializer_list<Type> allowed, std::optional<Type> result = std::nullopt) -> std::optional<Type> {
    for (Type type : allowed) {
      if (all(type)) return result.value_or(type);
    }
    return std::nullopt;
  };
  switch (rule) {
    case TypeRule::kNumeric: return same_of({Type::kInt, Type::kLong, Type::kFloat});
    case TypeRule::kFloat: return same_of({Type::kFloat});
    case TypeRule::kInteger: return same_of({Type::kInt, Type::kLong});
    case TypeRule::kBits: return same_of({Type::kInt, Type::kLong, Type::kBool});
    case TypeRule::kCompare: return same_of({Type::kInt, Type::kLong, Type::kFloat}, Type::kBool);
    case TypeRule::kEqual: return same_of({Type::kInt, Type::kLong, Type::kFloat, Type::kBool}, Type::kBool);
    case TypeRule::kChoice:
      if (types[0] != Type::kBool || types[1] != types[2]) return std::nullopt;
      return types[1];
    case TypeRule::kIntToFloat: return same_of({Type::kInt, Type::kLong}, Type::kFloat);
    case TypeRule::kFloatToInt: return same_of({Type::kFloat}, Type::kInt);
    case TypeRule::kBoolToInt: return same_of({Type::kBool}, Type::kInt);
    case TypeRule::kIntToLong: return same_of({Type::kInt}, Type::kLong);
    case TypeRule::kLongToInt: return same_of({Type::kLong}, Type::kInt);
    case TypeRule::kRandom: return same_of({Type::kInt}, Type::kFloat);
    case TypeRule::kConst:
    case TypeRule::kVariable:
    case TypeRule::kVariadic: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::uint32_t ProgramBuilder::add_buffer(BufferType type) {
  FLEXJIT_CHECK(type.rank >= 1 && type.rank <= kMaxRank);
  program_.buffers_.push_back(type);
  return static_cast<std::uint32_t>(program_.buffers_.size() - 1);
}

std::uint32_t ProgramBuilder::add_param(Type type) {
  program_.params_.push_back(type);
  return static_cast<std::uint32_t>(program_.params_.size() - 1);
}

Id ProgramBuilder::const_int(std::int32_t value) {
  return append({.op = Op::kConst, .type = Type::kInt, .payload = static_cast<std::uint32_t>(value)}, {});
}

// All NaNs are one constant: which of them an operation yields is not observable.
Id ProgramBuilder::const_float(double value) {
  const double canonical =
      value == value ? support::rounded(program_.precision_, value) : std::numeric_limits<double>::quiet_NaN();
  return const_wide(Type::kFloat, std::bit_cast<std::uint64_t>(canonical));
}

Id ProgramBuilder::const_long(std::int64_t value) { return const_wide(Type::kLong, std::bit_cast<std::uint64_t>(value)); }

Id ProgramBuilder::const_wide(Type type, std::uint64_t bits) {
  const auto slot = static_cast<std::uint32_t>(program_.wide_.size());
  program_.wide_.push_back(bits);
  const Id id = append({.op = Op::kConst, .type = type, .payload = slot}, {});
  if (program_.node(id).payload != slot) program_.wide_.pop_back();
  return id;
}

Id ProgramBuilder::const_bool(bool value) {
  return append({.op = Op::kConst, .type = Type::kBool, .payload = value ? 1U : 0U}, {});
}

Id ProgramBuilder::variable(Op op) {
  FLEXJIT_CHECK(type_rule(op) == TypeRule::kVariable && op != Op::kParam);
  return append({.op = op, .type = is_of_pair(op) || is_of_row(op) ? Type::kFloat : Type::kInt}, {});
}

Id ProgramBuilder::param(std::uint32_t slot) {
  FLEXJIT_CHECK(slot < program_.params_.size());
  return append({.op = Op::kParam, .type = program_.params_[slot], .payload = slot}, {});
}

Id ProgramBuilder::make(Op op, std::initializer_list<Id> operands) {
  return make(op, std::span<const Id>(operands.begin(), operands.size()));
}

Id ProgramBuilder::make(Op op, std::span<const Id> operands) {
  FLEXJIT_CHECK(operand_count(op) > 0 && operands.size() == static_cast<std::size_t>(operand_count(op)),
                std::string(mnemonic(op)));
  std::array<Type, kMaxOperands> types{};
  for (std::size_t i = 0; i < operands.size(); ++i) {
    FLEXJIT_CHECK(operands[i].index < program_.size(), std::string(mnemonic(op)));
    types[i] = program_.node(operands[i]).type;
  }
  const auto type = result_type(type_rule(op), std::span<const Type>(types.data(), operands.size()));
  FLEXJIT_CHECK(type.has_value(), std::string(mnemonic(op)) + " does not take these types");
  return append({.op = op, .type = *type}, operands);
}

// Guard, the value of what adds, `indices` ints.
void ProgramBuilder::check_access(Op op, std::size_t indices, std::span<const Id> operands) const {
  const std::size_t first = accumulates(op) ? 2 : 1;
  FLEXJIT_CHECK(operands.size() == first + indices);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    FLEXJIT_CHECK(operands[i].index < program_.size());
    const Type expected = i == 0 ? Type::kBool : i < first ? Type::kFloat : Type::kInt;
    FLEXJIT_CHECK(program_.node(operands[i]).type == expected, "guard, value of what adds, then int indices");
  }
}

// A read that cannot fail never reports its site, so the site is no part of its identity.
Id ProgramBuilder::element_access(Op op, const ReadInfo& info, std::span<const Id> operands) {
  FLEXJIT_CHECK(info.buffer < program_.buffers_.size());
  const BufferType& buffer = program_.buffers_[info.buffer];
  check_access(op, buffer.rank, operands);
  const auto slot = static_cast<std::uint32_t>(program_.reads_.size());
  program_.reads_.push_back({.buffer = info.buffer, .site = info.checked ? info.site : 0, .checked = info.checked});
  const Id id = append({.op = op, .type = element_type(buffer.dtype), .payload = slot}, operands);
  if (program_.node(id).payload != slot) program_.reads_.pop_back();
  return id;
}

Id ProgramBuilder::row_access(Op op, const DotInfo& info, std::span<const Id> operands) {
  FLEXJIT_CHECK(info.buffer_a < program_.buffers_.size() && info.buffer_b < program_.buffers_.size());
  const int indices = program_.buffers_[info.buffer_a].rank + program_.buffers_[info.buffer_b].rank - 2;
  check_access(op, static_cast<std::size_t>(indices), operands);
  const auto slot = static_cast<std::uint32_t>(program_.dots_.size());
  DotInfo stored = info;
  if (!info.checked) stored.site = 0;
  program_.dots_.push_back(stored);
  const Id id = append({.op = op, .type = Type::kFloat, .payload = slot}, operands);
  if (program_.node(id).payload != slot) program_.dots_.pop_back();
  return id;
}

Id ProgramBuilder::read(const ReadInfo& info, std::span<const Id> operands) {
  return element_access(Op::kRead, info, operands);
}

Id ProgramBuilder::dot(const DotInfo& info, std::span<const Id> operands) { return row_access(Op::kDot, info, operands); }

Id ProgramBuilder::accumulate(const ReadInfo& info, std::span<const Id> operands) {
  const Id id = element_access(Op::kAccumulate, info, operands);
  FLEXJIT_CHECK(program_.node(id).type == Type::kFloat, "only buffers of floats have gradients");
  return id;
}

Id ProgramBuilder::accumulate_row(const DotInfo& info, std::span<const Id> operands) {
  return row_access(Op::kAccumulateRow, info, operands);
}

void ProgramBuilder::add_accumulation(Id id) {
  FLEXJIT_CHECK(accumulates(program_.node(id).op));
  program_.accumulations_.push_back(id);
}

void ProgramBuilder::copy_accumulations(const Program& program, std::span<const Id> copies) {
  for (Id id : program.accumulations()) {
    if (accumulates(program_.node(copies[id.index]).op)) add_accumulation(copies[id.index]);
  }
}

// What makes two nodes of one op with equal operands the same.
std::uint64_t ProgramBuilder::payload_identity(const Node& node) const {
  if (node.op == Op::kRead || node.op == Op::kAccumulate) {
    const ReadInfo& info = program_.reads_[node.payload];
    return std::uint64_t{info.buffer} << 1 | (info.checked ? 1U : 0U);
  }
  if (node.op == Op::kDot || node.op == Op::kAccumulateRow) {
    const DotInfo& info = program_.dots_[node.payload];
    return mix_identity(mix_identity(info.buffer_a, info.buffer_b), std::uint64_t{info.extent} << 1 | (info.checked ? 1U : 0U));
  }
  if (is_wide_constant(node)) return program_.wide_[node.payload];
  return node.payload;
}

bool ProgramBuilder::same_payload(const Node& a, const Node& b) const {
  if (a.op == Op::kDot || a.op == Op::kAccumulateRow) {
    DotInfo x = program_.dots_[a.payload];
    x.site = program_.dots_[b.payload].site;
    return x == program_.dots_[b.payload];
  }
  return payload_identity(a) == payload_identity(b);
}

Id ProgramBuilder::append(Node node, std::span<const Id> operands) {
  std::uint64_t hash = mix_identity(mix_identity(static_cast<std::uint64_t>(node.op), static_cast<std::uint64_t>(node.type)),
                                    payload_identity(node));
  for (Id operand : operands) hash = mix_identity(hash, operand.index);
  for (auto [it, end] = index_.equal_range(hash); it != end; ++it) {
    const Id other{it->second};
    const Node& seen = program_.node(other);
    if (seen.op == node.op && seen.type == node.type && same_payload(node, seen) &&
        std::ranges::equal(program_.operands(other), operands)) {
      return other;
    }
  }
  node.operand_count = static_cast<std::uint16_t>(operands.size());
  node.first_operand = static_cast<std::uint32_t>(program_.operands_.size());
  // By index: `operands` may point into the vector that grows.
  const std::vector<Id> copy(operands.begin(), operands.end());
  program_.operands_.insert(program_.operands_.end(), copy.begin(), copy.end());
  const Id id{static_cast<std::uint32_t>(program_.nodes_.size())};
  program_.nodes_.push_back(node);
  index_.emplace(hash, id.index);
  return id;
}

namespace {

// The nodes that `tops` reach, operands before users, each one's cone in the order of a left-to-right walk. Iterative, because
// a long chain of operators would exhaust the stack.
std::vector<Id> depth_first(const Program& program, std::span<const Id> tops) {
  struct Frame {
    Id id;
    std::uint32_t next = 0;
  };
  std::vector<bool> seen(program.size());
  std::vector<Id> order;
  std::vector<Frame> stack;
  auto visit = [&](Id id) {
    if (seen[id.index]) return;
    seen[id.index] = true;
    stack.push_back({id});
  };
  for (Id top : tops) {
    visit(top);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const auto operands = program.operands(frame.id);
      if (frame.next < operands.size()) {
        visit(operands[frame.next++]);
      } else {
        order.push_back(frame.id);
        stack.pop_back();
      }
    }
  }
  return order;
}

// Where the walks begin.
std::vector<Id> tops_of(const Roots& roots, std::span<const Id> accumulations) {
  std::vector<Id> tops;
  for (const RootFacts& facts : kRoots) {
    if (roots[facts.root].valid()) tops.push_back(roots[facts.root]);
  }
  tops.insert(tops.end(), accumulations.begin(), accumulations.end());
  return tops;
}

}  // namespace

std::vector<Id> gradients_of(const Program& program) {
  std::vector<Id> gradients(program.accumulations().begin(), program.accumulations().end());
  if (const Id root = program.roots()[Root::kScoreGrad]; root.valid()) gradients.push_back(root);
  return gradients;
}

std::vector<bool> reachable(const Program& program, Id root) { return reachable(program, {&root, 1}); }

std::vector<bool> reachable(const Program& program, std::span<const Id> roots) {
  std::vector<bool> reached(program.size(), false);
  for (Id root : roots) {
    if (root.valid()) reached[root.index] = true;
  }
  for (auto i = static_cast<std::uint32_t>(program.size()); i-- > 0;) {
    if (!reached[i]) continue;
    for (Id operand : program.operands(Id{i})) reached[operand.index] = true;
  }
  return reached;
}

std::vector<bool> buffers_read_by(const Program& program, Id root) {
  std::vector<bool> read(program.buffers().size(), false);
  const std::vector<bool> reached = reachable(program, root);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const Id id{i};
    if (!reached[i]) continue;
    if (program.node(id).op == Op::kRead) read[program.read(id).buffer] = true;
    if (program.node(id).op == Op::kDot) read[program.dot(id).buffer_a] = read[program.dot(id).buffer_b] = true;
  }
  return read;
}

void ProgramBuilder::copy_marks(const Program& program, std::span<const Id> copies) {
  for (Id marked : program.marks()) mark(marked.valid() ? copies[marked.index] : Id{});
}

Program ProgramBuilder::finish(Id score, Id mask) && {
  Roots roots;
  roots[Root::kScore] = score;
  roots[Root::kMask] = mask;
  return std::move(*this).finish(roots);
}

Program ProgramBuilder::finish(const Roots& roots) && {
  for (const RootFacts& facts : kRoots) {
    const Id root = roots[facts.root];
    FLEXJIT_CHECK(!root.valid() || program_.node(root).type == facts.type, std::string(facts.name) + " has another type");
  }
  Program out;
  out.precision_ = program_.precision_;
  std::vector<Id> renumbered(program_.size());
  for (Id old : depth_first(program_, tops_of(roots, program_.accumulations_))) {
    Node node = program_.node(old);
    node.first_operand = static_cast<std::uint32_t>(out.operands_.size());
    for (Id operand : program_.operands(old)) out.operands_.push_back(renumbered[operand.index]);
    if (node.op == Op::kRead || node.op == Op::kAccumulate) {
      node.payload = static_cast<std::uint32_t>(out.reads_.size());
      out.reads_.push_back(program_.read(old));
    } else if (node.op == Op::kDot || node.op == Op::kAccumulateRow) {
      node.payload = static_cast<std::uint32_t>(out.dots_.size());
      out.dots_.push_back(program_.dot(old));
    } else if (is_wide_constant(node)) {
      node.payload = static_cast<std::uint32_t>(out.wide_.size());
      out.wide_.push_back(program_.wide_[program_.node(old).payload]);
    }
    renumbered[old.index] = Id{static_cast<std::uint32_t>(out.nodes_.size())};
    out.nodes_.push_back(node);
  }
  out.roots_ = roots.of_copies(renumbered);
  for (Id id : program_.accumulations_) out.accumulations_.push_back(renumbered[id.index]);
  for (Id marked : program_.marks()) out.marks_.nodes.push_back(marked.valid() ? renumbered[marked.index] : Id{});
  out.buffers_ = std::move(program_.buffers_);
  out.params_ = std::move(program_.params_);
  return out;
}

}  // namespace flexjit::ir
