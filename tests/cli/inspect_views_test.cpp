// Every view of every example for every instruction set: it comes, it has a text, and its JSON hangs together. Nothing here is
// executed, so all targets are shown on every machine.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "data/bind.h"
#include "data/embedded.h"
#include "flexjit/inspect.h"
#include "support/sample.h"

namespace flexjit::tools {
namespace {

using Json = nlohmann::json;

AttentionSpec spec_of(const EmbeddedFile& example) {
  AttentionSpec spec;
  spec.program = example.text;
  spec.program_name = example.name;
  return spec;
}

constexpr std::int32_t kLength = 200;

std::map<std::string, Json, std::less<>> shown(const EmbeddedFile& example, const std::string& target, std::int32_t q_len,
                                               InspectKernel kernel = InspectKernel::kOfCall) {
  const Sizes sizes{.batch = 2, .heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = kLength, .head_dim = 64, .v_head_dim = 64};
  const AttentionSpec spec = spec_of(example);
  EngineOptions options;
  options.backend = Backend::kReference;
  const BoundNames names = bind_names(Engine(options).compile(spec).value(), {}, sizes).value();
  options.target = target;
  InspectRequest request{.views = {},
                         .kernel = kernel,
                         .sizes = {.batch = 2, .heads = 4, .kv_heads = 2, .q_len = q_len, .kv_len = kLength},
                         .bindings = &names.bindings,
                         .samples = names.samples()};
  // Times are those of one compilation whatever the pattern, and have a test of their own.
  for (const InspectViewInfo& view : inspect_views())
    if (view.view != InspectView::kTiming) request.views.push_back(view.view);
  std::map<std::string, Json, std::less<>> views;
  const std::vector<Inspection> made = inspect(spec, options, request).value();
  for (const Inspection& view : made) {
    const auto info = std::ranges::find(inspect_views(), view.view, &InspectViewInfo::view);
    EXPECT_GT(view.text.size(), 1U) << info->name;
    EXPECT_TRUE(view.text.ends_with('\n')) << info->name;
    views[std::string(info->name)] = Json::parse(view.json);
    EXPECT_TRUE(views[std::string(info->name)].is_object()) << info->name;
  }
  return views;
}

void expect_program(const Json& program) {
  std::size_t next = 0;
  for (const Json& node : program["nodes"]) {
    EXPECT_EQ(node["id"], next++);
    for (const Json& operand : node["operands"]) EXPECT_LT(operand, node["id"]) << node;
  }
  for (const char* root : {"score", "mask", "score_grad"})
    EXPECT_TRUE(program[root].is_null() || program[root] < program["nodes"].size()) << root;
}

void expect_hoisting(const Json& hoisting, const Json& simplified) {
  ASSERT_EQ(hoisting["nodes"].size(), simplified["nodes"].size());
  for (const Json& node : hoisting["nodes"]) {
    const Json& varies = node["varies_with"];
    const auto depends_on = [&](const char* name) { return std::ranges::find(varies, name) != varies.end(); };
    if (depends_on("score") || depends_on("score_grad") || (depends_on("q_idx") && depends_on("kv_idx")))
      EXPECT_TRUE(node["level"] == "element" || node["level"] == "diagonal") << node;
    else if (!depends_on("q_idx") && !depends_on("kv_idx"))
      EXPECT_EQ(node["level"], "uniform") << node;
    else
      EXPECT_NE(node["level"], "uniform") << node;
  }
  for (const Json& node : hoisting["nodes"]) EXPECT_FALSE(node["level"] == "element" && node["hoisted"] == true) << node;
}

void expect_accesses(const Json& access, const Json& simplified) {
  std::size_t reads = 0;
  for (const Json& node : simplified["nodes"]) reads += node["op"] == "read" ? 1 : (node["op"] == "dot" ? 2 : 0);
  EXPECT_EQ(access["accesses"].size(), reads);
  for (const Json& one : access["accesses"]) {
    EXPECT_EQ(simplified["nodes"][one["id"].get<std::size_t>()]["checked"], one["checked"]);
    const bool is_scalar = one["level"] == "uniform" || one["level"] == "row";
    EXPECT_TRUE(!is_scalar || one["load"] == "scalar") << one;
  }
}

void expect_scratch(const Json& plan) {
  std::int64_t end = 0;
  for (const Json& section : plan["scratch"]["sections"]) {
    EXPECT_GE(section["offset"], end) << section;
    end = section["offset"].get<std::int64_t>() + section["bytes"].get<std::int64_t>();
  }
  EXPECT_EQ(end, plan["scratch"]["bytes"]);
}

void expect_prefill_plan(const Json& plan) {
  EXPECT_EQ(plan["nest"], "prefill");
  EXPECT_LE(plan["registers"]["used"], plan["registers"]["available"]);
  EXPECT_EQ(plan["kv_tile"]["keys"].get<int>() % plan["strip"].get<int>(), 0);
  EXPECT_EQ(plan["q_tile"].get<int>() % plan["micro_tile"]["rows"].get<int>(), 0);
  expect_scratch(plan);
}

void expect_decode_plan(const Json& plan) {
  EXPECT_EQ(plan["nest"], "decode");
  EXPECT_LE(plan["registers"]["accumulators"], plan["registers"]["available"]);
  EXPECT_EQ(plan["rows"].get<int>() % plan["micro_tile"]["rows"].get<int>(), 0);
  expect_scratch(plan);
}

void expect_mask(const Json& mask, int blocks_of_plane) {
  const Json& shape = mask["shape"];
  const int blocks = shape["batch"].get<int>() * shape["heads"].get<int>() * blocks_of_plane;
  EXPECT_EQ(mask["full"].get<int>() + mask["partial"].get<int>() + mask["empty"].get<int>(), blocks);
  EXPECT_EQ(mask["by_intervals"].get<int>() + mask["evaluated"].get<int>(), blocks);
  EXPECT_GE(mask["by_intervals"], 0);
}

void expect_llvm(const Json& llvm, const std::string& entry, std::size_t least_functions) {
  ASSERT_GE(llvm["functions"].size(), least_functions);
  EXPECT_EQ(llvm["functions"][0]["name"], entry);
  for (const Json& function : llvm["functions"]) {
    EXPECT_EQ(function["blocks"][0]["name"], "entry");
    for (const Json& block : function["blocks"]) EXPECT_FALSE(block["instructions"].empty()) << block["name"];
  }
}

// The views of the generated code speak of the same instructions.
void expect_code(const Json& assembly, const Json& mca, const Json& spills) {
  std::size_t loops = 0;
  std::int64_t in_loops = 0, spilled = 0, counted = 0;
  for (const Json& function : assembly["functions"]) {
    for (const Json& block : function["blocks"]) {
      for (const Json& instruction : block["instructions"]) spilled += instruction["spill"] == true ? 1 : 0;
      if (block["loop_depth"] == 0) continue;
      in_loops += static_cast<std::int64_t>(block["instructions"].size());
      loops += block["cost"].is_null() ? 0 : 1;
    }
  }
  EXPECT_EQ(assembly["loop_instructions"], in_loops);
  EXPECT_GE(assembly["attributed"].get<double>(), 0.95 * static_cast<double>(in_loops));
  EXPECT_EQ(mca["loops"].size(), loops);
  EXPECT_EQ(mca["processor"].is_null(), loops == 0);
  for (const Json& block : spills["blocks"]) counted += block["spills"].get<std::int64_t>();
  EXPECT_EQ(counted, spilled);
}

class EveryView : public testing::TestWithParam<std::string> {};

TEST_P(EveryView, OfEveryExampleHangsTogether) {
  test::Sample sample;
  for (const EmbeddedFile& example : embedded_examples()) {
    if (!sample.next()) continue;
    SCOPED_TRACE(example.name);
    const auto views = shown(example, GetParam(), kLength);
    for (const char* program : {"ir", "simplified", "gradient", "intervals"}) expect_program(views.at(program));
    for (const Json& node : views.at("intervals")["nodes"]) EXPECT_TRUE(node.contains("range")) << node;
    expect_hoisting(views.at("hoisting"), views.at("simplified"));
    expect_accesses(views.at("access"), views.at("simplified"));
    expect_prefill_plan(views.at("plan"));
    expect_mask(views.at("mask"), 4);  // 200 = 128 + 72 on each side
    expect_llvm(views.at("llvm"), "attend", 2);
    expect_code(views.at("asm"), views.at("mca"), views.at("spills"));
    EXPECT_EQ(views.at("tokens")["texts"][0]["tokens"].back()["kind"], "end");
    EXPECT_FALSE(views.at("ast")["texts"][0]["statements"].empty());
  }
}

TEST_P(EveryView, OfEveryDecodeKernelHangsTogether) {
  test::Sample sample;
  for (const EmbeddedFile& example : embedded_examples()) {
    if (!sample.next()) continue;
    SCOPED_TRACE(example.name);
    const auto views = shown(example, GetParam(), 1);
    expect_accesses(views.at("access"), views.at("simplified"));
    expect_decode_plan(views.at("plan"));
    expect_mask(views.at("mask"), 2);
    expect_llvm(views.at("llvm"), "decode", 1);
    expect_code(views.at("asm"), views.at("mca"), views.at("spills"));
  }
}

// What is compiled is the program and its derivative.
TEST_P(EveryView, OfEveryBackwardKernelHangsTogether) {
  test::Sample sample;
  for (const EmbeddedFile& example : embedded_examples()) {
    if (!sample.next()) continue;
    SCOPED_TRACE(example.name);
    const auto views = shown(example, GetParam(), kLength, InspectKernel::kBackward);
    for (const char* program : {"simplified", "gradient", "intervals"}) expect_program(views.at(program));
    EXPECT_EQ(views.at("simplified")["nodes"], views.at("gradient")["nodes"]);
    expect_hoisting(views.at("hoisting"), views.at("simplified"));
    const Json& plan = views.at("plan");
    EXPECT_EQ(plan["nest"], "backward");
    EXPECT_EQ(plan["micro_tile"]["rows"].get<int>() * plan["micro_tile"]["vectors"].get<int>(),
              plan["registers"]["accumulators"].get<int>());
    expect_mask(views.at("mask"), 4);
    expect_llvm(views.at("llvm"), "gradients", 6);
    expect_code(views.at("asm"), views.at("mca"), views.at("spills"));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, EveryView, testing::Values("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(TimingView, OfGradientsHasThePhasesThatDifferentiate) {
  const AttentionSpec spec = spec_of({"alibi.flex", embedded_example("alibi")});
  const InspectRequest request{.views = {InspectView::kTiming}, .kernel = InspectKernel::kBackward};
  const Json timing = Json::parse(inspect(spec, {}, request).value().at(0).json);
  std::vector<std::string> names;
  for (const Json& phase : timing["phases"]) names.push_back(phase["name"]);
  for (const char* phase : {"simplify again", "differentiate", "simplify the derivative", "plan", "emit"})
    EXPECT_NE(std::ranges::find(names, phase), names.end()) << phase;
}

TEST(TimingView, HasEveryPhaseInItsOrder) {
  const AttentionSpec spec = spec_of({"alibi.flex", embedded_example("alibi")});
  for (const char* target : {"host", "aarch64"}) {
    EngineOptions options;
    options.target = target;
    const Json timing = Json::parse(inspect(spec, options, {.views = {InspectView::kTiming}}).value().at(0).json);
    std::vector<std::string> names;
    for (const Json& phase : timing["phases"]) names.push_back(phase["name"]);
    EXPECT_EQ(names, (std::vector<std::string>{"parse", "check", "lower", "flags", "simplify", "prove reads", "simplify again",
                                               "plan", "emit", "target machine", "verify", "code generation", "link", "map"}));
    const Json& groups = timing["pass_groups"];
    for (const char* group : {"instruction selection", "register allocation", "encoding"})
      EXPECT_NE(std::ranges::find(groups, group, [](const Json& one) { return one["name"].get<std::string>(); }), groups.end())
          << group << " for " << target;
  }
}

}  // namespace
}  // namespace flexjit::tools
