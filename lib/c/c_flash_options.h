// The structs of c_flash_attention.h -> the options of flash_attention.h, with what they refer to.
#pragma once

#include <optional>

#include "c/c_convert.h"
#include "flexjit/flash_attention.h"

namespace flexjit::engine {

template <typename Options>
struct OwnedOptions {
  Options options;
  Bindings bindings;

  // Points into this.
  const Options& view() {
    options.bindings = &bindings;
    return options;
  }
};

// No value where the struct is null or none of this library's.
std::optional<OwnedOptions<FlashAttnOptions>> to_flash_options(const flexjit_flash_attn_options* given, Report& report);
std::optional<OwnedOptions<FlashAttnVarlenOptions>> to_flash_options(const flexjit_flash_attn_varlen_options* given,
                                                                     Report& report);
std::optional<OwnedOptions<FlashAttnKvcacheOptions>> to_flash_options(const flexjit_flash_attn_kvcache_options* given,
                                                                      Report& report);

PackedView to_packed(const flexjit_packed_tensor& tensor, std::string_view what, Report& report);

}  // namespace flexjit::engine
