// What a built library carries of one pattern: its spec, and its kernels for every target, as the bytes of one constant. The
// kernels are entries of the disk cache, with their whole keys; the bundle adds what a key's text has but a program cannot read
// back from it: target and tiling, which were planned where the library was built.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "flexjit/attention.h"
#include "plan/compiler_door.h"
#include "plan/kernel_key.h"

namespace flexjit::aot {

struct BundledKernel {
  plan::Nest nest = plan::Nest::kPrefill;
  std::vector<std::uint32_t> gradients;  // of kBackward: slots of the buffers that it adds to
  plan::Target target;
  plan::Tiling tiling;
  std::string llvm_version;
  plan::CodeImage image;
};

struct Bundle {
  AttentionSpec spec;
  std::vector<BundledKernel> kernels;
};

std::vector<std::uint8_t> to_bytes(Bundle bundle);

// Who wrote a bundle, which is known before its contents are.
enum class Origin : std::uint8_t { kThisVersion, kAnotherVersion, kUnknown };
Origin origin_of(std::span<const std::uint8_t> bytes);

// Of a bundle of this version; no value: it is damaged.
std::optional<Bundle> from_bytes(std::span<const std::uint8_t> bytes);

}  // namespace flexjit::aot
