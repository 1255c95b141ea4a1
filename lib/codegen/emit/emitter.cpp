// Typed operations -> LLVM instructions. Everything that depends on the shape (scalar or vector) of an operand is settled here.
#include "codegen/emit/emitter.h"

#include <llvm/IR/Intrinsics.h>

#include <limits>

namespace flexjit::codegen {

SourceScope::SourceScope(plan::Provenance& current, const plan::Provenance& inner, llvm::IRBuilder<>& builder,
                         const LineTable* lines)
    : current_(current), outer_(current), builder_(builder), outer_location_(builder.getCurrentDebugLocation()) {
  current_ = inner;
  if (lines != nullptr) builder_.SetCurrentDebugLocation(lines->location(inner));
}

SourceScope::~SourceScope() {
  current_ = outer_;
  builder_.SetCurrentDebugLocation(outer_location_);
}

Emitter::Emitter(llvm::Module& module, plan::Isa isa, plan::Arithmetic arithmetic, LineTable* lines)
    : module_(module),
      builder_(module.getContext()),
      isa_(isa),
      arithmetic_(arithmetic),
      lanes_(plan::lanes_of(isa, arithmetic)),
      lines_(lines) {}

llvm::Type* Emitter::real_type() { return real_bytes() == 8 ? builder_.getDoubleTy() : builder_.getFloatTy(); }

void Emitter::match_precision(Float& a, Float& b) {
  if (is_double(a) == is_double(b)) return;
  Float& narrower = is_double(a) ? b : a;
  narrower = {builder_.CreateFPExt(narrower.value, shaped(builder_.getDoubleTy(), narrower.value))};
}

Ptr Emitter::begin_function(llvm::StringRef name, llvm::StringRef argument) {
  auto* type = llvm::FunctionType::get(builder_.getVoidTy(), {builder_.getPtrTy()}, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, name, module_);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->getArg(0)->setName(argument);
  if (lines_ != nullptr) lines_->begin_function(*function);
  builder_.SetInsertPoint(llvm::BasicBlock::Create(module_.getContext(), "entry", function));
  return {function->getArg(0)};
}

void Emitter::end_function() { builder_.CreateRetVoid(); }

Float Emitter::constant(float value) { return {llvm::ConstantFP::get(builder_.getFloatTy(), static_cast<double>(value))}; }
Float Emitter::real(double value) { return {llvm::ConstantFP::get(real_type(), value)}; }
Float Emitter::lowest() { return real(-std::numeric_limits<double>::infinity()); }
Int Emitter::constant_int(std::int32_t value) { return {builder_.getInt32(static_cast<std::uint32_t>(value))}; }
Int Emitter::constant_like(Int shape, std::int64_t value) {
  return {llvm::ConstantInt::getSigned(shape.value->getType()->getScalarType(), value)};
}
Bool Emitter::constant_bool(bool value) { return {builder_.getInt1(value)}; }
Index Emitter::index(std::int64_t value) { return {builder_.getInt64(static_cast<std::uint64_t>(value))}; }

llvm::Type* Emitter::shaped(llvm::Type* scalar, llvm::Value* shape) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(shape->getType());
  return vector != nullptr ? llvm::FixedVectorType::get(scalar, vector->getNumElements()) : scalar;
}

Int Emitter::lane_numbers() {
  llvm::SmallVector<llvm::Constant*, 16> numbers;
  for (int i = 0; i < lanes_; ++i) numbers.push_back(builder_.getInt32(static_cast<std::uint32_t>(i)));
  return {llvm::ConstantVector::get(numbers)};
}

Int Emitter::first_lane(Int vector) { return {builder_.CreateExtractElement(vector.value, std::uint64_t{0})}; }

Float Emitter::add(Float a, Float b) { return match(a, b), Float{builder_.CreateFAdd(a.value, b.value)}; }
Float Emitter::sub(Float a, Float b) { return match(a, b), Float{builder_.CreateFSub(a.value, b.value)}; }
Float Emitter::mul(Float a, Float b) { return match(a, b), Float{builder_.CreateFMul(a.value, b.value)}; }
Float Emitter::div(Float a, Float b) { return match(a, b), Float{builder_.CreateFDiv(a.value, b.value)}; }
Float Emitter::neg(Float a) { return {builder_.CreateFNeg(a.value)}; }
Float Emitter::abs(Float a) { return {builder_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, a.value)}; }
Float Emitter::sqrt(Float a) { return {builder_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, a.value)}; }

