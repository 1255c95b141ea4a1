// What a pattern becomes on its way to machine code, as text for people and as JSON for programs. Formats may grow with every
// version; members of the JSON are not renamed within one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/engine.h"

namespace flexjit {

enum class InspectView : std::uint8_t {
#define FLEXJIT_VIEW(view, name, description) view,
#include "flexjit/inspect_views.def"
#undef FLEXJIT_VIEW
};

struct InspectViewInfo {
  InspectView view;
  std::string_view name;         // "hoisting"
  std::string_view description;  // one line
};
// Every view, in the order of the compilation. Lives as long as the library.
FLEXJIT_API std::span<const InspectViewInfo> inspect_views() noexcept;

// What the machine can do at most, measured by the caller on one thread beside the run.
struct RunLimits {
  double gflops = 0;     // of the kernel's arithmetic, a multiply-add counted as two
  double read_gbps = 0;  // 1e9 bytes a second
};

// A pattern has kernels for tiles of query rows over packed keys, for few query rows over keys as they lie (element types other
// than f64), and for gradients.
enum class InspectKernel : std::uint8_t {
  kOfCall,  // the one that a call of the request's sizes takes
  kPrefill,
  kDecode,
  kBackward  // never that of a call
};

// Of x86; other architectures have one.
enum class AsmSyntax : std::uint8_t { kAtt, kIntel };

struct InspectRequest {
  std::vector<InspectView> views{InspectView::kSimplified};
  InspectKernel kernel = InspectKernel::kOfCall;
  // kBackward: captured buffers whose gradients the kernel adds up, by name; absent: all of floats that the score reads.
  std::optional<std::vector<std::string>> gradients{};
  AsmSyntax asm_syntax = AsmSyntax::kAtt;  // of kAsm's text; its JSON has both
  // Lengths and counts decide which kernel is shown. kIntervals: its ranges too. kMask: the block sizes too.
  BlockMaskOptions sizes{.q_len = 1024, .kv_len = 1024};
  // As in Attention::run(), for kIntervals and kMask. kIntervals: params and buffers narrow the ranges; without bindings params
  // have their defaults and buffers hold anything. kMask: everything that the pattern declares, if it declares buffers.
  const Bindings* bindings = nullptr;
  // Buffers of `bindings` whose contents merely stand in for real ones: kMask shows what they give, kIntervals does not rely
  // on what they hold.
  std::vector<std::string> samples{};
  // kRoofline: the call that is run, on one thread, several times; its outputs are written. `sizes` must be its sizes.
  // With kBackward it is the backward pass of this call that is timed, for a loss that is the sum of `out`; it needs `lse`.
  const RunArgs* run = nullptr;
  RunLimits limits{};
};

struct Inspection {
  InspectView view = InspectView::kSimplified;
  std::string text;  // ends in a newline
  std::string json;  // one object
};

// The views of one pattern in the order of request.views, all of one compilation. EngineOptions::target may be one that this
// machine cannot execute: nothing but kRoofline's call is run, and that is left out then. Thread-safe.
// Errors: those of Engine::compile() but for such targets; for kIntervals and kMask those of Attention::create_block_mask();
// for kRoofline those of Attention::run() and run_backward(); `inspect-kernel` for a decode kernel of f64, or one that
// kRoofline's call does not take; `unknown-binding`, `no-gradient` for `gradients`. kLlvm and the views after it need the
// compiler library; nothing is cached.
FLEXJIT_API Result<std::vector<Inspection>> inspect(const AttentionSpec& spec, const EngineOptions& options,
                                                    const InspectRequest& request);

}  // namespace flexjit
