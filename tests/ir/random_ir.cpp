// Grows pools of int, float, bool and long nodes by random operations on their members; later members are likelier operands, so
// that expressions get deep. The roots are the last members.
#include "random_ir.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

namespace flexjit::ir::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kQuietNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int32_t kInts[] = {0, 1, 2, 3, 4, 7, 8, 31, 32, 255, -1, -2, -7, 65536, 2147483647, -2147483647 - 1, 1 << 30};
constexpr std::int64_t kLongs[] = {0,
                                   1,
                                   -1,
                                   3,
                                   40,
                                   63,
                                   64,
                                   -7,
                                   1LL << 31,
                                   1LL << 32,
                                   -(1LL << 33),
                                   (1LL << 53) + 1,
                                   0x7fffffffffffffff,
                                   -0x7fffffffffffffff - 1};
constexpr float kFloats[] = {0.0F,  -0.0F,  1.0F,  -1.0F,  0.5F,      2.0F,       3.0F,
                             -2.5F, 1e-40F, 3e38F, 100.0F, kInfinity, -kInfinity, kQuietNan};
constexpr DType kDTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI64,
                             DType::kI32, DType::kI8,  DType::kU8,  DType::kBool};
constexpr Op kLengths[] = {Op::kQLen, Op::kKvLen, Op::kNumHeads, Op::kNumKvHeads, Op::kBatchSize};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <typename T, std::size_t N>
  T pick(const T (&from)[N]) {
    return from[below(N)];
  }

 private:
  std::mt19937_64 engine_;
};

class Grower {
 public:
  Grower(std::uint64_t seed, ScoreUse use)
      : random_(seed), use_(use), builder_(seed % 4 == 3 ? Precision::kFp64 : Precision::kFp32) {}

  Lowered grow() {
    declare();
    for (Op op : {Op::kBatch, Op::kHead, Op::kQIdx, Op::kKvIdx, Op::kKvHead}) put(builder_.variable(op));
    for (Op op : kLengths) put(builder_.variable(op));
    for (std::uint32_t slot = 0; slot < interface_.params.size(); ++slot) put(builder_.param(slot));
    put(builder_.const_bool(true));
    put(builder_.const_float(0.25));
    put(builder_.const_long(std::int64_t{7} << 32 | 5));
    const std::size_t steps = 4 + random_.below(40);
    for (std::size_t i = 0; i < steps; ++i) step();
    const Id mask = random_.one_in(8) ? Id{} : builder_.make(Op::kXor, {pool(Type::kBool).back(), choose(Type::kBool)});
    if (use_ == ScoreUse::kAnywhere) {
      put(builder_.variable(Op::kScore));
      for (std::size_t i = 0; i < 10; ++i) step();
    }
    Id score = builder_.make(Op::kAdd, {pool(Type::kFloat).back(), choose(Type::kFloat)});
    if (use_ == ScoreUse::kInTail) score = tail(score);
    return {std::move(builder_).finish(score, mask), std::move(interface_)};
  }

 private:
  void declare() {
    for (Type type : {Type::kInt, Type::kFloat, Type::kBool, Type::kInt}) {
      builder_.add_param(type);
      interface_.params.push_back({.name = "p" + std::to_string(interface_.params.size()), .default_value = std::int32_t{0}});
    }
    for (int i = 0; i < 5; ++i) {
      BufferInterface buffer{.name = "t" + std::to_string(i), .dtype = random_.pick(kDTypes), .extents = {}};
      const std::size_t rank = 1 + random_.below(2) + random_.below(2);
      for (std::size_t d = 0; d < rank; ++d) buffer.extents.push_back(extent());
      if (i == 4) buffer = {.name = "dotted", .dtype = DType::kF32, .extents = {extent(), {Extent::Kind::kLiteral, 3}}};
      builder_.add_buffer({buffer.dtype, static_cast<std::uint8_t>(buffer.extents.size())});
      interface_.buffers.push_back(std::move(buffer));
    }
  }

