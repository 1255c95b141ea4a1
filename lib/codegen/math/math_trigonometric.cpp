// Sine and cosine: x = n * pi/2 + r, then one of two polynomials in r by the quadrant n. Below 2^17 three products reduce x.
// Beyond it n no longer fits a float, and only x * 2/pi modulo 4 is wanted: fp64 multiplies x by 2/pi piece by piece, each
// product exact, and drops the multiples of 4 from each before they are added. That is rare, so it stands under a branch.

#include <array>
#include <limits>

#include "codegen/math/math_f64.h"
#include "codegen/math/math_reduction.h"
#include "codegen/math/vector_math.h"

namespace flexjit::codegen {
namespace {

// (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 in r^2 on [-pi/4, pi/4]: errors 5e-12 and 1e-13.
constexpr float kSinTail[] = {-0.166666666F, 0.00833332928F, -0.000198393044F, 2.71804645e-06F};
constexpr float kCosTail[] = {0.0416666666F, -0.00138888835F, 2.47994516e-05F, -2.72050497e-07F};

constexpr double kTwoOverPi = 0.63661977236758134308;
constexpr double kHalfPi = 1.57079632679489661923;
constexpr float kLarge = 0x1p17F;

// pi/2 = the sum of three floats. n times the first is a multiple of 2^-23, as x is from 1 on: the first difference is exact.
constexpr float kHalfPiFloats[] = {1.57079637F, -4.37113883e-8F, -1.71512489e-15F};
// pi/2 in three parts of at most 22 bits: the product with any int32 is exact in fp64.
constexpr double kHalfPiDoubles[] = {1.57079601287841796875, 3.139164164167596e-07, 6.223372171896613e-14};

// The binary digits of 2/pi after the point, and seven pieces of 26 of them: enough for 2^128, with 54 bits to spare.
constexpr std::uint32_t kTwoOverPiDigits[] = {0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041};
constexpr int kPieceBits = 26;

constexpr std::array<double, 7> two_over_pi_pieces() {
  std::array<double, 7> pieces{};
  double scale = 1;
  for (std::size_t k = 0; k < pieces.size(); ++k) {
    double piece = 0;
    for (std::size_t bit = k * kPieceBits; bit < (k + 1) * kPieceBits; ++bit) {
      scale /= 2;
      if ((kTwoOverPiDigits[bit / 32] >> (31 - bit % 32) & 1U) != 0) piece += scale;
    }
    pieces[k] = piece;
  }
  return pieces;
}

// fp64 arithmetic in the shape of one operand.
class Wide {
 public:
  Wide(Emitter& e, Float shape) : e_(e), ir_(e.ir()), type_(e.shaped(e.ir().getDoubleTy(), shape.value)) {}

  llvm::Constant* number(double value) const { return llvm::ConstantFP::get(type_, value); }
  llvm::Value* widen(Float x) const { return ir_.CreateFPExt(x.value, type_); }
  Float narrow(llvm::Value* x) const { return {ir_.CreateFPTrunc(x, e_.shaped(ir_.getFloatTy(), x))}; }

  // x rounded to a multiple of 2^k by adding 1.5 * 2^(k + 52), for |x| < 2^(k + 51); also the sum, whose low bits count.
  struct Rounded {
    llvm::Value* value;
    llvm::Value* sum;
  };
  Rounded round(llvm::Value* x, double magic) const {
    auto* sum = ir_.CreateFAdd(x, number(magic));
    return {ir_.CreateFSub(sum, number(magic)), sum};
  }
  static constexpr double kToIntegers = 0x1.8p52;
  static constexpr double kToMultiplesOf4 = 0x1.8p54;

  Int low_bits(llvm::Value* sum) const {
    auto* bits = ir_.CreateBitCast(sum, e_.shaped(ir_.getInt64Ty(), sum));
    return {ir_.CreateTrunc(bits, e_.shaped(ir_.getInt32Ty(), sum))};
  }

