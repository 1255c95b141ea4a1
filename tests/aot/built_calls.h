// The libraries that CMake had built from tests/aot/*.flex, calls of their patterns, and the arguments of these calls.
#pragma once

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "aot/built_functions.h"
#include "harness.h"

namespace flexjit::aot_test {

using test::Captures;
using test::Problem;
using test::Random;
using test::Shape;
using test::Types;

inline constexpr Types kF32{}, kBF16{DType::kBF16, DType::kBF16, DType::kBF16};
inline constexpr std::int32_t kHeadDim = 40, kValueDim = 24;  // as the libraries are built

inline std::string text_of(const std::string& pattern) {
  std::ifstream in(std::string(FLEXJIT_AOT_PATTERNS "/") + pattern + ".flex");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline std::string library_of(const std::string& target, const Types& types) {
  return std::string(FLEXJIT_AOT_LIBRARIES "/lib") + target + "." + std::string(name_of(types.q)) + ".so";
}

inline std::vector<std::string> targets() {
  std::istringstream words(FLEXJIT_AOT_TARGETS);
  std::vector<std::string> all;
  for (std::string word; words >> word;) all.push_back(word);
  return all;
}

inline AttentionSpec spec_of(const std::string& pattern, const Types& types) {
  AttentionSpec spec;
  spec.program = text_of(pattern);
  spec.dtype = types.q;
  spec.head_dim = kHeadDim;
  spec.v_head_dim = kValueDim;
  return spec;
}

template <typename View>
flexjit_tensor c_tensor(const View& view) {
  flexjit_tensor tensor = {
      const_cast<void*>(static_cast<const void*>(view.data)), static_cast<flexjit_dtype>(view.dtype), view.rank, {}, {}};
  std::ranges::copy(view.shape, tensor.shape);
  std::ranges::copy(view.strides, tensor.strides);
  return tensor;
}

// Tiles with tails in every direction and grouped heads; one query; a few.
inline std::vector<Shape> shapes() {
  Shape tiles{
      .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 70, .kv_len = 91, .head_dim = kHeadDim, .v_head_dim = kValueDim};
  Shape one = tiles, few = tiles;
  one.q_len = 1;
  one.kv_len = 300;
  few.q_len = 3;
  few.kv_len = 50;
  few.kv_heads = 4;
  return {tiles, one, few};
}

inline Captures captures_for(const std::string& pattern, const Shape& shape) {
  Captures captures;
  Random random(7);
  if (pattern == "biased") {
    captures.add("slope", {shape.q_heads}, random.normals(shape.q_heads, 0.1F));
    captures.add("table", {shape.q_heads, 8}, random.normals(shape.q_heads * 8));
    captures.set("strength", 0.5F).set("window", std::int32_t{33}).set("two_sided", false);
  }
  if (pattern == "documents") {
    captures.add("q_doc", {shape.q_len}, random.integers(shape.q_len, 0, 2));
    captures.add("kv_doc", {shape.kv_len}, random.integers(shape.kv_len, 0, 2));
  }
  return captures;
}

// The arguments of each struct that are its own.
template <typename Args>
void bind(Args& args, const Bindings& bindings) {
  if constexpr (requires { args.buffer_slope; }) {
    args.buffer_slope = c_tensor(bindings.buffers.at("slope"));
    args.buffer_table = c_tensor(bindings.buffers.at("table"));
    args.param_window = std::get<std::int32_t>(bindings.params.at("window"));
    args.param_strength = std::get<double>(bindings.params.at("strength"));
    args.has_param_strength = 1;
  }
  if constexpr (requires { args.buffer_q_doc; }) {
    args.buffer_q_doc = c_tensor(bindings.buffers.at("q_doc"));
    args.buffer_kv_doc = c_tensor(bindings.buffers.at("kv_doc"));
  }
}

template <typename Args>
Args args_of(const BuiltFunctions<Args>& functions, Problem& tensors, const Bindings& bindings) {
  Args args;
  std::memset(&args, 0xa5, sizeof(args));  // what init leaves alone is not 0
  functions.args_init(&args);
  const RunArgs given = tensors.args();
  args.q = c_tensor(given.q);
  args.k = c_tensor(given.k);
  args.v = c_tensor(given.v);
  args.out = c_tensor(given.out);
  args.lse = c_tensor(given.lse);
  bind(args, bindings);
  return args;
}

// The error's kind; "" for none.
inline std::string kind_of(flexjit_error* error) {
  const char* kind = flexjit_error_kind(error, 0);
  std::string text = kind != nullptr ? kind : "";
  flexjit_error_free(error);
  return text;
}

// Nothing where this machine cannot execute the target.
inline bool can_run(const std::string& target) {
  EngineOptions options;
  options.target = target;
  options.backend = Backend::kCompiled;
  return Engine(options).compile({}).has_value();
}

}  // namespace flexjit::aot_test
