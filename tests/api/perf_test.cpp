// What EngineOptions::perf writes, read as the perf tools read it, against the mappings that the system lists for this process.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "flexjit/flexjit.h"

namespace flexjit::test {
namespace {

std::string file_of_this_process(const char* prefix, const char* suffix) {
  return std::string("/tmp/") + prefix + std::to_string(::getpid()) + suffix;
}

// Whether [address, address + size) lies in one mapping that may be executed.
bool is_executable(std::uintptr_t address, std::uintptr_t size) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char permissions[5] = "";
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &begin, &end, permissions) != 3) continue;
    if (address >= begin && address + size <= end) return permissions[2] == 'x';
  }
  return false;
}

struct Symbol {
  std::uintptr_t address = 0, size = 0;
  std::string name;
};

std::vector<Symbol> read_map() {
  std::vector<Symbol> symbols;
  std::ifstream map(file_of_this_process("perf-", ".map"));
  for (std::string line; std::getline(map, line);) {
    Symbol& symbol = symbols.emplace_back();
    int name = 0;
    EXPECT_EQ(std::sscanf(line.c_str(), "%" SCNxPTR " %" SCNxPTR " %n", &symbol.address, &symbol.size, &name), 2) << line;
    symbol.name = line.substr(static_cast<std::size_t>(name));
  }
  return symbols;
}

std::vector<std::string> names_of(const std::vector<Symbol>& symbols) {
  std::vector<std::string> names;
  for (const Symbol& symbol : symbols) names.push_back(symbol.name);
  return names;
}

EngineOptions with_perf(const std::string& perf) {
  EngineOptions options;
  options.backend = Backend::kCompiled;
  options.cache_dir.clear();
  options.perf = perf;
  return options;
}

AttentionSpec pattern(const std::string& program, const std::string& name) {
  AttentionSpec spec;
  spec.program = program;
  spec.program_name = name;
  spec.head_dim = 16;
  return spec;
}

// One query: the call that takes the second kernel.
void decode_once(const Attention& attention) {
  const std::vector<float> x(16, 1.0F);
  std::vector<float> out(16);
  RunArgs args;
  args.q = args.k = args.v = TensorView(x.data(), DType::kF32, {1, 1, 1, 16});
  args.out = MutableTensorView(out.data(), DType::kF32, {1, 1, 1, 16});
  ASSERT_TRUE(attention.run(args).has_value());
}

class Perf : public ::testing::Test {
 protected:
  void SetUp() override { TearDown(); }
  void TearDown() override {
    // Emptied, not removed: the process keeps the file open for all engines to come.
    std::error_code ignored;
    std::filesystem::resize_file(file_of_this_process("perf-", ".map"), 0, ignored);
  }
  static void TearDownTestSuite() {
    std::filesystem::remove(file_of_this_process("perf-", ".map"));
    std::filesystem::remove(file_of_this_process("jit-", ".dump"));
  }
};

TEST_F(Perf, TheMapNamesTheFunctionsOfEveryKernel) {
  Engine engine(with_perf("map"));
  const Attention attention = engine.compile(pattern("mask = q_idx >= kv_idx", "some/where/my_causal.flex")).value();
  decode_once(attention);
  const std::vector<Symbol> symbols = read_map();
  EXPECT_EQ(names_of(symbols), (std::vector<std::string>{"flexjit:my_causal:attend[f32,d16]", "flexjit:my_causal:pack[f32,d16]",
                                                         "flexjit:my_causal:decode[f32,d16]"}));
  for (const Symbol& symbol : symbols) {
    EXPECT_GT(symbol.size, 64U) << symbol.name;
    EXPECT_TRUE(is_executable(symbol.address, symbol.size)) << symbol.name;
  }
  for (std::size_t i = 1; i < symbols.size(); ++i) {
    const bool apart = symbols[i - 1].address + symbols[i - 1].size <= symbols[i].address ||
                       symbols[i].address + symbols[i].size <= symbols[i - 1].address;
    EXPECT_TRUE(apart) << symbols[i].name;
  }
}

TEST_F(Perf, ASharedKernelKeepsItsFirstName) {
  Engine engine(with_perf("map"));
  const Attention first = engine.compile(pattern("mask = q_idx >= kv_idx", "first.flex")).value();
  const Attention second = engine.compile(pattern("mask = kv_idx <= q_idx", "second.flex")).value();
  EXPECT_EQ(second.kernel_source(), KernelSource::kMemory);
  EXPECT_EQ(read_map().size(), 2U);
  EXPECT_EQ(read_map().front().name, "flexjit:first:attend[f32,d16]");
}

TEST_F(Perf, ExpressionsFlagsAndElementTypesAreInTheName) {
  Engine engine(with_perf("map"));
  AttentionSpec spec;
  spec.score_mod = "score   * 2.0\n";
  spec.mask_mod = "q_idx >= kv_idx";
  spec.head_dim = 16;
  spec.v_head_dim = 8;
  spec.kv_dtype = DType::kBF16;
  spec.key_mask = true;
  const Attention attention = engine.compile(spec).value();
  EXPECT_EQ(read_map().front().name, "flexjit:score = score * 2.0; mask = q_idx >= kv_idx+key_mask:attend[f32,kv bf16,d16,v8]");
}

TEST_F(Perf, AKernelFromDiskIsNamedToo) {
  EngineOptions options = with_perf("map");
  char folder[] = "/tmp/flexjit-perf-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  options.cache_dir = folder;
  for (const KernelSource source : {KernelSource::kCompiled, KernelSource::kDisk}) {
    const Attention attention = Engine(options).compile(pattern("mask = q_idx >= kv_idx", "causal.flex")).value();
    EXPECT_EQ(attention.kernel_source(), source);
    const std::vector<Symbol> symbols = read_map();
    ASSERT_FALSE(symbols.empty());
    EXPECT_TRUE(is_executable(symbols.back().address, symbols.back().size));
  }
  EXPECT_EQ(read_map().size(), 4U);
  std::filesystem::remove_all(folder);
}