Float Emitter::fma(Float a, Float b, Float c) {
  match(a, b);
  match(a, c);
  match(a, b);
  if (!has_fma()) return add(mul(a, b), c);
  return {builder_.CreateIntrinsic(a.value->getType(), llvm::Intrinsic::fma, {a.value, b.value, c.value})};
}

Float Emitter::max(Float a, Float b) { return select(compare(FloatOrder::kGt, a, b), a, b); }
Float Emitter::min(Float a, Float b) { return select(compare(FloatOrder::kLt, a, b), a, b); }

Bool Emitter::compare(FloatOrder order, Float a, Float b) {
  match(a, b);
  switch (order) {
    case FloatOrder::kEq: return {builder_.CreateFCmpOEQ(a.value, b.value)};
    case FloatOrder::kNe: return {builder_.CreateFCmpUNE(a.value, b.value)};
    case FloatOrder::kLt: return {builder_.CreateFCmpOLT(a.value, b.value)};
    case FloatOrder::kLe: return {builder_.CreateFCmpOLE(a.value, b.value)};
    case FloatOrder::kGt: return {builder_.CreateFCmpOGT(a.value, b.value)};
    case FloatOrder::kGe: return {builder_.CreateFCmpOGE(a.value, b.value)};
  }
  return {};
}

namespace {

// A vector condition needs vector arms; a scalar condition takes arms of either shape.
template <typename T>
T select_of(Emitter& e, Bool c, T a, T b) {
  if (Emitter::is_vector(c.value) || Emitter::is_vector(a.value) != Emitter::is_vector(b.value)) {
    a = e.broadcast(a);
    b = e.broadcast(b);
  }
  return {e.ir().CreateSelect(c.value, a.value, b.value)};
}

}  // namespace

Float Emitter::select(Bool c, Float a, Float b) {
  match_precision(a, b);
  return select_of(*this, c, a, b);
}
Int Emitter::select(Bool c, Int a, Int b) { return select_of(*this, c, a, b); }
Bool Emitter::select(Bool c, Bool a, Bool b) { return select_of(*this, c, a, b); }

Float Emitter::reduce_add(Float vector) {
  llvm::FastMathFlags reassociate;
  reassociate.setAllowReassoc();
  auto* zero = llvm::ConstantFP::getNegativeZero(vector.value->getType()->getScalarType());
  auto* call = builder_.CreateFAddReduce(zero, vector.value);
  call->setFastMathFlags(reassociate);
  return {call};
}

Float Emitter::reduce_max(Float vector) {
  llvm::FastMathFlags no_nan;
  no_nan.setNoNaNs();
  auto* call = builder_.CreateFPMaxReduce(vector.value);
  call->setFastMathFlags(no_nan);
  return {call};
}

Int Emitter::add(Int a, Int b) { return match(a, b), Int{builder_.CreateAdd(a.value, b.value)}; }
Int Emitter::sub(Int a, Int b) { return match(a, b), Int{builder_.CreateSub(a.value, b.value)}; }
Int Emitter::mul(Int a, Int b) { return match(a, b), Int{builder_.CreateMul(a.value, b.value)}; }
Int Emitter::bit_and(Int a, Int b) { return match(a, b), Int{builder_.CreateAnd(a.value, b.value)}; }
Int Emitter::bit_or(Int a, Int b) { return match(a, b), Int{builder_.CreateOr(a.value, b.value)}; }
Int Emitter::bit_xor(Int a, Int b) { return match(a, b), Int{builder_.CreateXor(a.value, b.value)}; }
Int Emitter::shl(Int a, Int b) { return match(a, b), Int{builder_.CreateShl(a.value, b.value)}; }
Int Emitter::shr(Int a, Int b) { return match(a, b), Int{builder_.CreateAShr(a.value, b.value)}; }
Bool Emitter::compare(llvm::CmpInst::Predicate predicate, Int a, Int b) {
  return match(a, b), Bool{builder_.CreateICmp(predicate, a.value, b.value)};
}

Bool Emitter::logical_and(Bool a, Bool b) { return match(a, b), Bool{builder_.CreateAnd(a.value, b.value)}; }
Bool Emitter::logical_or(Bool a, Bool b) { return match(a, b), Bool{builder_.CreateOr(a.value, b.value)}; }
Bool Emitter::logical_xor(Bool a, Bool b) { return match(a, b), Bool{builder_.CreateXor(a.value, b.value)}; }
Bool Emitter::logical_not(Bool a) { return {builder_.CreateNot(a.value)}; }

Bool Emitter::any(Bool vector) {
  if (!is_vector(vector.value)) return vector;
  auto* bits = builder_.CreateBitCast(vector.value, builder_.getIntNTy(static_cast<unsigned>(lanes_)));
  return {builder_.CreateIsNotNull(bits)};
}

