// The command line of FlexFlashInfer's own test: its flags and its defaults.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

struct Options {
  std::int32_t q_len = 1024, kv_len = 1024;
  std::int32_t num_qo_heads = 32, num_kv_heads = 0;  // 0: num_qo_heads
  std::int32_t head_dim = 64;
  std::int32_t block_size_row = 1, block_size_col = 64;
  std::string mask_type = "causal";
  std::int32_t window_size = 8, chunk_size = 8;

  std::int32_t kv_heads() const { return num_kv_heads > 0 ? num_kv_heads : num_qo_heads; }
};

// No value, and a line on stderr that says why, where an argument is none of them.
std::optional<Options> parse_options(int argc, char** argv);
