// What surrounds a Program but is no part of the kernel's identity: the names, declared extents and text positions that
// binding, error messages and range proofs need.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "flexjit/diagnostic.h"
#include "ir/program/program.h"

namespace flexjit::ir {

// A declared extent of a buffer dimension.
struct Extent {
  enum class Kind : std::uint8_t { kAny, kLiteral, kBuiltin, kParam };
  Kind kind = Kind::kAny;
  std::int64_t literal = 0;  // kLiteral
  Op builtin = Op::kQLen;    // kBuiltin: QLen, KvLen, NumHeads, NumKvHeads or BatchSize
  std::uint32_t param = 0;   // kParam: slot
  bool operator==(const Extent&) const = default;
};

struct BufferInterface {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<Extent> extents;  // one a dimension
  // A bound tensor may lack leading dimensions and have extent 1 in any; what it lacks is repeated when it is bound, so that a
  // read sees exactly the declared extents.
  bool broadcasts = false;
};

// Which values a param may have: those of flags say it, and a reduction that runs up to a param bounds it.
enum class ParamDomain : std::uint8_t { kAny, kFromMinusOne, kPositive, kProbability, kReductionBound };

struct ParamInterface {
  std::string name;
  Scalar default_value;
  bool has_default = false;  // without one, a call must bind it
  ParamDomain domain = ParamDomain::kAny;
};

// Where a captured read stands in the text.
struct ReadSite {
  std::uint32_t buffer = 0;
  std::string source_name;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t length = 0;
  std::string snippet;
};

// A text that the program was made of, and bytes [begin, end) of one that stand for a value.
struct Text {
  std::string name;
  std::string text;
};
struct Expression {
  std::uint32_t text = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

// Slots, sites and marks are those of the Program it came with.
struct Interface {
  std::vector<Text> texts;
  std::vector<Expression> expressions;  // by mark
  std::vector<BufferInterface> buffers;
  std::vector<ParamInterface> params;
  std::vector<ReadSite> sites;
  std::optional<std::uint32_t> projection{};  // slot of the matrix (features, head_dim) that makes Op::kRowValue of a row
};

// As a text declares it: "128", "num_heads", "window" or "?".
std::string spelling_of(const Extent& extent, const Interface& interface);

struct Lowered {
  Program program;
  Interface interface;
  Diagnostics warnings{};
};

}  // namespace flexjit::ir
