// What can be wrong with the names of a pattern.
#include "finding_cases.h"

namespace flexjit::test {

namespace {

// Two params and two buffers; everything bound as declared.
void bind_all(Sample& s) {
  static const std::vector<float> slope(4, 0.5F);
  static const std::vector<std::int32_t> table(32, 1);
  s.spec.program =
      "param window : int\n"
      "param gain : float = 2.0\n"
      "param on : bool = true\n"
      "buffer slope : f32[num_heads]\n"
      "buffer table : i32[window, 8]\n"
      "score = on ? score * gain + slope[h] : score + table[0, 0]\n";
  s.bindings.params["window"] = 3;
  s.bindings.buffers["slope"] = TensorView(slope.data(), DType::kF32, {4});
  s.bindings.buffers["table"] = TensorView(table.data(), DType::kI32, {3, 8});
}

FindingCase misbound(std::string kind, std::string expected, std::function<void(Sample&)> breakage) {
  return broken(std::move(kind), std::move(expected), [breakage = std::move(breakage)](Sample& s) {
    bind_all(s);
    breakage(s);
  });
}

}  // namespace

// Longer than 40 lines: a table.
std::vector<FindingCase> binding_cases() {
  return {
      misbound("missing-binding", "run: error: buffer `slope` is not bound; it is declared f32 with 1 dimension\n",
               [](Sample& s) { s.bindings.buffers.erase("slope"); }),
      misbound("missing-binding", "run: error: param `window` is not bound; it is declared int\n",
               [](Sample& s) {
                 s.spec.program =
                     "param window : int\n"
                     "mask = kv_idx < window\n";
                 s.bindings = {};
               }),
      misbound("unknown-binding", "run: error: the pattern has no buffer `slopes`; did you mean `slope`?\n",
               [](Sample& s) { s.bindings.buffers["slopes"] = s.bindings.buffers["slope"]; }),
      misbound("unknown-binding", "run: error: the pattern has no param `temperature`\n",
               [](Sample& s) { s.bindings.params["temperature"] = 1.0F; }),
      misbound("binding-type", "run: error: param `window` is declared int but bound to float\n",
               [](Sample& s) {
                 s.spec.program =
                     "param window : int = 1\n"
                     "mask = kv_idx < window\n";
                 s.bindings = {};
                 s.bindings.params["window"] = 3.0F;
               }),
      misbound("binding-type", "run: error: param `gain` is declared float but bound to bool\n",
               [](Sample& s) { s.bindings.params["gain"] = true; }),
      misbound("binding-type", "run: error: param `on` is declared bool but bound to int\n",
               [](Sample& s) { s.bindings.params["on"] = 1; }),
      misbound("binding-dtype", "run: error: buffer `slope` is declared f32 but bound to f64\n",
               [](Sample& s) {
                 static const std::vector<double> wide(4);
                 s.bindings.buffers["slope"] = TensorView(wide.data(), DType::kF64, {4});
               }),
      misbound("binding-rank", "run: error: buffer `table` is declared with 2 dimensions but bound to 1\n",
               [](Sample& s) { s.bindings.buffers["table"].rank = 1; }),
      misbound("binding-shape", "run: error: buffer `slope` has extent 3 in dimension 0, which is declared num_heads = 4\n",
               [](Sample& s) { s.bindings.buffers["slope"].shape[0] = 3; }),
      misbound("binding-shape", "run: error: buffer `table` has extent 3 in dimension 0, which is declared window = 4\n",
               [](Sample& s) { s.bindings.params["window"] = 4; }),
      misbound("binding-shape", "run: error: buffer `table` has extent 7 in dimension 1, which is declared 8\n",
               [](Sample& s) { s.bindings.buffers["table"].shape[1] = 7; }),
      misbound("length-limit", "run: error: dimension 0 of buffer `slope` is 1073741825; at most 1073741824 is supported\n",
               [](Sample& s) {
                 s.spec.program =
                     "buffer slope : f32[?]\n"
                     "score = score + slope[h]\n";
                 const TensorView slope = s.bindings.buffers["slope"];
                 s.bindings = {};
                 s.bindings.buffers["slope"] = slope;
                 s.bindings.buffers["slope"].shape[0] = (std::int64_t{1} << 30) + 1;
               }),
      misbound("null-data", "run: error: buffer `slope` has no data; only a tensor with an extent of 0 may be null\n",
               [](Sample& s) { s.bindings.buffers["slope"].data = nullptr; }),
      broken("binding-shape", "run: error: buffer `key_mask` has extent 4 in dimension 1, which is declared kv_len = 5, or 1\n",
             [](Sample& s) {
               static const std::vector<std::uint8_t> keep(4);
               s.spec.key_mask = true;
               s.bindings.buffers["key_mask"] = TensorView(keep.data(), DType::kBool, {4});
             }),
      broken("binding-rank", "run: error: buffer `key_lengths` is declared with 1 dimensions but bound to 2\n",
             [](Sample& s) {
               static const std::vector<std::int32_t> lengths(4);
               s.spec.key_lengths = true;
               s.bindings.buffers["key_lengths"] = TensorView(lengths.data(), DType::kI32, {2, 2});
             }),
      broken("missing-binding", "run: error: buffer `alibi_slopes` is not bound; it is declared f32 with 2 dimensions\n",
             [](Sample& s) { s.spec.alibi = true; }),
      broken("param-range", "run: error: param `dropout_p` is -0.25; it must be from 0 to 1\n",
             [](Sample& s) {
               s.spec.dropout = Dropout{.p = 0.5};
               s.bindings.params["dropout_p"] = -0.25;
             }),
      broken("param-range", "run: error: param `softcap` is -1; it must be finite and above 0\n",
             [](Sample& s) {
               s.spec.softcap = 30.0F;
               s.bindings.params["softcap"] = -1;
             }),
  };
}

}  // namespace flexjit::test
