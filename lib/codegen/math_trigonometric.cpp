// Sine and cosine: x = n * pi/2 + r reduced in fp64, then one of two polynomials in fp32 by the quadrant n.
#include <limits>

#include "codegen/vector_math.h"

namespace flexjit::codegen {
namespace {

// (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 in r^2 on [-pi/4, pi/4]: errors 5e-12 and 1e-13.
constexpr float kSinTail[] = {-0.166666666F, 0.00833332928F, -0.000198393044F, 2.71804645e-06F};
constexpr float kCosTail[] = {0.0416666666F, -0.00138888835F, 2.47994516e-05F, -2.72050497e-07F};

// pi/2 in three parts of at most 22 bits: the product with any int32 is exact in fp64.
constexpr double kHalfPi1 = 1.57079601287841796875;
constexpr double kHalfPi2 = 3.139164164167596e-07;
constexpr double kHalfPi3 = 6.223372171896613e-14;

struct Reduced {
  Int quadrant;
  Float r;
};

Reduced reduce(Emitter& e, Float x) {
  auto& ir = e.ir();
  auto* f64 = e.shaped(ir.getDoubleTy(), x.value);
  const auto number = [&](double value) { return llvm::ConstantFP::get(f64, value); };
  auto* wide = ir.CreateFPExt(x.value, f64);
  // Nearest integer by the sign of x: fptosi truncates.
  auto* quarter_turns = ir.CreateFMul(wide, number(0.63661977236758134308));
  auto* half = ir.CreateSelect(ir.CreateFCmpOLT(quarter_turns, number(0.0)), number(-0.5), number(0.5));
  auto* n = ir.CreateFPToSI(ir.CreateFAdd(quarter_turns, half), e.shaped(ir.getInt32Ty(), x.value));
  auto* n64 = ir.CreateSIToFP(n, f64);
  llvm::Value* r = wide;
  for (double part : {kHalfPi1, kHalfPi2, kHalfPi3}) r = ir.CreateFSub(r, ir.CreateFMul(n64, number(part)));
  return {Int{n}, Float{ir.CreateFPTrunc(r, x.value->getType())}};
}

// sin(x + shift * pi/2), NaN beyond the range in which n fits an int32 and r means anything is left to the reduction.
Float sine(Emitter& e, Float x, std::int32_t shift) {
  const Bool finite = e.compare(FloatOrder::kLt, e.abs(x), e.constant(std::numeric_limits<float>::infinity()));
  const Float largest = e.constant(3.0e9F);
  const Bool reducible = e.compare(FloatOrder::kLt, e.abs(x), largest);
  const Reduced reduced = reduce(e, e.select(reducible, x, e.constant(0.0F)));
  const Float r2 = e.mul(reduced.r, reduced.r);
  const Float sin = e.fma(e.mul(r2, reduced.r), emit_polynomial(e, r2, kSinTail), reduced.r);
  const Float cos_low = e.fma(r2, e.constant(-0.5F), e.constant(1.0F));
  const Float cos = e.fma(e.mul(r2, r2), emit_polynomial(e, r2, kCosTail), cos_low);
  const Int quadrant = e.add(reduced.quadrant, e.constant_int(shift));
  const auto bit = [&](std::int32_t mask) {
    return e.compare(llvm::CmpInst::ICMP_NE, e.bit_and(quadrant, e.constant_int(mask)), e.constant_int(0));
  };
  const Float magnitude = e.select(bit(1), cos, sin);
  const Float result = e.select(bit(2), e.neg(magnitude), magnitude);
  return e.select(finite, result, e.constant(std::numeric_limits<float>::quiet_NaN()));
}

}  // namespace

Float emit_sin(Emitter& e, Float x) { return sine(e, x, 0); }
Float emit_cos(Emitter& e, Float x) { return sine(e, x, 1); }

}  // namespace flexjit::codegen
