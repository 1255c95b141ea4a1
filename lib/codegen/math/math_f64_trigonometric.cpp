// fp64 sine and cosine. Below 2^20 three products reduce x; beyond it x is multiplied by 2/pi piece by piece in a loop, as in
// math_trigonometric.cpp, each product exact because x comes in halves and the pieces have 23 bits.
#include <llvm/IR/Constants.h>
#include <llvm/IR/GlobalVariable.h>

#include <limits>
#include <vector>

#include "codegen/math/math_f64_internal.h"
#include "codegen/math/math_reduction.h"

namespace flexjit::codegen::f64 {
namespace {

// (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 in r^2 on [-pi/4, pi/4]: errors 7e-18 and 2e-18.
constexpr double kSinTail[] = {-0.16666666666666666,    0.008333333333333323,   -0.00019841269841254446, 2.7557319213898196e-06,
                               -2.5052104841320906e-08, 1.6058358260546844e-10, -7.578306601616384e-13};
constexpr double kCosTail[] = {0.041666666666666664,   -0.0013888888888888872,  2.480158730156992e-05, -2.755731921475697e-07,
                               2.0876754237110327e-09, -1.1470279586231278e-11, 4.73752845427661e-14};

constexpr double kTwoOverPi = 0.63661977236758134308;
constexpr double kHalfPi = 1.57079632679489661923;
constexpr double kLarge = 0x1p20;
// pi/2 in parts of 33 bits, whose products with |n| < 2^20 are exact, and what they leave.
constexpr double kHalfPiParts[] = {1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32};

// The binary digits of 2/pi after the point: enough for 2^1024, with more than 100 bits to spare.
constexpr std::uint32_t kTwoOverPiDigits[] = {
    0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB, 0xDEBBC561, 0xB7246E3A,
    0x424DD2E0, 0x06492EEA, 0x09D1921C, 0xFE1DEB1C, 0xB129A73E, 0xE88235F5, 0x2EBB4484, 0xE99C7026, 0xB45F7E41,
    0x3991D639, 0x835339F4, 0x9C845F8B, 0xBDF9283B, 0x1FF897FF, 0xDE05980F, 0xEF2F118B, 0x5A0A6D1F, 0x6D367ECF,
    0x27CB09B7, 0x4F463F66, 0x9E5FEA2D, 0x7527BAC7, 0xEBE5F17B, 0x3D0739F7, 0x8A5292EA, 0x6BFB5FB1, 0x1F8D5D08};
constexpr std::size_t kPieceBits = 23;
constexpr std::size_t kPieces = 50;  // of 23 bits: 1150
// Pieces are stored times 2^500 and x is taken times 2^-500, so that neither leaves the range of a double.
constexpr double kPieceScale = 0x1p500;

llvm::GlobalVariable* two_over_pi_table(Emitter& e) {
  constexpr const char* kName = "two_over_pi";
  if (auto* known = e.module().getGlobalVariable(kName, true)) return known;
  std::vector<double> pieces;
  double scale = kPieceScale;
  for (std::size_t k = 0; k < kPieces; ++k) {
    double piece = 0;
    for (std::size_t bit = k * kPieceBits; bit < (k + 1) * kPieceBits; ++bit) {
      scale /= 2;
      if ((kTwoOverPiDigits[bit / 32] >> (31 - bit % 32) & 1U) != 0) piece += scale;
    }
    pieces.push_back(piece);
  }
  auto* values = llvm::ConstantDataArray::get(e.module().getContext(), pieces);
  return new llvm::GlobalVariable(e.module(), values->getType(), true, llvm::GlobalValue::PrivateLinkage, values, kName);
}

Reduced reduce_small(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Float sum = e.fma(x, s.number(kTwoOverPi), s.number(kRound));
  const Float n = e.sub(sum, s.number(kRound));
  Float r = x;
  for (double part : kHalfPiParts) r = e.fma(n, s.number(-part), r);
  return {s.low_int(sum), r};
}

// turns = 0; for (k = 0; k < pieces; ++k) for (half of x) turns += (half * piece[k]) modulo 4, what the sum rounds away aside
Reduced reduce_large(Emitter& e, Float x) {
  auto& ir = e.ir();
  const Shaped s(e, x);
  const Float scaled = e.mul(x, s.number(1 / kPieceScale));
  const Float high = s.from_bits(ir.CreateAnd(s.bits_of(scaled), s.bits(0xfffffffff8000000)));
  const Float halves[] = {high, e.sub(scaled, high)};
  auto* table = two_over_pi_table(e);
  const Values start{s.number(0).value, s.number(0).value};
  const Values sums =
      e.for_range("two_over_pi", e.index(0), e.index(kPieces), e.index(1), start, [&](Index k, const Values& v) {
        Float turns{v[0]}, lost{v[1]};
        auto* address = ir.CreateInBoundsGEP(ir.getDoubleTy(), table, k.value);
        Float piece{ir.CreateAlignedLoad(ir.getDoubleTy(), address, llvm::Align(8))};
        if (Emitter::is_vector(x.value)) piece = e.broadcast(piece);
        for (Float half : halves) {
          Float product = e.mul(half, piece);
          product = e.select(e.compare(FloatOrder::kLt, e.abs(product), s.number(0x1p53)), product, s.number(0));
          const Float multiple = e.sub(e.add(product, s.number(0x1.8p54)), s.number(0x1.8p54));
          const Float rest = e.sub(product, multiple);
          const Float sum = e.add(turns, rest);
          const Float taken = e.sub(sum, turns);
          lost = e.add(lost, e.add(e.sub(turns, e.sub(sum, taken)), e.sub(rest, taken)));
          turns = sum;
        }
        return Values{turns.value, lost.value};
      });
  const Float turns{sums[0]};
  const Float sum = e.add(turns, s.number(kRound));
  const Float fraction = e.add(e.sub(turns, e.sub(sum, s.number(kRound))), Float{sums[1]});
  return {s.low_int(sum), e.mul(fraction, s.number(kHalfPi))};
}

Reduced reduce(Emitter& e, Float x) {
  const Shaped s(e, x);
  const Reduced small = reduce_small(e, x);
  const Float magnitude = e.abs(x);
  const Bool finite = e.compare(FloatOrder::kLt, magnitude, s.number(std::numeric_limits<double>::infinity()));
  const Bool large = e.logical_and(finite, e.compare(FloatOrder::kGe, magnitude, s.number(kLarge)));
  return replace_large(e, large, small, [&] { return reduce_large(e, x); });
}

Float sine(Emitter& e, Float x, std::int32_t shift) {
  auto& ir = e.ir();
  const Shaped s(e, x);
  const Reduced reduced = reduce(e, x);
  const Float r2 = e.mul(reduced.r, reduced.r);
  const Float sin = e.fma(e.mul(r2, reduced.r), s.polynomial(r2, kSinTail), reduced.r);
  const Float cos = e.fma(e.mul(r2, r2), s.polynomial(r2, kCosTail), e.fma(r2, s.number(-0.5), s.number(1)));
  const Int quadrant = e.add(reduced.quadrant, e.constant_int(shift));
  const Bool odd = e.compare(llvm::CmpInst::ICMP_NE, e.bit_and(quadrant, e.constant_int(1)), e.constant_int(0));
  auto* wide = ir.CreateZExt(e.bit_and(quadrant, e.constant_int(2)).value, e.shaped(ir.getInt64Ty(), x.value));
  return s.from_bits(ir.CreateXor(s.bits_of(e.select(odd, cos, sin)), ir.CreateShl(wide, s.bits(62))));
}

}  // namespace

Float emit_sin(Emitter& e, Float x) { return sine(e, x, 0); }
Float emit_cos(Emitter& e, Float x) { return sine(e, x, 1); }

}  // namespace flexjit::codegen::f64