Index Emitter::lane_bits(Bool vector) {
  auto* bits = builder_.CreateBitCast(vector.value, builder_.getIntNTy(static_cast<unsigned>(lanes_)));
  return {builder_.CreateZExt(bits, builder_.getInt64Ty())};
}

Index Emitter::low_bits(Index count) { return lshr(index(-1), sub(index(64), count)); }

Float Emitter::to_float(Int a) { return {builder_.CreateSIToFP(a.value, shaped(builder_.getFloatTy(), a.value))}; }
// Lane by lane from longs: some targets would round vectors to fp64 first.
Float Emitter::to_real(Int a) {
  if (!is_long(a) || !is_vector(a.value)) return {builder_.CreateSIToFP(a.value, shaped(real_type(), a.value))};
  llvm::Value* all = llvm::PoisonValue::get(shaped(real_type(), a.value));
  for (int lane = 0; lane < lanes_; ++lane) {
    const auto number = static_cast<std::uint64_t>(lane);
    auto* one = builder_.CreateSIToFP(builder_.CreateExtractElement(a.value, number), real_type());
    all = builder_.CreateInsertElement(all, one, number);
  }
  return {all};
}
Float Emitter::to_real(Float a) { return {builder_.CreateFPCast(a.value, shaped(real_type(), a.value))}; }
Int Emitter::to_int(Float a) { return {builder_.CreateFPToSI(a.value, shaped(builder_.getInt32Ty(), a.value))}; }
Int Emitter::to_int(Bool a) { return {builder_.CreateZExt(a.value, shaped(builder_.getInt32Ty(), a.value))}; }
Float Emitter::bits_as_float(Int a) { return {builder_.CreateBitCast(a.value, shaped(builder_.getFloatTy(), a.value))}; }
Int Emitter::bits_as_int(Float a) { return {builder_.CreateBitCast(a.value, shaped(builder_.getInt32Ty(), a.value))}; }

Index Emitter::widen(Int scalar) { return {builder_.CreateSExtOrTrunc(scalar.value, builder_.getInt64Ty())}; }
Int Emitter::to_long(Int a) { return {builder_.CreateSExt(a.value, shaped(builder_.getInt64Ty(), a.value))}; }
Int Emitter::saturated(Int a) {
  const Int least = constant_like(a, std::numeric_limits<std::int32_t>::min());
  const Int most = constant_like(a, std::numeric_limits<std::int32_t>::max());
  const Int above = select(compare(llvm::CmpInst::ICMP_SLT, a, least), least, a);
  const Int within = select(compare(llvm::CmpInst::ICMP_SGT, above, most), most, above);
  return {builder_.CreateTrunc(within.value, shaped(builder_.getInt32Ty(), a.value))};
}
Index Emitter::widen_bool(Bool scalar) { return {builder_.CreateZExt(scalar.value, builder_.getInt64Ty())}; }
Int Emitter::narrow(Index a) { return {builder_.CreateTrunc(a.value, builder_.getInt32Ty())}; }
Index Emitter::add(Index a, Index b) { return {builder_.CreateNSWAdd(a.value, b.value)}; }
Index Emitter::sub(Index a, Index b) { return {builder_.CreateNSWSub(a.value, b.value)}; }
Index Emitter::mul(Index a, Index b) { return {builder_.CreateNSWMul(a.value, b.value)}; }
Index Emitter::min(Index a, Index b) { return {builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, a.value, b.value)}; }
Index Emitter::max(Index a, Index b) { return {builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, a.value, b.value)}; }
Ptr Emitter::select(Bool c, Ptr a, Ptr b) { return {builder_.CreateSelect(c.value, a.value, b.value)}; }
Index Emitter::select(Bool c, Index a, Index b) { return {builder_.CreateSelect(c.value, a.value, b.value)}; }
Bool Emitter::equal(Index a, Index b) { return {builder_.CreateICmpEQ(a.value, b.value)}; }
Index Emitter::bit_and(Index a, Index b) { return {builder_.CreateAnd(a.value, b.value)}; }
Index Emitter::bit_or(Index a, Index b) { return {builder_.CreateOr(a.value, b.value)}; }
Index Emitter::shl(Index a, Index b) { return {builder_.CreateShl(a.value, b.value)}; }
Index Emitter::lshr(Index a, Index b) { return {builder_.CreateLShr(a.value, b.value)}; }
Bool Emitter::less(Index a, Index b) { return {builder_.CreateICmpSLT(a.value, b.value)}; }