  Extent extent() {
    const std::size_t kind = random_.below(8);
    if (kind == 0) return {};
    if (kind == 1) return {.kind = Extent::Kind::kLiteral, .literal = static_cast<std::int64_t>(1 + random_.below(5))};
    if (kind == 2) return {.kind = Extent::Kind::kParam, .param = 3};
    return {.kind = Extent::Kind::kBuiltin, .builtin = random_.pick(kLengths)};
  }

  std::vector<Id>& pool(Type type) { return pools_[static_cast<std::size_t>(type)]; }
  void put(Id id) { pool(builder_.program().node(id).type).push_back(id); }

  Id choose(Type type) {
    const std::vector<Id>& from = pool(type);
    if (random_.one_in(6)) return constant(type);
    const std::size_t back = std::min({random_.below(from.size()), random_.below(from.size()), random_.below(from.size())});
    return from[from.size() - 1 - back];
  }

  Id constant(Type type) {
    if (type == Type::kInt) return builder_.const_int(random_.pick(kInts));
    if (type == Type::kFloat) return builder_.const_float(static_cast<double>(random_.pick(kFloats)));
    if (type == Type::kLong) return builder_.const_long(random_.pick(kLongs));
    return builder_.const_bool(random_.one_in(2));
  }

  Type either(Type a, Type b) { return random_.one_in(2) ? a : b; }

  // The type of the first operand that `rule` takes; a choice has another in front.
  Type operand_type(TypeRule rule) {
    if (rule == TypeRule::kFloat || rule == TypeRule::kFloatToInt) return Type::kFloat;
    if (rule == TypeRule::kIntToLong || rule == TypeRule::kRandom) return Type::kInt;
    if (rule == TypeRule::kLongToInt) return Type::kLong;
    if (rule == TypeRule::kInteger || rule == TypeRule::kIntToFloat) return either(Type::kInt, Type::kLong);
    if (rule == TypeRule::kBoolToInt) return Type::kBool;
    const Type integer = either(Type::kInt, Type::kLong);
    if (rule == TypeRule::kBits) return either(integer, Type::kBool);
    if (rule == TypeRule::kNumeric || rule == TypeRule::kCompare) return either(integer, Type::kFloat);
    return either(integer, either(Type::kFloat, Type::kBool));
  }

  void step() {
    const Op op = static_cast<Op>(random_.below(static_cast<std::size_t>(kOpCount)));
    if (random_.one_in(4) || type_rule(op) == TypeRule::kVariadic) return put(random_.one_in(6) ? dot() : read());
    if (operand_count(op) == 0) return put(constant(operand_type(TypeRule::kEqual)));
    const Type type = operand_type(type_rule(op));
    std::vector<Id> operands;
    for (int i = 0; i < operand_count(op); ++i) {
      operands.push_back(choose(op == Op::kSelect && i == 0 ? Type::kBool : type));
    }
    if (operands.size() == 2 && random_.one_in(10)) operands[1] = operands[0];
    put(builder_.make(op, operands));
  }

  Id guard() { return random_.one_in(2) ? builder_.const_bool(true) : choose(Type::kBool); }

  // As in lowered text, what is read under a guard is used only where the guard holds.
  Id under_guard(Id guard, Id value) {
    return builder_.make(Op::kSelect, {guard, value, choose(builder_.program().node(value).type)});
  }

  Id length_of(const Extent& extent) {
    if (extent.kind == Extent::Kind::kLiteral) return builder_.const_int(static_cast<std::int32_t>(extent.literal));
    if (extent.kind == Extent::Kind::kBuiltin) return builder_.variable(extent.builtin);
    return builder_.param(3);
  }

