// The table, and the building of a Program from one of its lines.
#include "op_cases.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

namespace flexjit::ir::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int32_t kMin = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t kMax = std::numeric_limits<std::int32_t>::max();

// A word as a number in [0, 1], by way of fp32.
float unit(std::uint32_t word) { return static_cast<float>(word) * 0x1p-32F; }

// clang-format off
const std::vector<OpCase> kCases = {
    {Op::kConst, {1.5F}, 1.5F}, {Op::kConst, {-3}, -3}, {Op::kConst, {true}, true}, {Op::kConst, {-0.0F}, -0.0F},
    {Op::kScore, {}, 0.25F}, {Op::kScoreGrad, {}, 0.75F}, {Op::kRowValue, {}, 0.25F}, {Op::kSumSq, {}, 1.5F}, {Op::kFeature, {}, 8},
    {Op::kBatch, {}, 1}, {Op::kHead, {}, 5}, {Op::kQIdx, {}, 4}, {Op::kKvIdx, {}, 8},
    {Op::kQLen, {}, 7}, {Op::kKvLen, {}, 9}, {Op::kNumHeads, {}, 6}, {Op::kNumKvHeads, {}, 3}, {Op::kKvHead, {}, 2},
    {Op::kBatchSize, {}, 2}, {Op::kQOffset, {}, 11}, {Op::kKvOffset, {}, 13},
    {Op::kParam, {7}, 7}, {Op::kParam, {0.5F}, 0.5F}, {Op::kParam, {false}, false},
    {Op::kRead, {true, 2}, 30.0F}, {Op::kRead, {false, 2}, 0.0F}, {Op::kRead, {false, 99}, 0.0F},
    {Op::kDot, {true, 1, 2}, 39.0F}, {Op::kDot, {false, 1, 2}, 0.0F},
    {Op::kAccumulate, {true, 1.5F, 2}, 1.5F}, {Op::kAccumulate, {false, 1.5F, 2}, 0.0F}, {Op::kAccumulate, {true, kNan, 99}, kNan},
    {Op::kAccumulate, {true, 0.0F, 2}, 0.0F}, {Op::kAccumulateRow, {true, -1.5F, 1, 2}, -1.5F},
    {Op::kAccumulateRow, {false, kInf, 1, 2}, 0.0F},

    {Op::kNeg, {5}, -5}, {Op::kNeg, {kMin}, kMin}, {Op::kNeg, {0.0F}, -0.0F}, {Op::kNeg, {kInf}, -kInf},
    {Op::kAdd, {2, 3}, 5}, {Op::kAdd, {kMax, 1}, kMin}, {Op::kAdd, {kMin, -1}, kMax},
    {Op::kAdd, {0.1F, 0.2F}, 0.3F}, {Op::kAdd, {-0.0F, 0.0F}, 0.0F}, {Op::kAdd, {kInf, -kInf}, kNan},
    {Op::kAdd, {16777216.0F, 1.0F}, 16777216.0F},
    {Op::kSub, {2, 3}, -1}, {Op::kSub, {kMin, 1}, kMax}, {Op::kSub, {0.0F, 0.0F}, 0.0F}, {Op::kSub, {kInf, kInf}, kNan},
    {Op::kMul, {-4, 3}, -12}, {Op::kMul, {65536, 65536}, 0}, {Op::kMul, {kMin, -1}, kMin},
    {Op::kMul, {0.0F, kInf}, kNan}, {Op::kMul, {-1.0F, 0.0F}, -0.0F}, {Op::kMul, {3e38F, 2.0F}, kInf},
    {Op::kDiv, {1.0F, 3.0F}, 0.333333343F}, {Op::kDiv, {1.0F, -0.0F}, -kInf}, {Op::kDiv, {0.0F, 0.0F}, kNan},
    {Op::kFloorDiv, {7, 2}, 3}, {Op::kFloorDiv, {-7, 2}, -4}, {Op::kFloorDiv, {7, -2}, -4}, {Op::kFloorDiv, {-7, -2}, 3},
    {Op::kFloorDiv, {-8, 2}, -4}, {Op::kFloorDiv, {5, 0}, 0}, {Op::kFloorDiv, {kMin, -1}, kMin},
    {Op::kFloorDiv, {-7.0F, 2.0F}, -4.0F}, {Op::kFloorDiv, {1.0F, 0.0F}, kInf}, {Op::kFloorDiv, {1.0F, 0.1F}, 9.0F},
    {Op::kFloorDiv, {-1e9F, 3.0F}, -333333344.0F}, {Op::kFloorDiv, {3e38F, 7.0F}, 4.285714e37F}, {Op::kFloorDiv, {3e38F, 1e-45F}, kInf},
    {Op::kFloorDiv, {-1.0F, kInf}, -1.0F}, {Op::kFloorDiv, {-kInf, 2.0F}, -kInf}, {Op::kFloorDiv, {-0.0F, 2.0F}, -0.0F},
    {Op::kMod, {7, 3}, 1}, {Op::kMod, {-7, 3}, 2}, {Op::kMod, {7, -3}, -2}, {Op::kMod, {-7, -3}, -1}, {Op::kMod, {-6, 3}, 0},
    {Op::kMod, {5, 0}, 0}, {Op::kMod, {kMin, -1}, 0}, {Op::kMod, {-7.5F, 2.0F}, 0.5F}, {Op::kMod, {7.5F, -2.0F}, -0.5F},
    {Op::kMod, {1.0F, 0.0F}, kNan}, {Op::kMod, {1e9F, 3.0F}, 1.0F}, {Op::kMod, {-1e9F, 3.0F}, 2.0F}, {Op::kMod, {1e9F, -3.0F}, -2.0F},
    {Op::kMod, {-1e9F, -3.0F}, -1.0F}, {Op::kMod, {1.0F, 0.1F}, 0.09999999F}, {Op::kMod, {3e38F, 7.0F}, 1.0F},
    {Op::kMod, {-1e30F, 1e-30F}, 1.8331844e-31F}, {Op::kMod, {-1e-30F, 2.5F}, 2.5F}, {Op::kMod, {6.0F, -3.0F}, -0.0F},
    {Op::kMod, {1.0F, kInf}, 1.0F}, {Op::kMod, {-1.0F, kInf}, kInf}, {Op::kMod, {kInf, 2.0F}, kNan},
    {Op::kMin, {-1, 2}, -1}, {Op::kMin, {kNan, 2.0F}, 2.0F}, {Op::kMin, {2.0F, kNan}, kNan}, {Op::kMin, {0.0F, -0.0F}, -0.0F},
    {Op::kMax, {-1, 2}, 2}, {Op::kMax, {kNan, 2.0F}, 2.0F}, {Op::kMax, {2.0F, kNan}, kNan}, {Op::kMax, {-0.0F, 0.0F}, 0.0F},
    {Op::kClamp, {0.5F, 0.0F, 1.0F}, 0.5F}, {Op::kClamp, {-2.0F, -1.0F, 1.0F}, -1.0F}, {Op::kClamp, {9.0F, -1.0F, 1.0F}, 1.0F},
    {Op::kClamp, {kNan, -1.0F, 1.0F}, -1.0F}, {Op::kClamp, {0.5F, 2.0F, 1.0F}, 1.0F}, {Op::kClamp, {0.5F, kNan, 1.0F}, 1.0F},
    {Op::kClamp, {0.5F, 0.0F, kNan}, kNan}, {Op::kClamp, {-0.0F, 0.0F, 1.0F}, 0.0F},
    {Op::kAbs, {-5}, 5}, {Op::kAbs, {kMin}, kMin}, {Op::kAbs, {-0.0F}, 0.0F}, {Op::kAbs, {-kInf}, kInf},

    {Op::kAnd, {12, 10}, 8}, {Op::kAnd, {-1, kMin}, kMin}, {Op::kAnd, {true, false}, false}, {Op::kAnd, {true, true}, true},
    {Op::kOr, {12, 10}, 14}, {Op::kOr, {true, false}, true}, {Op::kOr, {false, false}, false}, {Op::kOr, {-8, 3}, -5},
    {Op::kXor, {12, 10}, 6}, {Op::kXor, {-1, 1}, -2}, {Op::kXor, {true, true}, false}, {Op::kXor, {true, false}, true},
    {Op::kNot, {0}, -1}, {Op::kNot, {kMax}, kMin}, {Op::kNot, {true}, false}, {Op::kNot, {false}, true},
    {Op::kShl, {3, 4}, 48}, {Op::kShl, {1, 31}, kMin}, {Op::kShl, {1, 33}, 2}, {Op::kShl, {1, -1}, kMin},
    {Op::kShr, {-5, 1}, -3}, {Op::kShr, {kMin, 31}, -1}, {Op::kShr, {8, 34}, 2}, {Op::kShr, {7, 0}, 7},

    {Op::kEq, {3, 3}, true}, {Op::kEq, {kNan, kNan}, false}, {Op::kEq, {0.0F, -0.0F}, true}, {Op::kEq, {true, false}, false},
    {Op::kNe, {3, 3}, false}, {Op::kNe, {kNan, kNan}, true}, {Op::kNe, {0.0F, -0.0F}, false}, {Op::kNe, {true, false}, true},
    {Op::kLt, {kMin, kMax}, true}, {Op::kLt, {2, 2}, false}, {Op::kLt, {kNan, 1.0F}, false}, {Op::kLt, {-kInf, kInf}, true},
    {Op::kLe, {2, 2}, true}, {Op::kLe, {3, 2}, false}, {Op::kLe, {kNan, kNan}, false}, {Op::kLe, {0.0F, -0.0F}, true},
    {Op::kGt, {kMax, kMin}, true}, {Op::kGt, {2, 2}, false}, {Op::kGt, {1.0F, kNan}, false}, {Op::kGt, {1.0F, 0.5F}, true},
    {Op::kGe, {2, 2}, true}, {Op::kGe, {1, 2}, false}, {Op::kGe, {kNan, kNan}, false}, {Op::kGe, {kInf, kInf}, true},
    {Op::kSelect, {true, 1, 2}, 1}, {Op::kSelect, {false, 1, 2}, 2}, {Op::kSelect, {true, 1.0F, kNan}, 1.0F},
    {Op::kSelect, {false, true, false}, false}, {Op::kSelect, {false, 1.0F, kNan}, kNan},

    {Op::kIntToFloat, {-3}, -3.0F}, {Op::kIntToFloat, {16777217}, 16777216.0F}, {Op::kIntToFloat, {16777219}, 16777220.0F},
    {Op::kIntToFloat, {kMax}, 2147483648.0F},
    {Op::kFloatToInt, {-2.9F}, -2}, {Op::kFloatToInt, {2.9F}, 2}, {Op::kFloatToInt, {kNan}, 0}, {Op::kFloatToInt, {kInf}, kMax},
    {Op::kFloatToInt, {-1e20F}, kMin}, {Op::kFloatToInt, {2147483648.0F}, kMax},
    {Op::kBoolToInt, {true}, 1}, {Op::kBoolToInt, {false}, 0},
    {Op::kIntToLong, {5}, 5}, {Op::kIntToLong, {kMin}, kMin},
    {Op::kLongToInt, {3, -4}, -12}, {Op::kLongToInt, {65536, 65536}, kMax}, {Op::kLongToInt, {-65536, 65536}, kMin},
    // What is known of seven rounds (checklist, section 11) as fp32; (0, 1, 0, 0) once more as what its block gives to key 4.
    {Op::kPhilox, {0, 0, 0, 0, 0x1BF58, 0x1D4B49}, unit(0x8d6d5130)}, {Op::kPhilox, {1, 0, 0, 0, 0x1BF58, 0x1D4B49}, unit(0x1eb43def)},
    {Op::kPhilox, {0, 1, 0, 0, 0x1BF58, 0x1D4B49}, unit(0xd81fb6ab)}, {Op::kPhilox, {5, 3, 1, 2, 0x1BF58, 0x1D4B49}, unit(0xfd8f61e9)},
    {Op::kPhilox, {255, 255, 3, 7, 0x1BF58, 0x1D4B49}, unit(0xe62dab7e)}, {Op::kPhilox, {0, 0, 0, 0, 0, 0}, unit(0x5f6fb709)},
    {Op::kPhiloxOfFour, {0, 0, 0, 0, 0x1BF58, 0x1D4B49}, unit(0x8d6d5130)}, {Op::kPhiloxOfFour, {0, 4, 0, 0, 0x1BF58, 0x1D4B49}, unit(0xd81fb6ab)},
    {Op::kPhiloxOfFour, {0, 1, 0, 0, 0, 0}, unit(0x0d893f64)}, {Op::kPhiloxOfFour, {0, 2, 0, 0, 0, 0}, unit(0x4f121f81)},
    {Op::kPhiloxOfFour, {0, 3, 0, 0, 0, 0}, unit(0x4f730a48)},
    {Op::kFloor, {-1.5F}, -2.0F}, {Op::kFloor, {-0.0F}, -0.0F}, {Op::kFloor, {kInf}, kInf},
    {Op::kCeil, {-1.5F}, -1.0F}, {Op::kCeil, {1.2F}, 2.0F}, {Op::kCeil, {kNan}, kNan},
    {Op::kRound, {2.5F}, 2.0F}, {Op::kRound, {3.5F}, 4.0F}, {Op::kRound, {-0.5F}, -0.0F}, {Op::kRound, {-1.6F}, -2.0F},
    {Op::kSqrt, {2.0F}, 1.41421356F}, {Op::kSqrt, {-1.0F}, kNan}, {Op::kSqrt, {-0.0F}, -0.0F}, {Op::kSqrt, {kInf}, kInf},
    {Op::kExp, {1.0F}, 2.71828183F}, {Op::kExp, {-kInf}, 0.0F}, {Op::kExp, {100.0F}, kInf}, {Op::kExp, {kNan}, kNan},
    {Op::kExp2, {0.5F}, 1.41421356F}, {Op::kExp2, {-3.0F}, 0.125F}, {Op::kExp2, {128.0F}, kInf},
    {Op::kLog, {2.0F}, 0.693147181F}, {Op::kLog, {0.0F}, -kInf}, {Op::kLog, {-1.0F}, kNan}, {Op::kLog, {1.0F}, 0.0F},
    {Op::kLog2, {8.0F}, 3.0F}, {Op::kLog2, {3.0F}, 1.58496250F}, {Op::kLog2, {0.0F}, -kInf}, {Op::kLog2, {-1.0F}, kNan},
    {Op::kLog1p, {1.0F}, 0.693147181F}, {Op::kLog1p, {-1.0F}, -kInf}, {Op::kLog1p, {-2.0F}, kNan}, {Op::kLog1p, {1e-10F}, 1e-10F},
    {Op::kTanh, {1.0F}, 0.761594156F}, {Op::kTanh, {kInf}, 1.0F}, {Op::kTanh, {-0.0F}, -0.0F}, {Op::kTanh, {-50.0F}, -1.0F},
    {Op::kErf, {1.0F}, 0.842700793F}, {Op::kErf, {-kInf}, -1.0F}, {Op::kErf, {0.0F}, 0.0F},
    {Op::kSin, {1.0F}, 0.841470985F}, {Op::kSin, {kInf}, kNan}, {Op::kSin, {-0.0F}, -0.0F},
    {Op::kCos, {1.0F}, 0.540302306F}, {Op::kCos, {-kInf}, kNan}, {Op::kCos, {0.0F}, 1.0F},
    {Op::kPow, {2.0F, 10.0F}, 1024.0F}, {Op::kPow, {-2.0F, 3.0F}, -8.0F}, {Op::kPow, {-2.0F, 0.5F}, kNan},
    {Op::kPow, {kNan, 0.0F}, 1.0F}, {Op::kPow, {1.0F, kNan}, 1.0F}, {Op::kPow, {-0.0F, -1.0F}, -kInf},
    {Op::kPow, {0.0F, 0.0F}, 1.0F}, {Op::kPow, {2.0F, -1.0F}, 0.5F}, {Op::kPow, {-3.0F, 2.0F}, 9.0F}, {Op::kPow, {kNan, 1.0F}, kNan},
};
// clang-format on

