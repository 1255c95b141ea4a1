// What building a mask of a million tokens holds beside its lists.
#include <gtest/gtest.h>

#include "expression.h"
#include "mask/derive/classify.h"
#include "measure/heap_meter.h"

namespace flexjit {
namespace {

using test::Names;

// Of about 800 tokens, in an irregular order of lengths.
std::vector<std::int32_t> document_ids(std::int32_t length) {
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; static_cast<std::int32_t>(ids.size()) < length; ++id) {
    for (int i = 0; i < 400 + id * 7919 % 801 && static_cast<std::int32_t>(ids.size()) < length; ++i) ids.push_back(id);
  }
  return ids;
}

TEST(LongMask, DocumentsNeedAFewTimesTheirLists) {
  constexpr std::int32_t kLength = 1 << 20;
  const std::vector<std::int32_t> ids = document_ids(kLength);
  Names n;
  const std::uint32_t of_q = n.builder.add_buffer({DType::kI32, 1}), of_kv = n.builder.add_buffer({DType::kI32, 1});
  const ir::Program program = std::move(n).mask(n.read(of_q, {n.q}) == n.read(of_kv, {n.kv}));
  const TensorView view(ids.data(), DType::kI32, {kLength});
  const TensorView buffers[] = {view, view};
  const ir::Environment environment{.q_len = kLength, .kv_len = kLength, .buffers = buffers, .params = {}};
  const tools::HeapMeter meter;
  const auto classified = mask::classify(program, environment, {.shape = {1, 1, kLength, kLength, 128, 128}});
  const std::int64_t peak = meter.peak_bytes();
  ASSERT_TRUE(classified.mask.has_value());
  EXPECT_GE(peak, static_cast<std::int64_t>(classified.mask->bytes())) << "the lists at least are counted";
  EXPECT_LE(peak, 4 * static_cast<std::int64_t>(classified.mask->bytes()));
}

}  // namespace
}  // namespace flexjit