  // Shapes of indices that people write, most of them inside the extent, and any int.
  Id index(const Extent& extent) {
    const Id length = length_of(extent);
    const Id last = builder_.make(Op::kSub, {length, builder_.const_int(1)});
    const Id any = choose(Type::kInt);
    switch (random_.below(6)) {
      case 0: return builder_.make(Op::kMod, {any, length});
      case 1: return builder_.make(Op::kMax, {builder_.make(Op::kMin, {any, last}), builder_.const_int(0)});
      case 2: return builder_.make(Op::kSub, {last, builder_.variable(random_.one_in(2) ? Op::kQIdx : Op::kKvIdx)});
      case 3:
        return builder_.make(Op::kFloorDiv, {builder_.variable(random_.one_in(2) ? Op::kQIdx : Op::kHead),
                                             builder_.const_int(static_cast<std::int32_t>(random_.below(4)))});
      case 4:
        for (auto [variable, bound] : {std::pair(Op::kQIdx, Op::kQLen), std::pair(Op::kKvIdx, Op::kKvLen),
                                       std::pair(Op::kHead, Op::kNumHeads), std::pair(Op::kBatch, Op::kBatchSize)}) {
          if (extent.kind == Extent::Kind::kBuiltin && extent.builtin == bound) return builder_.variable(variable);
        }
        return builder_.variable(Op::kKvHead);
      default: return any;
    }
  }

  std::uint32_t site(std::uint32_t buffer) {
    interface_.sites.emplace_back().buffer = buffer;
    return static_cast<std::uint32_t>(interface_.sites.size() - 1);
  }

  Id read() {
    const auto buffer = static_cast<std::uint32_t>(random_.below(interface_.buffers.size()));
    std::vector<Id> operands = {guard()};
    for (const Extent& extent : interface_.buffers[buffer].extents) operands.push_back(index(extent));
    return under_guard(operands[0], builder_.read({.buffer = buffer, .site = site(buffer)}, operands));
  }

  Id dot() {
    const Extent& outer = interface_.buffers[4].extents[0];
    const std::vector<Id> operands = {guard(), index(outer), index(outer)};
    const DotInfo info{.buffer_a = 4, .buffer_b = 4, .extent = 3, .site = site(4)};
    return under_guard(operands[0], builder_.dot(info, operands));
  }

  Id tail(Id with) {
    constexpr Op kUnary[] = {Op::kNeg, Op::kAbs, Op::kTanh, Op::kExp, Op::kFloor, Op::kSqrt};
    constexpr Op kBinary[] = {Op::kAdd, Op::kSub, Op::kMul, Op::kDiv, Op::kMin, Op::kMax};
    Id value = builder_.variable(Op::kScore);
    for (int i = 0; i < 4; ++i) {
      value = random_.one_in(3)   ? builder_.make(random_.pick(kUnary), {value})
              : random_.one_in(2) ? builder_.make(random_.pick(kBinary), {value, with})
                                  : builder_.make(random_.pick(kBinary), {choose(Type::kFloat), value});
    }
    return value;
  }

  Random random_;
  ScoreUse use_;
  ProgramBuilder builder_;
  Interface interface_;
  std::array<std::vector<Id>, 4> pools_;
};

std::uint16_t random_half(Random& random) {
  constexpr std::uint16_t kHalves[] = {0x0000, 0x8000, 0x3c00, 0xbc00, 0x4248, 0x7bff, 0x7c00, 0x7e00, 0x0001};
  return random.pick(kHalves);
}

template <typename T>
void store(void* data, std::size_t at, T value) {
  static_cast<T*>(data)[at] = value;
}

void store_random(Random& random, DType dtype, void* data, std::size_t at) {
  const auto small = static_cast<std::int32_t>(random.below(9)) - 2;
  const std::int32_t value = random.one_in(8) ? random.pick(kInts) : small;
  switch (dtype) {
    case DType::kF32: return store(data, at, random.one_in(8) ? random.pick(kFloats) : static_cast<float>(small) * 0.75F);
    case DType::kF64: return store(data, at, random.one_in(8) ? double{random.pick(kFloats)} : small / 3.0);
    case DType::kF16:
    case DType::kBF16: return store(data, at, random_half(random));
    case DType::kI64:
      return store(
          data, at,
          random.one_in(8) ? random.pick(kLongs) : std::int64_t{value} + (random.one_in(4) ? std::int64_t{1} << 40 : 0));
    case DType::kI32: return store(data, at, value);
    case DType::kI8: return store(data, at, static_cast<std::int8_t>(value));
    case DType::kU8: return store(data, at, static_cast<std::uint8_t>(value));
    case DType::kE4M3:
    case DType::kE5M2: return store(data, at, static_cast<std::uint8_t>(random.below(256)));
    case DType::kBool: return store(data, at, static_cast<std::uint8_t>(random.below(2)));
  }
}

