// `flexjit mask`: known counts, what JSON, SVG, PNG and saved masks hold, element pictures, and exit codes of wrong input.
#include <gtest/gtest.h>
#include <png.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/subprocess.h"
#include "data/array.h"
#include "data/npy.h"
#include "flexjit/block_mask.h"
#include "picture/grid.h"
#include "support/checklist.h"

namespace flexjit::tests {
namespace {

const std::string kCausal = "mask = q_idx >= kv_idx";

CommandResult mask_of(std::vector<std::string> line) {
  line.insert(line.begin(), "mask");
  return run_flexjit(line);
}

std::string example(const std::string& name) { return FLEXJIT_SOURCE_DIR "/dsl-examples/" + name + ".flex"; }

// Every tag is closed in order, text holds no bare `<` or `&`: what a reader of XML needs of documents without CDATA or
// comments.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < xml.size(); ++at) {
    if (xml[at] == '&' && xml.compare(at, 5, "&amp;") != 0 && xml.compare(at, 4, "&lt;") != 0 &&
        xml.compare(at, 4, "&gt;") != 0)
      return false;
    if (xml[at] != '<') continue;
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0 || tag.find('<') != std::string::npos) return false;
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find_first_of(" \n")));
    }
    at = end;
  }
  return open.empty();
}