TEST_F(Perf, OffWritesNothing) {
  (void)Engine(with_perf("")).compile(pattern("mask = q_idx >= kv_idx", "causal.flex")).value();
  EXPECT_TRUE(read_map().empty());
}

TEST_F(Perf, AnotherWordIsAnError) {
  const auto result = Engine(with_perf("mapp")).compile(pattern("score = score", "plain.flex"));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(render(result.diagnostics()),
            "compile: error: EngineOptions::perf is \"mapp\"; give \"map\", \"jitdump\" or \"\", there or in the environment "
            "variable FLEXJIT_PERF\n");
}

// In a child, because a process opens its file once.
TEST_F(Perf, AFileThatCannotBeWrittenIsAnError) {
  const auto compile_with_a_folder_in_the_way = [] {
    const std::string path = file_of_this_process("perf-", ".map");
    ::mkdir(path.c_str(), 0700);
    const auto result = Engine(with_perf("map")).compile(pattern("score = score", "plain.flex"));
    ::rmdir(path.c_str());
    if (result) std::_Exit(1);
    std::fputs(render(result.diagnostics()).c_str(), stderr);
    std::_Exit(2);
  };
  EXPECT_EXIT(compile_with_a_folder_in_the_way(), testing::ExitedWithCode(2),
              "cannot write /tmp/perf-[0-9]+.map: Is a directory");
}

// Another name of somebody's file, or a pipe, under the name of the dump: an error, and the file is as it was.
TEST_F(Perf, WhatIsNotThisProcessesOwnIsNotTouched) {
  const auto compile = [](const char* in_the_way) {
    const std::string path = file_of_this_process("jit-", ".dump"), other = path + ".other";
    ::unlink(path.c_str());
    std::ofstream(other) << "precious";
    if (std::string_view(in_the_way) == "link") ::link(other.c_str(), path.c_str());
    if (std::string_view(in_the_way) == "symlink") ::symlink(other.c_str(), path.c_str());
    if (std::string_view(in_the_way) == "pipe") ::mkfifo(path.c_str(), 0600);
    const auto result = Engine(with_perf("jitdump")).compile(pattern("score = score", "plain.flex"));
    std::string left;
    std::ifstream(other) >> left;
    ::unlink(path.c_str());
    ::unlink(other.c_str());
    std::_Exit(!result && result.diagnostics()[0].kind == "system" && left == "precious" ? 2 : 1);
  };
  for (const char* in_the_way : {"link", "symlink", "pipe"}) {
    EXPECT_EXIT(compile(in_the_way), testing::ExitedWithCode(2), "") << in_the_way;
  }
}

template <typename T>
T take(std::string_view& bytes) {
  T value{};
  EXPECT_GE(bytes.size(), sizeof(T));
  if (bytes.size() < sizeof(T)) return value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

// Field by field after tools/perf/Documentation/jitdump-specification.txt.
TEST_F(Perf, TheJitdumpHoldsTheCode) {
  Engine engine(with_perf("jitdump"));
  const Attention attention = engine.compile(pattern("mask = q_idx >= kv_idx", "causal.flex")).value();
  const std::string path = file_of_this_process("jit-", ".dump");
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  std::string_view bytes = content;
  EXPECT_EQ(take<std::uint32_t>(bytes), 0x4A695444U);
  EXPECT_EQ(take<std::uint32_t>(bytes), 1U);
  EXPECT_EQ(take<std::uint32_t>(bytes), 40U);
  (void)take<std::uint64_t>(bytes);  // machine, padding
  EXPECT_EQ(take<std::uint32_t>(bytes), static_cast<std::uint32_t>(::getpid()));
  std::uint64_t before = take<std::uint64_t>(bytes);
  EXPECT_EQ(take<std::uint64_t>(bytes), 0U);
  for (const char* name : {"flexjit:causal:attend[f32,d16]", "flexjit:causal:pack[f32,d16]"}) {
    EXPECT_EQ(take<std::uint32_t>(bytes), 0U);
    const auto total = take<std::uint32_t>(bytes);
    const auto now = take<std::uint64_t>(bytes);
    EXPECT_GE(now, before);
    before = now;
    (void)take<std::uint64_t>(bytes);  // process, thread
    const auto address = take<std::uint64_t>(bytes);
    EXPECT_EQ(take<std::uint64_t>(bytes), address);
    const auto size = take<std::uint64_t>(bytes);
    (void)take<std::uint64_t>(bytes);  // index
    ASSERT_EQ(total, 56 + std::strlen(name) + 1 + size);
    EXPECT_EQ(bytes.substr(0, std::strlen(name) + 1), std::string_view(name, std::strlen(name) + 1));
    bytes.remove_prefix(std::strlen(name) + 1);
    ASSERT_TRUE(is_executable(address, size));
    EXPECT_EQ(std::memcmp(bytes.data(), reinterpret_cast<const void*>(address), size), 0);  // NOLINT(performance-no-int-to-ptr)
    bytes.remove_prefix(size);
  }
  EXPECT_TRUE(bytes.empty());
  std::ifstream maps("/proc/self/maps");
  const std::string mapped{std::istreambuf_iterator<char>(maps), {}};
  EXPECT_NE(mapped.find(path), std::string::npos) << "perf finds the file by its mapping";
}

}  // namespace
}  // namespace flexjit::test
