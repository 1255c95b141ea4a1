// Numbers separated by blanks: the request's fields, the program node by node, then the canonical text to the end.
#include "key_transfer.h"

#include <istream>
#include <iterator>
#include <ostream>
#include <stdexcept>

namespace flexjit::test {
namespace {

using ir::Id;
using ir::Op;

class Writer {
 public:
  explicit Writer(std::ostream& out) : out_(out) {}
  template <typename... T>
  void put(T... values) {
    ((out_ << static_cast<std::int64_t>(values) << ' '), ...);
  }

 private:
  std::ostream& out_;
};

class Reader {
 public:
  explicit Reader(std::istream& in) : in_(in) {}
  template <typename T>
  T get() {
    std::int64_t value = 0;
    if (!(in_ >> value)) throw std::runtime_error("the key is cut short");
    return static_cast<T>(value);
  }

 private:
  std::istream& in_;
};

constexpr std::int64_t kNoRoot = -1;

std::int64_t number(Id id) { return id.valid() ? std::int64_t{id.index} : kNoRoot; }

// A number's bits, or what a node's payload says.
std::int64_t payload_of(const ir::Program& program, Id id) {
  const ir::Node& node = program.node(id);
  if (node.op == Op::kConst && node.type == ir::Type::kFloat) return std::bit_cast<std::int64_t>(program.const_float(id));
  return node.op == Op::kConst && node.type == ir::Type::kLong ? program.const_long(id) : std::int64_t{node.payload};
}

void write_node(Writer& w, const ir::Program& program, Id id) {
  const ir::Node& node = program.node(id);
  w.put(node.op, node.type, payload_of(program, id), node.operand_count);
  for (Id operand : program.operands(id)) w.put(operand.index);
  if (node.op == Op::kRead || node.op == Op::kAccumulate) {
    const ir::ReadInfo& info = program.read(id);
    w.put(info.buffer, info.site, info.checked);
  }
  if (node.op == Op::kDot || node.op == Op::kAccumulateRow) {
    const ir::DotInfo& info = program.dot(id);
    w.put(info.buffer_a, info.buffer_b, info.extent, info.site, info.checked);
  }
}

Id constant(ir::ProgramBuilder& builder, ir::Type type, std::int64_t bits) {
  switch (type) {
    case ir::Type::kInt: return builder.const_int(static_cast<std::int32_t>(bits));
    case ir::Type::kFloat: return builder.const_float(std::bit_cast<double>(bits));
    case ir::Type::kBool: return builder.const_bool(bits != 0);
    case ir::Type::kLong: return builder.const_long(bits);
  }
  throw std::runtime_error("a constant of no type");
}

Id read_node(Reader& r, ir::ProgramBuilder& builder, const std::vector<Id>& known) {
  const Op op = r.get<Op>();
  const auto type = r.get<ir::Type>();
  const auto payload = r.get<std::int64_t>();
  std::vector<Id> operands(r.get<std::size_t>());
  for (Id& operand : operands) operand = known.at(r.get<std::size_t>());
  if (op == Op::kConst) return constant(builder, type, payload);
  if (op == Op::kParam) return builder.param(static_cast<std::uint32_t>(payload));
  if (op == Op::kRead || op == Op::kAccumulate) {
    ir::ReadInfo info;
    info.buffer = r.get<std::uint32_t>();
    info.site = r.get<std::uint32_t>();
    info.checked = r.get<bool>();
    return op == Op::kRead ? builder.read(info, operands) : builder.accumulate(info, operands);
  }
  if (op == Op::kDot || op == Op::kAccumulateRow) {
    ir::DotInfo info;
    info.buffer_a = r.get<std::uint32_t>();
    info.buffer_b = r.get<std::uint32_t>();
    info.extent = r.get<std::uint32_t>();
    info.site = r.get<std::uint32_t>();
    info.checked = r.get<bool>();
    return op == Op::kDot ? builder.dot(info, operands) : builder.accumulate_row(info, operands);
  }
  return operands.empty() ? builder.variable(op) : builder.make(op, operands);
}

ir::Program read_program(Reader& r, ir::Precision precision) {
  ir::ProgramBuilder builder(precision);
  for (auto count = r.get<std::size_t>(); count > 0; --count) {
    const auto dtype = r.get<DType>();
    builder.add_buffer({dtype, r.get<std::uint8_t>()});
  }
  for (auto count = r.get<std::size_t>(); count > 0; --count) builder.add_param(r.get<ir::Type>());
  std::vector<Id> known(r.get<std::size_t>());
  for (Id& id : known) id = read_node(r, builder, known);
  const auto root = [&] {
    const auto index = r.get<std::int64_t>();
    return index == kNoRoot ? Id{} : known.at(static_cast<std::size_t>(index));
  };
  ir::Roots roots;
  for (const ir::RootFacts& facts : ir::kRoots) roots[facts.root] = root();
  for (auto count = r.get<std::size_t>(); count > 0; --count) builder.add_accumulation(root());
  return std::move(builder).finish(roots);
}

}  // namespace

void write_key(std::ostream& out, const plan::KernelKey& key) {
  Writer w(out);
  const ir::Program& program = key.program;
  w.put(key.nest, key.types.q, key.types.kv, key.types.out, key.weights, key.head_dim, key.v_head_dim);
  w.put(program.buffers().size());
  for (const ir::BufferType& buffer : program.buffers()) w.put(buffer.dtype, buffer.rank);
  w.put(program.params().size());
  for (ir::Type type : program.params()) w.put(type);
  w.put(program.size());
  for (std::uint32_t i = 0; i < program.size(); ++i) write_node(w, program, Id{i});
  for (const ir::RootFacts& facts : ir::kRoots) w.put(number(program.roots()[facts.root]));
  w.put(program.accumulations().size());
  for (Id id : program.accumulations()) w.put(id.index);
  out << '\n' << plan::canonical_text(key);
}

plan::KernelKey read_key(std::istream& in) {
  Reader r(in);
  plan::KernelRequest request;
  request.nest = r.get<plan::Nest>();
  request.types.q = r.get<DType>();
  request.types.kv = r.get<DType>();
  request.types.out = r.get<DType>();
  request.weights = r.get<plan::Weights>();
  request.head_dim = r.get<std::int32_t>();
  request.v_head_dim = r.get<std::int32_t>();
  request.program = read_program(r, request.types.q == DType::kF64 ? ir::Precision::kFp64 : ir::Precision::kFp32);
  in.ignore(2);  // the blank and the end of the line
  const std::string expected{std::istreambuf_iterator<char>(in), {}};
  plan::KernelKey key = plan::plan_kernel(std::move(request), {plan::Isa::kAArch64, "", false});
  const std::string text = plan::canonical_text(key);
  if (text != expected) throw std::runtime_error("asked for\n" + expected + "\nbut planned\n" + text);
  return key;
}

}  // namespace flexjit::test