Type type_of(const Scalar& value) {
  constexpr Type kTypes[] = {Type::kInt, Type::kFloat, Type::kBool};
  return kTypes[value.index()];
}

Id constant(ProgramBuilder& builder, const Scalar& value) {
  if (const auto* i = std::get_if<std::int32_t>(&value)) return builder.const_int(*i);
  if (const auto* f = std::get_if<double>(&value)) return builder.const_float(*f);
  return builder.const_bool(std::get<bool>(value));
}

Id operation(ProgramBuilder& builder, Op op, const std::vector<Id>& operands) {
  if (op == Op::kRead) return builder.read({.buffer = 0}, operands);
  if (op == Op::kDot) return builder.dot({.buffer_a = 1, .buffer_b = 1, .extent = 2}, operands);
  if (op == Op::kAccumulate) return builder.accumulate({.buffer = 0}, operands);
  if (op == Op::kAccumulateRow) return builder.accumulate_row({.buffer_a = 1, .buffer_b = 1, .extent = 2}, operands);
  if (op == Op::kConst || op == Op::kParam) return operands[0];
  // No constant or param is a long: one is made of ints, as a product where a case has two.
  const auto as_long = [&](Id id) { return builder.make(Op::kIntToLong, {id}); };
  if (op == Op::kIntToLong) return builder.make(Op::kLongToInt, {as_long(operands[0])});
  if (op == Op::kLongToInt) return builder.make(op, {builder.make(Op::kMul, {as_long(operands[0]), as_long(operands[1])})});
  return operands.empty() ? builder.variable(op) : builder.make(op, operands);
}

}  // namespace