 private:
  Emitter& e_;
  llvm::IRBuilder<>& ir_;
  llvm::Type* type_;
};

// For |x| < kLarge; infinities and NaN give NaN.
Reduced reduce_small(Emitter& e, Float x) {
  if (e.has_fma()) {
    const Float sum = e.fma(x, e.constant(static_cast<float>(kTwoOverPi)), e.constant(12582912.0F));  // 1.5 * 2^23
    const Float n = e.sub(sum, e.constant(12582912.0F));
    Float r = x;
    for (float part : kHalfPiFloats) r = e.fma(n, e.constant(-part), r);
    return {e.bits_as_int(sum), r};
  }
  auto& ir = e.ir();
  const Wide wide(e, x);
  llvm::Value* r = wide.widen(x);
  const Wide::Rounded n = wide.round(ir.CreateFMul(r, wide.number(kTwoOverPi)), Wide::kToIntegers);
  for (double part : kHalfPiDoubles) r = ir.CreateFSub(r, ir.CreateFMul(n.value, wide.number(part)));
  return {wide.low_bits(n.sum), wide.narrow(r)};
}

// For every finite x; infinities and NaN give anything. A product of 24 and 26 bits that reaches 2^53 is a multiple of 8.
Reduced reduce_large(Emitter& e, Float x) {
  auto& ir = e.ir();
  const Wide wide(e, x);
  auto* wide_x = wide.widen(x);
  llvm::Value* quarter_turns = wide.number(0.0);
  for (double piece : two_over_pi_pieces()) {
    auto* product = ir.CreateFMul(wide_x, wide.number(piece));
    auto* counts = ir.CreateFCmpOLT(ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, product), wide.number(0x1p53));
    product = ir.CreateSelect(counts, product, wide.number(0.0));
    auto* rest = ir.CreateFSub(product, wide.round(product, Wide::kToMultiplesOf4).value);
    quarter_turns = ir.CreateFAdd(quarter_turns, rest);
  }
  const Wide::Rounded n = wide.round(quarter_turns, Wide::kToIntegers);
  auto* r = ir.CreateFMul(ir.CreateFSub(quarter_turns, n.value), wide.number(kHalfPi));
  return {wide.low_bits(n.sum), wide.narrow(r)};
}

Reduced reduce(Emitter& e, Float x) {
  const Reduced small = reduce_small(e, x);
  const Float magnitude = e.abs(x);
  const Bool finite = e.compare(FloatOrder::kLt, magnitude, e.constant(std::numeric_limits<float>::infinity()));
  const Bool large = e.logical_and(finite, e.compare(FloatOrder::kGe, magnitude, e.constant(kLarge)));
  return replace_large(e, large, small, [&] { return reduce_large(e, x); });
}

// sin(x + shift * pi/2).
Float sine(Emitter& e, Float x, std::int32_t shift) {
  const Reduced reduced = reduce(e, x);
  const Float r2 = e.mul(reduced.r, reduced.r);
  const Float sin = e.fma(e.mul(r2, reduced.r), emit_polynomial(e, r2, kSinTail), reduced.r);
  const Float cos_low = e.fma(r2, e.constant(-0.5F), e.constant(1.0F));
  const Float cos = e.fma(e.mul(r2, r2), emit_polynomial(e, r2, kCosTail), cos_low);
  const Int quadrant = e.add(reduced.quadrant, e.constant_int(shift));
  const Bool odd = e.compare(llvm::CmpInst::ICMP_NE, e.bit_and(quadrant, e.constant_int(1)), e.constant_int(0));
  // The quadrant's second bit is the sign.
  const Int sign = e.shl(e.bit_and(quadrant, e.constant_int(2)), e.constant_int(30));
  return e.bits_as_float(e.bit_xor(e.bits_as_int(e.select(odd, cos, sin)), sign));
}

}  // namespace

Float emit_sin(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_sin(e, x);
  return sine(e, x, 0);
}
Float emit_cos(Emitter& e, Float x) {
  if (is_f64(x)) return f64::emit_cos(e, x);
  return sine(e, x, 1);
}

}  // namespace flexjit::codegen
