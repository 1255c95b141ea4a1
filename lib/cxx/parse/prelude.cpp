// Functions of floats have no body: they are operations of the language. Those of ints have one, so that constant expressions
// can call them.
#include "cxx/parse/prelude.h"

namespace flexjit::cxx {

// One text.
const char* prelude() {
  return R"prelude(
#define FLEXJIT_MOD(...) (__VA_ARGS__)
#define FLEXJIT_NAMED(name) [[clang::annotate("flexjit:" name)]]
namespace std {
using size_t = decltype(sizeof(0));
using ptrdiff_t = decltype(static_cast<char*>(nullptr) - static_cast<char*>(nullptr));
using nullptr_t = decltype(nullptr);
using int8_t = signed char; using uint8_t = unsigned char; using int16_t = short; using uint16_t = unsigned short;
using int32_t = int; using uint32_t = unsigned; using int64_t = long; using uint64_t = unsigned long;
template <class T, class U> inline constexpr bool is_same_v = __is_same(T, U);
template <class T> inline constexpr bool is_integral_v = __is_integral(T);
template <class T> inline constexpr bool is_floating_point_v = __is_floating_point(T);
template <bool kHolds, class T> struct enable_if {};
template <class T> struct enable_if<true, T> { using type = T; };
template <bool kHolds, class T = void> using enable_if_t = typename enable_if<kHolds, T>::type;
template <class T> using of_int = enable_if_t<__is_integral(T), double>;
template <class T> FLEXJIT_NAMED("min") constexpr const T& min(const T& a, const T& b) { return b < a ? b : a; }
template <class T> FLEXJIT_NAMED("max") constexpr const T& max(const T& a, const T& b) { return a < b ? b : a; }
template <class T> FLEXJIT_NAMED("clamp") constexpr const T& clamp(const T& x, const T& lo, const T& hi) { return x < lo ? lo : hi < x ? hi : x; }
template <class T> class initializer_list {
  const T* elements;
  size_t count;
 public:
  constexpr const T* begin() const { return elements; }
  constexpr const T* end() const { return elements + count; }
};
template <class T> constexpr T min(initializer_list<T> all) { T least{}; bool any = false; for (const T& one : all) { least = any ? min(least, one) : one; any = true; } return least; }
template <class T> constexpr T max(initializer_list<T> all) { T most{}; bool any = false; for (const T& one : all) { most = any ? max(most, one) : one; any = true; } return most; }
template <class T> constexpr void swap(T& a, T& b) { T kept = a; a = b; b = kept; }
FLEXJIT_NAMED("abs") constexpr int abs(int x) { return x < 0 ? -x : x; }
FLEXJIT_NAMED("abs") constexpr long abs(long x) { return x < 0 ? -x : x; }
FLEXJIT_NAMED("abs") constexpr long long abs(long long x) { return x < 0 ? -x : x; }
FLEXJIT_NAMED("abs") float abs(float);
FLEXJIT_NAMED("abs") double abs(double);
#define FLEXJIT_FUNCTION(name, meaning) \
  FLEXJIT_NAMED(meaning) float name(float); FLEXJIT_NAMED(meaning) double name(double); \
  FLEXJIT_NAMED(meaning) inline float name##f(float x) { return name(x); } \
  template <class T> inline std::of_int<T> name(T x) { return name(static_cast<double>(x)); }
#define FLEXJIT_FUNCTION2(name, meaning) \
  FLEXJIT_NAMED(meaning) float name(float, float); FLEXJIT_NAMED(meaning) double name(double, double); \
  inline double name(float x, double y) { return name(static_cast<double>(x), y); } \
  inline double name(double x, float y) { return name(x, static_cast<double>(y)); } \
  FLEXJIT_NAMED(meaning) inline float name##f(float x, float y) { return name(x, y); } \
  template <class T> inline std::of_int<T> name(double x, T y) { return name(x, static_cast<double>(y)); } \
  template <class T> inline std::of_int<T> name(T x, double y) { return name(static_cast<double>(x), y); } \
  template <class T> inline std::of_int<T> name(float x, T y) { return name(static_cast<double>(x), static_cast<double>(y)); } \
  template <class T> inline std::of_int<T> name(T x, float y) { return name(static_cast<double>(x), static_cast<double>(y)); } \
  template <class T, class U> inline std::enable_if_t<__is_integral(U), std::of_int<T>> name(T x, U y) { return name(static_cast<double>(x), static_cast<double>(y)); }
FLEXJIT_FUNCTION(exp, "exp") FLEXJIT_FUNCTION(exp2, "exp2") FLEXJIT_FUNCTION(log, "log") FLEXJIT_FUNCTION(log2, "log2")
FLEXJIT_FUNCTION(log1p, "log1p") FLEXJIT_FUNCTION(tanh, "tanh") FLEXJIT_FUNCTION(erf, "erf") FLEXJIT_FUNCTION(sin, "sin")
FLEXJIT_FUNCTION(cos, "cos") FLEXJIT_FUNCTION(sqrt, "sqrt") FLEXJIT_FUNCTION(floor, "floor") FLEXJIT_FUNCTION(ceil, "ceil")
FLEXJIT_FUNCTION(trunc, "trunc") FLEXJIT_FUNCTION(round, "round_away") FLEXJIT_FUNCTION(rint, "round")
FLEXJIT_FUNCTION(nearbyint, "round") FLEXJIT_FUNCTION(fabs, "abs")
FLEXJIT_FUNCTION2(pow, "pow") FLEXJIT_FUNCTION2(fmin, "fmin") FLEXJIT_FUNCTION2(fmax, "fmax") FLEXJIT_FUNCTION2(fmod, "fmod")
FLEXJIT_NAMED("isnan") bool isnan(float); FLEXJIT_NAMED("isnan") bool isnan(double);
FLEXJIT_NAMED("isinf") bool isinf(float); FLEXJIT_NAMED("isinf") bool isinf(double);
FLEXJIT_NAMED("isfinite") bool isfinite(float); FLEXJIT_NAMED("isfinite") bool isfinite(double);
template <class T> struct numeric_limits;
#define FLEXJIT_LIMITS(type, least, most) template <> struct numeric_limits<type> { \
  static constexpr type min() { return least; } static constexpr type lowest() { return least; } static constexpr type max() { return most; } };
FLEXJIT_LIMITS(bool, false, true) FLEXJIT_LIMITS(signed char, -128, 127) FLEXJIT_LIMITS(unsigned char, 0, 255)
FLEXJIT_LIMITS(short, -32768, 32767) FLEXJIT_LIMITS(unsigned short, 0, 65535) FLEXJIT_LIMITS(int, -2147483647 - 1, 2147483647)
FLEXJIT_LIMITS(unsigned, 0, 4294967295u) FLEXJIT_LIMITS(long, -9223372036854775807 - 1, 9223372036854775807)
FLEXJIT_LIMITS(unsigned long, 0, 18446744073709551615ul) FLEXJIT_LIMITS(long long, -9223372036854775807ll - 1, 9223372036854775807ll)
#undef FLEXJIT_LIMITS
#define FLEXJIT_LIMITS(type, least, most, step, infinite, none) template <> struct numeric_limits<type> { \
  static constexpr type min() { return least; } static constexpr type lowest() { return -most; } static constexpr type max() { return most; } \
  static constexpr type epsilon() { return step; } static constexpr type infinity() { return infinite; } static constexpr type quiet_NaN() { return none; } };
FLEXJIT_LIMITS(float, 1.17549435e-38f, 3.40282347e+38f, 1.1920929e-7f, __builtin_bit_cast(float, 0x7f800000), __builtin_bit_cast(float, 0x7fc00000))
FLEXJIT_LIMITS(double, 2.2250738585072014e-308, 1.7976931348623157e+308, 2.220446049250313e-16, __builtin_bit_cast(double, 0x7ff0000000000000), __builtin_bit_cast(double, 0x7ff8000000000000))
#undef FLEXJIT_LIMITS
namespace numbers {
template <class T> inline constexpr T pi_v = T(3.141592653589793238);
template <class T> inline constexpr T e_v = T(2.718281828459045235);
template <class T> inline constexpr T ln2_v = T(0.693147180559945309);
template <class T> inline constexpr T log2e_v = T(1.442695040888963407);
template <class T> inline constexpr T sqrt2_v = T(1.414213562373095049);
inline constexpr double pi = pi_v<double>, e = e_v<double>, ln2 = ln2_v<double>, log2e = log2e_v<double>, sqrt2 = sqrt2_v<double>;
}
inline constexpr size_t dynamic_extent = static_cast<size_t>(-1);
template <class T, size_t kExtent = dynamic_extent> class span {
 public:
  FLEXJIT_NAMED("element") const T& operator[](size_t index) const;
  FLEXJIT_NAMED("size") size_t size() const;
};
template <class T, size_t kSize> struct array {
  T elements[kSize];
  FLEXJIT_NAMED("item") constexpr const T& operator[](size_t index) const { return elements[index]; }
  FLEXJIT_NAMED("item") constexpr T& operator[](size_t index) { return elements[index]; }
  constexpr const T* begin() const { return elements; }
  constexpr const T* end() const { return elements + kSize; }
  constexpr T* begin() { return elements; }
  constexpr T* end() { return elements + kSize; }
  constexpr size_t size() const { return kSize; }
};
}
namespace flexjit {
template <class T, int kRank> class Tensor {
 public:
  template <class... Index> FLEXJIT_NAMED("element") const T& operator()(Index... index) const;
};
struct f16 { FLEXJIT_NAMED("load") operator float() const; };
struct bf16 { FLEXJIT_NAMED("load") operator float() const; };
struct e4m3 { FLEXJIT_NAMED("load") operator float() const; };
struct e5m2 { FLEXJIT_NAMED("load") operator float() const; };
FLEXJIT_FUNCTION(rsqrt, "rsqrt") FLEXJIT_FUNCTION(sigmoid, "sigmoid") FLEXJIT_FUNCTION(gelu, "gelu")
FLEXJIT_FUNCTION(silu, "silu") FLEXJIT_FUNCTION(relu, "relu")
}
#undef FLEXJIT_FUNCTION
#undef FLEXJIT_FUNCTION2
#undef FLEXJIT_NAMED
using std::size_t; using std::ptrdiff_t;
using std::int8_t; using std::uint8_t; using std::int16_t; using std::uint16_t; using std::int32_t; using std::uint32_t;
using std::int64_t; using std::uint64_t;
using std::abs; using std::fabs; using std::fabsf; using std::exp; using std::expf; using std::exp2; using std::exp2f;
using std::log; using std::logf; using std::log2; using std::log2f; using std::log1p; using std::log1pf; using std::tanh;
using std::tanhf; using std::erf; using std::erff; using std::sin; using std::sinf; using std::cos; using std::cosf;
using std::sqrt; using std::sqrtf; using std::floor; using std::floorf; using std::ceil; using std::ceilf; using std::trunc;
using std::truncf; using std::round; using std::roundf; using std::rint; using std::rintf; using std::nearbyint;
using std::nearbyintf; using std::pow; using std::powf; using std::fmin; using std::fminf; using std::fmax; using std::fmaxf;
using std::fmod; using std::fmodf; using std::isnan; using std::isinf; using std::isfinite;
#define INFINITY (__builtin_bit_cast(float, 0x7f800000))
#define NAN (__builtin_bit_cast(float, 0x7fc00000))
#define HUGE_VALF (__builtin_bit_cast(float, 0x7f800000))
#define FLT_MAX 3.40282347e+38f
#define FLT_MIN 1.17549435e-38f
#define FLT_EPSILON 1.1920929e-7f
#define INT_MAX 2147483647
#define INT_MIN (-2147483647 - 1)
#define UINT_MAX 4294967295u
#define M_PI 3.14159265358979323846
#define M_LN2 0.693147180559945309417
)prelude";
}

}  // namespace flexjit::cxx