std::span<const OpCase> op_cases() { return kCases; }

std::string describe(const OpCase& test_case) {
  std::string text(mnemonic(test_case.op));
  for (const Scalar& operand : test_case.operands) std::visit([&](auto v) { text += fmt::format(" {}", v); }, operand);
  std::visit([&](auto v) { text += fmt::format(" = {}", v); }, test_case.expected);
  return text;
}

const Environment& case_environment() {
  static const std::array<float, 3> line = {10, 20, 30};
  static const std::array<float, 6> table = {1, 2, 3, 4, 5, 6};
  static const std::array<TensorView, 2> views = {TensorView(line.data(), DType::kF32, {3}),
                                                  TensorView(table.data(), DType::kF32, {3, 2})};
  static const Environment environment{.batch_size = 2,
                                       .num_heads = 6,
                                       .num_kv_heads = 3,
                                       .q_len = 7,
                                       .kv_len = 9,
                                       .q_offset = 11,
                                       .kv_offset = 13,
                                       .buffers = views,
                                       .params = {}};
  return environment;
}

Environment with_params(const std::vector<Scalar>& params) {
  Environment environment = case_environment();
  environment.params = params;
  return environment;
}

Program case_program(const OpCase& test_case, OperandsAs as) {
  ProgramBuilder builder;
  builder.add_buffer({DType::kF32, 1});
  builder.add_buffer({DType::kF32, 2});
  std::vector<Id> operands;
  for (const Scalar& value : test_case.operands) {
    const std::uint32_t slot = builder.add_param(type_of(value));
    const bool by_param = as == OperandsAs::kParams && test_case.op != Op::kConst;
    operands.push_back(by_param || test_case.op == Op::kParam ? builder.param(slot) : constant(builder, value));
  }
  const Id result = operation(builder, test_case.op, operands);
  if (accumulates(test_case.op)) {
    builder.add_accumulation(result);
    return std::move(builder).finish({}, {});
  }
  if (test_case.op == Op::kScoreGrad) {
    Roots roots;
    roots[Root::kScoreGrad] = result;
    return std::move(builder).finish(roots);
  }
  if (is_of_row(test_case.op)) {
    Roots roots;
    roots[Root::kFeature] = result;
    return std::move(builder).finish(roots);
  }
  switch (type_of(test_case.expected)) {
    case Type::kFloat: return std::move(builder).finish(result, {});
    case Type::kBool: return std::move(builder).finish({}, result);
    case Type::kInt:
    case Type::kLong: break;
  }
  const Id equal = builder.make(Op::kEq, {result, constant(builder, test_case.expected)});
  return std::move(builder).finish({}, equal);
}