TEST(MaskCommand, CausalCounts) {
  const CommandResult result = mask_of({"-e", kCausal, "--q-len", "1024", "--kv-len", "1024", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.err, "");
  const auto json = result.json();
  const std::pair<const char*, std::int64_t> fields[] = {
      {"full", 28},     {"partial", 8},           {"empty", 28},        {"popcount", 524800}, {"proved", 56},
      {"evaluated", 0}, {"q_len", 1024},          {"kv_len", 1024},     {"q_block", 128},     {"kv_block", 128},
      {"planes", 1},    {"evaluated_partial", 0}, {"evaluated_full", 0}};
  for (const auto& [field, value] : fields) EXPECT_EQ(json.at(field), value) << field;
  EXPECT_EQ(json["sparsity"], 43.75);
  EXPECT_GT(json["build_ms"], 0);
  EXPECT_GT(json["bytes"], 0);
}

TEST(MaskCommand, KnownCountsOfOtherPatterns) {
  const struct {
    std::vector<std::string> line;
    std::int64_t popcount, planes;
  } cases[] = {
      {{example("sliding_window"), "--q-len", "1024"}, 230272, 1},
      {{example("sliding_window"), "--q-len", "2048", "--param", "window=128"}, 255936, 1},
      {{example("document"), "--q-len", "1024"}, 8 * 128 * 128, 1},
      {{"-e", "mask = kv_idx <= h", "--heads", "4", "--q-len", "10", "--kv-len", "100"}, 10 * (1 + 2 + 3 + 4), 4},
      {{"-e", "mask = kv_idx <= b", "--batch", "3", "--q-len", "10", "--kv-len", "100"}, 10 * (1 + 2 + 3), 3},
      {{"-e", "mask = kv_idx < kv_head", "--heads", "4", "--kv-heads", "2", "--q-len", "10", "--kv-len", "9"}, 20, 4},
      {{"-e", "score = score", "--q-len", "10", "--kv-len", "9"}, 90, 1},
      {{"-e", kCausal, "--q-len", "0", "--kv-len", "9"}, 0, 1},
  };
  for (const auto& test : cases) {
    auto line = test.line;
    line.push_back("--json");
    const CommandResult result = mask_of(line);
    ASSERT_EQ(result.exit_code, 0) << testing::PrintToString(line) << result.out;
    EXPECT_EQ(result.json()["popcount"], test.popcount) << testing::PrintToString(line);
    EXPECT_EQ(result.json()["planes"], test.planes) << testing::PrintToString(line);
  }
}

TEST(MaskCommand, TextShowsNumbersBlocksAndPairs) {
  const CommandResult result = mask_of({"-e", kCausal, "--q-len", "6", "--kv-len", "5", "--q-block", "2", "--kv-block", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"4 full, 2 partial, 3 empty", "20 of 30 pairs allowed", "by intervals alone", "elements evaluated",
                           "  0 |+  |\n  2 |#+ |\n  4 |###|\n", "  0  #....\n  1  ##...\n  2  ###..\n  3  ####.\n  4  #####\n"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
}

// Every pair as a character, against the same matrix written down here.
TEST(MaskCommand, MatricesOfPairs) {
  covers("X16");
  const struct {
    const char* mask;
    int length;
    std::int64_t popcount;
    bool (*allowed)(int q, int kv);
  } cases[] = {
      {"mask = q_idx >= kv_idx", 12, 78, [](int q, int kv) { return q >= kv; }},
      {"mask = q_idx >= kv_idx && q_idx - kv_idx < 3", 12, 33, [](int q, int kv) { return q >= kv && q - kv < 3; }},
      {"mask = abs(q_idx // 8 - kv_idx // 8) <= 3 && abs(q_idx % 8 - kv_idx % 8) <= 3", 64, 1936,
       [](int q, int kv) { return std::abs(q / 8 - kv / 8) <= 3 && std::abs(q % 8 - kv % 8) <= 3; }},
  };
  for (const auto& test : cases) {
    const CommandResult result = mask_of({"-e", test.mask, "--q-len", std::to_string(test.length)});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find(std::to_string(test.popcount) + " of "), std::string::npos) << result.out;
    std::string matrix;
    for (int q = 0; q < test.length; ++q) {
      matrix += (q < 10 ? "   " : "  ") + std::to_string(q) + "  ";
      for (int kv = 0; kv < test.length; ++kv) matrix += test.allowed(q, kv) ? '#' : '.';
      matrix += '\n';
    }
    EXPECT_NE(result.out.find(matrix), std::string::npos) << matrix << result.out;
  }
}

TEST(MaskCommand, TextStaysSmallAtAMillionTokens) {
  const CommandResult result = mask_of({example("sliding_window"), "--q-len", "1048576"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LT(std::count(result.out.begin(), result.out.end(), '\n'), 90);
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LT(line.size(), 120U) << line;
}

TEST(MaskCommand, HeadIsShown) {
  const std::vector<std::string> line = {"-e", "mask = kv_idx <= h", "--heads", "4", "--q-len", "2", "--kv-len", "4"};
  auto third = line;
  third.insert(third.end(), {"--head", "2"});
  EXPECT_NE(mask_of(line).out.find("  0  #...\n"), std::string::npos);
  EXPECT_NE(mask_of(third).out.find("  0  ###.\n"), std::string::npos) << mask_of(third).out;
}

TEST(MaskCommand, SvgIsWellFormedAndSmall) {
  const TemporaryFolder folder;
  for (const std::string length : {"128", "1048576"}) {
    const std::string path = folder.path("mask.svg");
    const CommandResult result = mask_of({example("sliding_window"), "--q-len", length, "--svg", path});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out.find(" |+"), std::string::npos) << "the file replaces the picture on the terminal";
    const std::string svg = read_file(path);
    EXPECT_TRUE(well_formed(svg)) << svg.substr(0, 1000);
    EXPECT_LT(svg.size(), 1000000U);
    for (const char* part : {"prefers-color-scheme: dark", "partial", "built in", "sliding_window.flex"})
      EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
}

TEST(MaskCommand, SvgEscapesTheName) {
  const TemporaryFolder folder;
  const std::string file = folder.write("a<b>&\x01\xff.flex", kCausal), path = folder.path("mask.svg");
  ASSERT_EQ(mask_of({file, "--q-len", "300", "--svg", path, "--text"}).exit_code, 0);
  EXPECT_TRUE(well_formed(read_file(path)));
  EXPECT_NE(read_file(path).find("a&lt;b&gt;&amp;??.flex"), std::string::npos);
}

std::uint32_t pixel(const std::vector<std::uint8_t>& rgb, std::size_t width, std::size_t x, std::size_t y) {
  const std::uint8_t* at = &rgb[(y * width + x) * 3];
  return static_cast<std::uint32_t>(at[0]) << 16 | static_cast<std::uint32_t>(at[1]) << 8 | at[2];
}

TEST(MaskCommand, PngHoldsBothPanels) {
  const TemporaryFolder folder;
  const std::string path = folder.path("mask.png");
  ASSERT_EQ(mask_of({"-e", kCausal, "--q-len", "1024", "--png", path}).exit_code, 0);
  EXPECT_EQ(read_file(path).substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_NE(read_file(path).find(std::string("popcount\0"
                                             "524800",
                                             15)),
            std::string::npos);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0) << image.message;
  ASSERT_EQ(image.width, 1148U);
  ASSERT_EQ(image.height, 760U);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> rgb(PNG_IMAGE_SIZE(image));
  ASSERT_NE(png_image_finish_read(&image, nullptr, rgb.data(), 0, nullptr), 0) << image.message;
  const auto at = [&](std::size_t x, std::size_t y) { return pixel(rgb, image.width, x, y); };
  EXPECT_EQ(at(1, 1), 0xffffffU);
  const std::uint32_t full = at(100 + 30, 128 + 430), empty = at(100 + 430, 128 + 30);
  EXPECT_NE(full, empty);
  EXPECT_EQ(at(672 + 30, 128 + 430), full);  // pairs of the diagonal block: the same triangle
  EXPECT_EQ(at(672 + 430, 128 + 30), empty);
  const auto inked = [&](std::size_t left, std::size_t top, std::size_t right, std::size_t bottom) {
    std::size_t count = 0;
    for (std::size_t y = top; y < bottom; ++y)
      for (std::size_t x = left; x < right; ++x) count += at(x, y) != 0xffffffU ? 1 : 0;
    return count;
  };
  EXPECT_GT(inked(100, 20, 400, 36), 30U);     // the title
  EXPECT_GT(inked(20, 128, 94, 560), 100U);    // numbers at the rows
  EXPECT_GT(inked(100, 96, 560, 120), 100U);   // and at the columns
  EXPECT_GT(inked(128, 628, 400, 740), 300U);  // words of the legend
}

TEST(MaskCommand, RegionAndHeadAreChosen) {
  const CommandResult result =
      mask_of({"-e", "mask = kv_idx <= q_idx + h", "--q-len", "1000", "--head", "2", "--rows", "500:502", "--keys", "501:506"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("queries 500 to 501, keys 501 to 505"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("500  ##...\n  501  ###..\n"), std::string::npos) << result.out;
  EXPECT_EQ(mask_of({"-e", kCausal, "--q-len", "1000", "--rows", "0:500"}).exit_code, 2);
  EXPECT_EQ(mask_of({"-e", kCausal, "--q-len", "1000", "--rows", "0:8", "--keys", "999:1001"}).exit_code, 2);
}

TEST(MaskCommand, SavedMaskIsTheMask) {
  const TemporaryFolder folder;
  const std::string path = folder.path("mask.bin");
  const CommandResult result = mask_of({"-e", kCausal, "--q-len", "300", "--kv-len", "200", "--save", path, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["written"][0], path);
  const std::string bytes = read_file(path);
  const BlockMask mask = BlockMask::from_bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).value();
  EXPECT_EQ(mask.shape().kv_len, 200);
  EXPECT_EQ(mask.counts().partial, result.json()["partial"]);
  EXPECT_EQ(mask.kind(0, 0, 2, 0), BlockKind::kFull);
}

TEST(MaskCommand, BuffersFromFiles) {
  const TemporaryFolder folder;
  tools::Array ids(DType::kI64, {8});
  for (int i = 0; i < 8; ++i) ids.as<std::int64_t>()[i] = i < 3 ? 1 : 2;
  ASSERT_TRUE(tools::write_npy(folder.path("ids.npy"), ids));
  const std::string path = folder.path("ids.npy");
  const CommandResult result =
      mask_of({example("document"), "--q-len", "8", "--buffer", "q_doc=" + path, "--buffer", "kv_doc=" + path, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(result.json()["popcount"], 3 * 3 + 5 * 5);
  EXPECT_TRUE(result.json()["generated_buffers"].empty());
}

TEST(MaskCommand, LongCountsAreLeftOut) {
  // Partial blocks of 2^32 pairs that no interval decides.
  const std::vector<std::string> line = {
      "-e", "mask = (q_idx + kv_idx) % 2 == 0", "--q-len", "65536", "--q-block", "8192", "--kv-block", "8192"};
  auto json = line;
  json.push_back("--json");
  const CommandResult result = mask_of(json);
  ASSERT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(result.json()["partial"], 64);
  EXPECT_TRUE(result.json()["popcount"].is_null());
  EXPECT_NE(mask_of(line).out.find("not counted"), std::string::npos);
}

TEST(MaskCommand, BadInputIsNamed) {
  const struct {
    std::vector<std::string> line;
    const char* kind;
    int exit_code;
  } cases[] = {
      {{"-e", "mask = q_idx >="}, "expected-expression", 2},
      {{"/nonexistent.flex"}, "unreadable-file", 2},
      {{}, "usage", 2},
      {{"-e", kCausal, "--head", "4"}, "usage", 2},
      {{"-e", kCausal, "--batch-entry", "1"}, "usage", 2},
      {{"-e", kCausal, "--q-block", "0"}, "usage", 2},
      {{"-e", kCausal, "--q-len", "-1"}, "usage", 2},
      {{"-e", kCausal, "--q-len", "1073741824"}, "mask-size", 2},
      {{"-e", kCausal, "--q-len", "16", "--kv-len", "1073741824", "--kv-block", "1", "--q-block", "1"}, "mask-size", 2},
      {{"-e", kCausal, "--text"}, "usage", 2},  // with --json
      {{"-e", kCausal, "--param", "w=1"}, "unknown-name", 2},
      {{"-e", kCausal, "--buffer", "w=x.npy"}, "unknown-name", 2},
      {{"-e", kCausal, "--heads", "4", "--kv-heads", "3"}, "head-groups", 2},
      {{"-e", "param w : int", "-e", "mask = kv_idx < w"}, "missing-binding", 2},
      {{"-e", kCausal, "--svg", "/nonexistent/m.svg"}, "unwritable-file", 1},
      {{"-e", kCausal, "--png", "/nonexistent/m.png"}, "unwritable-file", 1},
      {{"-e", kCausal, "--save", "/nonexistent/m.bin"}, "unwritable-file", 1},
      {{"-e", "buffer t : f32[4]", "-e", "mask = t[kv_idx] >= 0.0"}, "buffer-read", 1},
  };
  for (const auto& test : cases) {
    auto line = test.line;
    line.insert(line.end(), {"--json"});
    const CommandResult result = mask_of(line);
    EXPECT_EQ(result.exit_code, test.exit_code) << testing::PrintToString(line) << result.out;
    EXPECT_EQ(result.json()["errors"][0]["kind"], test.kind) << testing::PrintToString(line) << result.out;
    EXPECT_EQ(result.err, "");
  }
}

// Sizes that are refused say what would do, and that does.
TEST(MaskCommand, HugeLengthsTakeLargerBlocks) {
  const std::vector<std::string> line = {"-e", kCausal, "--q-len", "1073741824"};
  EXPECT_NE(mask_of(line).err.find("--q-block"), std::string::npos);
  auto larger = line;
  larger.insert(larger.end(), {"--q-block", "1048576", "--kv-block", "1048576", "--json"});
  const CommandResult result = mask_of(larger);
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(result.json()["partial"], 1024);
}

TEST(MaskCommand, MistakesInTheTextHaveACaret) {
  const CommandResult result = mask_of({"-e", "mask = q_idx >= kv_ix"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("^~~~~"), std::string::npos) << result.err;
}

TEST(MaskGrid, CellsCoverTheMaskExactly) {
  const BlockMaskShape shape{.q_len = 7, .kv_len = 10, .q_block = 1, .kv_block = 1};
  std::vector<BlockKind> kinds;
  for (int i = 0; i < 70; ++i) kinds.push_back(static_cast<BlockKind>(i * i % 7 % 3));
  const BlockMask mask = BlockMask::from_kinds(shape, kinds).value();
  const std::vector<BlockPosition> evaluated = {{.q_block = 6, .kv_block = 9}, {.q_block = 0, .kv_block = 0}, {.h = 1}};
  for (const std::int32_t side : {1, 3, 7, 8, 100}) {
    const tools::Grid grid = tools::make_grid({.mask = mask, .evaluated = evaluated, .plane = {}, .max_side = side});
    EXPECT_EQ(grid.rows, std::min(side, 7));
    EXPECT_EQ(grid.columns, std::min(side, 10));
    tools::Cell sum;
    for (const tools::Cell& cell : grid.cells) {
      EXPECT_GE(cell.empty(), 0);
      sum.blocks += cell.blocks, sum.full += cell.full, sum.partial += cell.partial, sum.evaluated += cell.evaluated;
    }
    EXPECT_EQ(sum.blocks, 70);
    EXPECT_EQ(sum.full, mask.counts().full);
    EXPECT_EQ(sum.partial, mask.counts().partial);
    EXPECT_EQ(sum.evaluated, 2);
    EXPECT_EQ(grid.cells.front().evaluated + (side > 1 ? grid.cells.back().evaluated : 0), 2);
  }
  const tools::Grid exact = tools::make_grid({.mask = mask, .evaluated = evaluated, .plane = {}});
  for (std::int32_t q = 0; q < 7; ++q)
    for (std::int32_t kv = 0; kv < 10; ++kv) {
      EXPECT_EQ(exact.at(q, kv).full, mask.kind(0, 0, q, kv) == BlockKind::kFull ? 1 : 0);
      EXPECT_EQ(exact.at(q, kv).partial, mask.kind(0, 0, q, kv) == BlockKind::kPartial ? 1 : 0);
    }
}

}  // namespace
}  // namespace flexjit::tests