Index Emitter::round_up(Index a, std::int64_t multiple) {
  auto* up = builder_.CreateNUWAdd(a.value, builder_.getInt64(static_cast<std::uint64_t>(multiple - 1)));
  auto* count = builder_.CreateUDiv(up, builder_.getInt64(static_cast<std::uint64_t>(multiple)));
  return {builder_.CreateNUWMul(count, builder_.getInt64(static_cast<std::uint64_t>(multiple)))};
}

Ptr Emitter::at(Ptr base, Index elements) {
  return {builder_.CreateInBoundsGEP(builder_.getFloatTy(), base.value, elements.value)};
}

Ptr Emitter::at_byte(Ptr base, std::int64_t bytes) {
  return {builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), base.value, static_cast<std::uint64_t>(bytes))};
}

Ptr Emitter::at_byte_offset(Ptr base, Index bytes) {
  return {builder_.CreateInBoundsGEP(builder_.getInt8Ty(), base.value, bytes.value)};
}

Ptr Emitter::opaque(Ptr address) {
  auto* all = builder_.getInt64(~std::uint64_t{0});
  return {builder_.CreateIntrinsic(llvm::Intrinsic::ptrmask, {address.value->getType(), all->getType()}, {address.value, all})};
}

void Emitter::prefetch(Ptr address, CacheLevel level, Access access) {
  constexpr int kData = 1;
  const int locality = level == CacheLevel::kFirst ? 3 : 2;
  builder_.CreateIntrinsic(llvm::Intrinsic::prefetch, {address.value->getType()},
                           {address.value, builder_.getInt32(access == Access::kWrite ? 1 : 0), builder_.getInt32(locality),
                            builder_.getInt32(kData)});
}

Ptr Emitter::anywhere(Ptr base, Index bytes) { return {builder_.CreateGEP(builder_.getInt8Ty(), base.value, bytes.value)}; }

Ptr Emitter::at_real(Ptr base, Index reals) { return {builder_.CreateInBoundsGEP(real_type(), base.value, reals.value)}; }

Float Emitter::load_real(Ptr address) {
  return {builder_.CreateAlignedLoad(real_type(), address.value, llvm::Align(static_cast<std::uint64_t>(real_bytes())))};
}

Float Emitter::load_reals(Ptr address, int alignment) {
  auto* type = llvm::FixedVectorType::get(real_type(), static_cast<unsigned>(lanes_));
  return {builder_.CreateAlignedLoad(type, address.value, llvm::Align(static_cast<std::uint64_t>(alignment)))};
}

Float Emitter::load(Ptr address, const char* name) {
  return {builder_.CreateAlignedLoad(builder_.getFloatTy(), address.value, llvm::Align(4), name)};
}

Float Emitter::load_vector(Ptr address, int alignment) {
  auto* type = llvm::FixedVectorType::get(builder_.getFloatTy(), static_cast<unsigned>(lanes_));
  return {builder_.CreateAlignedLoad(type, address.value, llvm::Align(static_cast<std::uint64_t>(alignment)))};
}

Int Emitter::load_int(Ptr address, const char* name) {
  return {builder_.CreateAlignedLoad(builder_.getInt32Ty(), address.value, llvm::Align(4), name)};
}

Int Emitter::load_int_vector(Ptr address) {
  auto* type = llvm::FixedVectorType::get(builder_.getInt32Ty(), static_cast<unsigned>(lanes_));
  return {builder_.CreateAlignedLoad(type, address.value, llvm::Align(4))};
}

Int Emitter::load_long(Ptr address) { return {load_index(address).value}; }

Int Emitter::load_long_vector(Ptr address) {
  auto* type = llvm::FixedVectorType::get(builder_.getInt64Ty(), static_cast<unsigned>(lanes_));
  return {builder_.CreateAlignedLoad(type, address.value, llvm::Align(8))};
}

Index Emitter::load_index(Ptr address, const char* name) {
  return {builder_.CreateAlignedLoad(builder_.getInt64Ty(), address.value, llvm::Align(8), name)};
}

Ptr Emitter::load_pointer(Ptr address, const char* name) {
  return {builder_.CreateAlignedLoad(builder_.getPtrTy(), address.value, llvm::Align(8), name)};
}

void Emitter::store(llvm::Value* value, Ptr address, int alignment) {
  builder_.CreateAlignedStore(value, address.value, llvm::Align(static_cast<std::uint64_t>(alignment)));
}

void Emitter::set_contraction(Contraction contraction) {
  llvm::FastMathFlags flags;
  flags.setAllowContract(contraction == Contraction::kOn);
  builder_.setFastMathFlags(flags);
}

}  // namespace flexjit::codegen