bool gives_expected(const OpCase& test_case, const Program& program, const Environment& environment) {
  Interpreter interpreter(program, environment);
  std::array<std::uint8_t, 1> allowed{};
  if (interpreter.eval_mask(kCaseRow, allowed)) return false;
  if (const auto* truth = std::get_if<bool>(&test_case.expected)) return (allowed[0] != 0) == *truth;
  if (std::holds_alternative<std::int32_t>(test_case.expected)) return allowed[0] != 0;
  std::array<double, 1> score = {kCaseScore}, grad = {kCaseScoreGrad};
  if (program.feature().valid()) {
    if (interpreter.eval_feature(kCaseRow, kCaseSumSq, score)) return false;
    return score[0] == std::get<double>(test_case.expected);
  }
  if (interpreter.eval_score_grad(kCaseRow, allowed, score, grad)) return false;
  if (interpreter.eval_score(kCaseRow, allowed, score)) return false;
  if (test_case.op == Op::kScoreGrad) score = grad;
  if (accumulates(test_case.op)) {
    score[0] = program.accumulations().empty() ? 0 : interpreter.lanes(program.accumulations()[0]).f[0];
  }
  const double expected = std::get<double>(test_case.expected);
  if (std::isnan(expected)) return std::isnan(score[0]);
  return score[0] == expected && std::signbit(score[0]) == std::signbit(expected);
}

}  // namespace flexjit::ir::test
