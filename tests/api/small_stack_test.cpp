// Every kind of call from a thread with a stack of 128 KiB, on the deepest texts that are legal and on some that are not.
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>
#include <string>
#include <vector>

#include "flexjit/flexjit.h"
#include "flexjit/inspect.h"
#include "support/comparison.h"

namespace flexjit::test {
namespace {

constexpr std::size_t kStack = std::size_t{128} << 10;

void on_small_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  pthread_t thread;
  ASSERT_EQ(::pthread_attr_init(&attributes), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&attributes, kStack), 0);
  const auto call = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, &attributes, call, &body), 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

Engine engine_of(Backend backend) {
  EngineOptions options;
  options.backend = backend;
  options.cache_dir.clear();
  return Engine(options);
}

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// About as many brackets inside one another as a text may have, and as long a sum.
std::string deep_mask() { return repeated("(", 199) + "kv_idx <= q_idx" + repeated(")", 199); }
std::string long_mask() { return "kv_idx <= q_idx" + repeated(" + 0", 990); }

AttentionSpec spec_of_mask(const std::string& mask) {
  AttentionSpec spec;
  spec.head_dim = spec.v_head_dim = 8;
  spec.mask_mod = mask;
  return spec;
}

bool is_causal(const Attention& attention, const Shape& shape) {
  Problem problem(shape);
  if (!attention.run(problem.args())) return false;
  return is_attention(problem, {.mask = [](const Position& p) { return p.kv_idx <= p.q_idx; }}, kNear);
}

constexpr Shape kPrefill{.q_heads = 2, .q_len = 90, .kv_len = 130, .head_dim = 8};
constexpr Shape kDecode{.q_heads = 4, .kv_heads = 2, .q_len = 2, .kv_len = 300, .head_dim = 8};

TEST(SmallStack, CompilesRunsAndDecodes) {
  for (const std::string& mask : {std::string("kv_idx <= q_idx"), deep_mask(), long_mask()}) {
    on_small_stack([&] {
      Engine engine = engine_of(Backend::kCompiled);
      const Attention attention = engine.compile(spec_of_mask(mask)).value();
      EXPECT_TRUE(is_causal(attention, kPrefill));
      EXPECT_TRUE(is_causal(attention, kDecode));
    });
  }
}

TEST(SmallStack, TheReference) {
  on_small_stack([] {
    const Attention attention = engine_of(Backend::kReference).compile(spec_of_mask(deep_mask())).value();
    EXPECT_TRUE(is_causal(attention, kPrefill));
  });
}

TEST(SmallStack, BlockMasksAndCounts) {
  on_small_stack([] {
    AttentionSpec spec = spec_of_mask("(kv_idx * kv_idx + q_idx) % 7 < 5 && kv_idx <= q_idx");
    const Attention attention = engine_of(Backend::kCompiled).compile(spec).value();
    const BlockMaskOptions options{.q_len = 3000, .kv_len = 3000, .q_block = 16, .kv_block = 16};
    const BlockMask mask = attention.create_block_mask(options).value();
    EXPECT_GT(mask.counts().partial, 0);
    EXPECT_GT(attention.count_allowed(options).value(), 3000 * 3000 / 4);
    EXPECT_EQ(attention.mask_elements(options, {}, {0, 50}, {0, 50}).value().size(), 2500U);
    EXPECT_TRUE(attention.decide_block_mask(mask.complement().complement(), options).has_value());
    EXPECT_TRUE(BlockMask::from_bytes(mask.to_bytes()).has_value());
    Problem problem({.q_len = 70, .kv_len = 90, .head_dim = 8});
    EXPECT_EQ(attention.scores(problem.args(), {.q = {0, 7}}).value().size(), 7U * 90U);
  });
}

TEST(SmallStack, TextsThatAreTooDeepAreRefused) {
  on_small_stack([] {
    for (const std::string& text : {repeated("(", 30000), repeated("-", 60000) + "1", repeated("(let a = ", 7000),
                                    repeated("!", 60000) + "true", "kv_idx" + repeated(" < 1 ? kv_idx : kv_idx", 2900)}) {
      EXPECT_FALSE(engine_of(Backend::kReference).compile(spec_of_mask(text))) << text.substr(0, 20);
    }
  });
}

TEST(SmallStack, ChecksTexts) {
  on_small_stack([] {
    for (const std::string& mask :
         {deep_mask(), long_mask(), repeated("where(true, ", 190) + "kv_idx" + repeated(", 0)", 190) + " < 9",
          "kv_idx == 0" + repeated(" || kv_idx == 7", 400)}) {
      const Diagnostics found = check(spec_of_mask(mask));
      EXPECT_TRUE(found.empty()) << render(found);
    }
    for (const std::string& text : {repeated("(", 900) + "kv_idx" + repeated(")", 900), repeated("!", 60000) + "true"}) {
      EXPECT_FALSE(check(spec_of_mask(text)).empty());
    }
  });
}

TEST(SmallStack, TextsMadeOfTexts) {
  on_small_stack([] {
    const std::vector<std::string> masks = {repeated("(", 150) + "q_idx > 0" + repeated(")", 150), "kv_idx >= 0"};
    EXPECT_TRUE(and_masks(masks).has_value());
    EXPECT_FALSE(not_mask(repeated("(", 60000)));
    EXPECT_TRUE(offset_queries("kv_idx <= q_idx", "7").has_value());
  });
}

TEST(SmallStack, TheInspector) {
  on_small_stack([] {
    InspectRequest request;
    request.views = {InspectView::kAst, InspectView::kLlvm, InspectView::kAsm};
    request.sizes = {.q_len = 100, .kv_len = 100};
    EXPECT_TRUE(inspect(spec_of_mask(deep_mask()), {}, request).has_value());
  });
}

}  // namespace
}  // namespace flexjit::test