std::int64_t extent_of(Random& random, const Extent& extent, const Environment& environment, std::int32_t param) {
  if (extent.kind == Extent::Kind::kLiteral) return extent.literal;
  if (extent.kind == Extent::Kind::kParam) return param;
  if (extent.kind == Extent::Kind::kAny) return static_cast<std::int64_t>(random.below(5));
  if (extent.builtin == Op::kQLen) return environment.q_len;
  if (extent.builtin == Op::kKvLen) return environment.kv_len;
  if (extent.builtin == Op::kNumHeads) return environment.num_heads;
  if (extent.builtin == Op::kNumKvHeads) return environment.num_kv_heads;
  return environment.batch_size;
}

}  // namespace

Lowered random_ir(std::uint64_t seed, ScoreUse use) { return Grower(seed, use).grow(); }

RandomBinding::RandomBinding(const Interface& interface, std::uint64_t seed, std::int32_t max_length) {
  Random random(seed);
  auto length = [&] { return static_cast<std::int32_t>(1 + random.below(static_cast<std::size_t>(max_length))); };
  environment_.batch_size = length();
  environment_.q_len = length();
  environment_.kv_len = length();
  environment_.q_offset = length();
  environment_.kv_offset = length();
  environment_.num_kv_heads = static_cast<std::int32_t>(1 + random.below(2));
  environment_.num_heads = environment_.num_kv_heads * static_cast<std::int32_t>(1 + random.below(2));
  const auto extent_param = static_cast<std::int32_t>(1 + random.below(4));
  params_ = {random.pick(kInts), static_cast<double>(random.pick(kFloats)), random.one_in(2), extent_param};
  for (const BufferInterface& buffer : interface.buffers) {
    TensorView view;
    view.dtype = buffer.dtype;
    view.rank = static_cast<int>(buffer.extents.size());
    std::int64_t step = 1 + static_cast<std::int64_t>(random.below(2));
    const bool repeated = random.one_in(8);
    for (std::size_t d = buffer.extents.size(); d-- > 0;) {
      view.shape[d] = extent_of(random, buffer.extents[d], environment_, extent_param);
      view.strides[d] = repeated && d == 0 ? 0 : step;
      step *= std::max<std::int64_t>(view.shape[d], 1);
    }
    const auto elements = static_cast<std::size_t>(step) + 1;
    storage_.push_back(std::make_unique<std::uint64_t[]>(elements));
    view.data = storage_.back().get();
    for (std::size_t at = 0; at < elements; ++at) store_random(random, buffer.dtype, storage_.back().get(), at);
    views_.push_back(view);
  }
  environment_.buffers = views_;
  environment_.params = params_;
}

std::vector<RowValues> run_all_rows(const Program& program, const Environment& environment) {
  Interpreter interpreter(program, environment);
  std::vector<RowValues> rows;
  for (std::int32_t b = 0; b < environment.batch_size; ++b) {
    for (std::int32_t h = 0; h < environment.num_heads; ++h) {
      for (std::int32_t q = 0; q < environment.q_len; ++q) {
        const auto count = static_cast<std::size_t>(environment.kv_len);
        RowValues values{.row = {.b = b, .h = h, .q_idx = q, .count = environment.kv_len},
                         .allowed = std::vector<std::uint8_t>(count),
                         .scores = std::vector<double>(count),
                         .faulted_sites = {}};
        for (std::size_t l = 0; l < count; ++l)
          values.scores[l] = 0.25 * static_cast<double>((l * 5 + static_cast<std::size_t>(q)) % 9) - 1;
        if (const auto fault = interpreter.eval_mask(values.row, values.allowed)) values.faulted_sites.push_back(fault->site);
        if (const auto fault = interpreter.eval_score(values.row, values.allowed, values.scores)) {
          values.faulted_sites.push_back(fault->site);
        }
        rows.push_back(std::move(values));
      }
    }
  }
  return rows;
}

}  // namespace flexjit::ir::test
