// Each pattern once with Expression operators and once as a predicate on plain ints.
#include "patterns.h"

#include <algorithm>
#include <cstdlib>

#include "expression.h"

namespace flexjit::test {

namespace {

int floor_mod(int a, int b) { return ((a % b) + b) % b; }

MaskPattern finished(std::string name, Names& names, Expression mask, test::Allowed allowed) {
  MaskPattern pattern;
  pattern.name = std::move(name);
  pattern.program = std::move(names).mask(mask);
  pattern.allowed = std::move(allowed);
  return pattern;
}

std::shared_ptr<std::vector<std::int32_t>> capture(MaskPattern& pattern, std::vector<std::int32_t> values) {
  auto memory = std::make_shared<std::vector<std::int32_t>>(std::move(values));
  pattern.memory.push_back(memory);
  pattern.buffers.emplace_back(memory->data(), DType::kI32, std::initializer_list{static_cast<std::int64_t>(memory->size())});
  return memory;
}

// Documents of length 5, 11, 17, ... over `length` positions.
std::vector<std::int32_t> document_ids(int length) {
  std::vector<std::int32_t> ids;
  for (int id = 0, size = 5; static_cast<int>(ids.size()) < length; ++id, size += 6) {
    for (int i = 0; i < size && static_cast<int>(ids.size()) < length; ++i) ids.push_back(id);
  }
  return ids;
}

}  // namespace

ir::Environment MaskPattern::environment(const BlockMaskShape& shape) const {
  return {.batch_size = shape.batch,
          .num_heads = shape.heads,
          .num_kv_heads = std::max(1, shape.heads / 2),
          .q_len = shape.q_len,
          .kv_len = shape.kv_len,
          .buffers = buffers,
          .params = params};
}

MaskPattern causal() {
  Names n;
  return finished("causal", n, n.q >= n.kv, [](int, int, int q, int kv) { return q >= kv; });
}

MaskPattern everything(bool allowed) {
  Names n;
  return finished(allowed ? "all" : "none", n, n.constant(allowed), [=](int, int, int, int) { return allowed; });
}

MaskPattern causal_window(int back) {
  Names n;
  const Expression width = n.param(ir::Type::kInt);
  MaskPattern pattern = finished("causal window", n, (n.q >= n.kv) & (n.q - n.kv <= width),
                                 [=](int, int, int q, int kv) { return q >= kv && q - kv <= back; });
  pattern.params = {Scalar{std::int32_t{back}}};
  return pattern;
}

MaskPattern window(int left, int right) {
  Names n;
  return finished("window", n, (n.q - n.kv <= left) & (n.kv - n.q <= right),
                  [=](int, int, int q, int kv) { return q - kv <= left && kv - q <= right; });
}

MaskPattern attamba(int width, int chunk) {
  Names n;
  return finished("attamba", n, (n.q >= n.kv) & (((n.kv + 1) % chunk == 0) | (n.q - n.kv < width)),
                  [=](int, int, int q, int kv) { return q >= kv && ((kv + 1) % chunk == 0 || q - kv < width); });
}

MaskPattern longformer(int side) {
  Names n;
  return finished("longformer", n, (n.q < 2) | (n.kv < 2) | (abs(n.q - n.kv) <= side),
                  [=](int, int, int q, int kv) { return q < 2 || kv < 2 || std::abs(q - kv) <= side; });
}

MaskPattern documents(int q_len, int kv_len) {
  Names n;
  const std::uint32_t of_q = n.builder.add_buffer({DType::kI32, 1}), of_kv = n.builder.add_buffer({DType::kI32, 1});
  const Expression mask = (n.read(of_q, {n.q}) == n.read(of_kv, {n.kv})) & (n.q >= n.kv);
  MaskPattern pattern = finished("documents", n, mask, {});
  const auto q_ids = capture(pattern, document_ids(q_len)), kv_ids = capture(pattern, document_ids(kv_len));
  pattern.allowed = [=](int, int, int q, int kv) {
    return (*q_ids)[static_cast<std::size_t>(q)] == (*kv_ids)[static_cast<std::size_t>(kv)] && q >= kv;
  };
  return pattern;
}

MaskPattern window_by_head(int heads) {
  Names n;
  const std::uint32_t widths = n.builder.add_buffer({DType::kI32, 1});
  MaskPattern pattern = finished("window by head", n, abs(n.q - n.kv) <= n.read(widths, {n.h}), {});
  std::vector<std::int32_t> values;
  for (int h = 0; h < heads; ++h) values.push_back(7 + 30 * h);
  const auto memory = capture(pattern, values);
  pattern.allowed = [=](int, int h, int q, int kv) { return std::abs(q - kv) <= (*memory)[static_cast<std::size_t>(h)]; };
  pattern.by_head = true;
  return pattern;
}

MaskPattern prefix_by_batch(int batch) {
  Names n;
  const std::uint32_t prefix = n.builder.add_buffer({DType::kI32, 1});
  MaskPattern pattern = finished("prefix by batch", n, (n.kv < n.read(prefix, {n.b})) | (n.q >= n.kv), {});
  std::vector<std::int32_t> values;
  for (int b = 0; b < batch; ++b) values.push_back(10 + 50 * b);
  const auto memory = capture(pattern, values);
  pattern.allowed = [=](int b, int, int q, int kv) { return kv < (*memory)[static_cast<std::size_t>(b)] || q >= kv; };
  pattern.by_batch = true;
  return pattern;
}

MaskPattern kv_head_parity() {
  Names n;
  const Expression kv_head = n.variable(ir::Op::kKvHead);
  MaskPattern pattern = finished("kv head parity", n, (n.q + n.kv + kv_head) % 2 == 0,
                                 [](int, int h, int q, int kv) { return (q + kv + h / 2) % 2 == 0; });
  pattern.by_head = true;
  return pattern;
}

MaskPattern swin(int side, int size, int shift) {
  Names n;
  const auto place = [=](Expression x) { return (x - shift) % side; };
  const auto plain_place = [=](int x) { return floor_mod(x - shift, side); };
  // The three bands of the shifted image that must not see each other: 0, 1, 2.
  const auto region = [=](Expression x) {
    return select(x < side - size, literal(x, 0), select(x < side - shift, literal(x, 1), literal(x, 2)));
  };
  const auto plain_region = [=](int x) { return x < side - size ? 0 : x < side - shift ? 1 : 2; };
  const auto near = [&](Expression a, Expression b) { return (a / size == b / size) & (region(a) == region(b)); };
  const auto plain_near = [=](int a, int b) { return a / size == b / size && plain_region(a) == plain_region(b); };
  const Expression mask = near(place(n.q / side), place(n.kv / side)) & near(place(n.q % side), place(n.kv % side));
  return finished("swin", n, mask, [=](int, int, int q, int kv) {
    return plain_near(plain_place(q / side), plain_place(kv / side)) &&
           plain_near(plain_place(q % side), plain_place(kv % side));
  });
}

MaskPattern neighbourhood(int side, int radius) {
  Names n;
  const Expression mask = (abs(n.q / side - n.kv / side) <= radius) & (abs(n.q % side - n.kv % side) <= radius);
  return finished("neighbourhood", n, mask, [=](int, int, int q, int kv) {
    return std::abs(q / side - kv / side) <= radius && std::abs(q % side - kv % side) <= radius;
  });
}

MaskPattern natten(int side, int kernel) {
  Names n;
  const int half = kernel / 2, last = side - 1 - half;
  const auto near = [&](Expression a, Expression b) { return abs(clamp(a, half, last) - b) <= half; };
  const auto plain_near = [=](int a, int b) { return std::abs(std::clamp(a, half, last) - b) <= half; };
  const Expression mask = near(n.q / side, n.kv / side) & near(n.q % side, n.kv % side);
  return finished("natten", n, mask,
                  [=](int, int, int q, int kv) { return plain_near(q / side, kv / side) && plain_near(q % side, kv % side); });
}

}  // namespace flexjit::test
