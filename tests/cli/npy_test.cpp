// Reading against bytes that numpy itself wrote; writing against reading; and files that lie in every way we could think of,
// which must give an error and never a crash or an allocation of what they claim.
#include "data/npy.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <cstring>
#include <fstream>
#include <sstream>

#include "cli/subprocess.h"

namespace flexjit::tools {
namespace {

using tests::TemporaryFolder;

// numpy.save of numpy.array([[1, 2, 3], [-4, 5, 6]], dtype='<i4'), numpy 1.26: 128 bytes of header.
std::string numpy_int_file() {
  std::string file("\x93NUMPY\x01\x00\x76\x00", 10);
  std::string dict = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }";
  dict.append(117 - dict.size(), ' ');
  file += dict + "\n";
  file += std::string("\x01\0\0\0\x02\0\0\0\x03\0\0\0\xfc\xff\xff\xff\x05\0\0\0\x06\0\0\0", 24);
  return file;
}

std::string with_header(const std::string& dict, const std::string& elements = std::string(64, '\0'), char major = 1) {
  std::string file("\x93NUMPY", 6);
  file += major;
  file += '\0';
  const std::size_t size = dict.size() + 1;
  file += static_cast<char>(size & 0xff);
  file += static_cast<char>(size >> 8);
  if (major > 1) file += std::string(2, '\0');
  return file + dict + "\n" + elements;
}

std::string message_of(const TemporaryFolder& folder, const std::string& bytes) {
  const Result<Array> array = read_npy(folder.write("x.npy", bytes));
  return array ? "read" : array.diagnostics()[0].message;
}

TEST(Npy, ReadsWhatNumpyWrote) {
  const TemporaryFolder folder;
  const Array array = read_npy(folder.write("x.npy", numpy_int_file())).value();
  EXPECT_EQ(array.dtype, DType::kI32);
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
  const std::int32_t expected[] = {1, 2, 3, -4, 5, 6};
  EXPECT_EQ(std::memcmp(array.bytes.data(), expected, sizeof expected), 0);
}

TEST(Npy, WritesWhatNumpyWrites) {
  const TemporaryFolder folder;
  Array array(DType::kI32, {2, 3});
  const std::int32_t values[] = {1, 2, 3, -4, 5, 6};
  std::memcpy(array.bytes.data(), values, sizeof values);
  ASSERT_TRUE(write_npy(folder.path("y.npy"), array));
  std::ifstream in(folder.path("y.npy"), std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  const std::string text = bytes.str();
  EXPECT_EQ(text.size() - 24, 128U);  // the header, as numpy pads it
  EXPECT_EQ(text.substr(0, 10), numpy_int_file().substr(0, 10));
  EXPECT_EQ(text, numpy_int_file());
}

TEST(Npy, RoundTripsEveryTypeAndRank) {
  const TemporaryFolder folder;
  for (DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kI64, DType::kI32, DType::kI8, DType::kU8, DType::kBool})
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{}, {7}, {0}, {2, 3}, {2, 1, 5}, {1, 2, 3, 4}}) {
      Array array(dtype, shape);
      for (std::size_t i = 0; i < array.bytes.size(); ++i)
        array.bytes[i] = static_cast<std::byte>(dtype == DType::kBool ? i % 2 : i);
      ASSERT_TRUE(write_npy(folder.path("x.npy"), array));
      const Array back = read_npy(folder.path("x.npy")).value();
      EXPECT_EQ(back.dtype, dtype);
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(back.bytes, array.bytes) << name_of(dtype) << shape_text(shape);
    }
}

TEST(Npy, ReadsVersionTwoAndThreeAndScalars) {
  const TemporaryFolder folder;
  for (char major : {2, 3})
    EXPECT_EQ(message_of(folder,
                         with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", std::string(16, '\0'), major)),
              "read");
  EXPECT_EQ(message_of(folder, with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (), }")), "read");
}

TEST(Npy, BoolBytesBecomeZeroOrOne) {
  const TemporaryFolder folder;
  const auto path = folder.write(
      "x.npy", with_header("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", std::string("\0\x02\xff", 3)));
  const Array array = read_npy(path).value();
  EXPECT_EQ(array.as<std::uint8_t>()[0], 0);
  EXPECT_EQ(array.as<std::uint8_t>()[1], 1);
  EXPECT_EQ(array.as<std::uint8_t>()[2], 1);
}

struct BadFile {
  const char* bytes_of;
  std::string bytes;
  const char* message;
};

TEST(Npy, SaysWhatIsWrongWithAFile) {
  const TemporaryFolder folder;
  const BadFile files[] = {
      {"empty", "", "not a .npy file"},
      {"text", "hello, this is no array", "not a .npy file"},
      {"version 9", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "abcd", 9), "version 9.0"},
      {"cut in the header", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "").substr(0, 30),
       "inside its header"},
      {"no dict", with_header("[1, 2, 3]"), "not the dict"},
      {"missing key", with_header("{'descr': '<f4', 'shape': (1,), }"), "not the dict"},
      {"unknown key", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}"), "not the dict"},
      {"negative extent", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "not the dict"},
      {"huge extent", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
       "not the dict"},
      {"overflowing shape", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
       "more bytes"},
      {"claims a terabyte", with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (137438953472,), }"), "more bytes"},
      {"cut elements", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "12345678"), "more bytes"},
      {"big endian", with_header("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }"), "'>f4' is not supported"},
      {"objects", with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), "'|O' is not supported"},
      {"Fortran order", with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }"), "ascontiguousarray"},
      {"rank 5", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1), }"), "at most 4"},
  };
  for (const BadFile& file : files)
    EXPECT_NE(message_of(folder, file.bytes).find(file.message), std::string::npos)
        << file.bytes_of << ": " << message_of(folder, file.bytes);
}

TEST(Npy, NamesAFileThatCannotBeOpened) {
  const Result<Array> array = read_npy("/nonexistent/q.npy");
  ASSERT_FALSE(array);
  EXPECT_EQ(array.diagnostics()[0].kind, "unreadable-file");
  EXPECT_EQ(array.diagnostics()[0].source_name, "/nonexistent/q.npy");
  EXPECT_EQ(write_npy("/nonexistent/out.npy", Array(DType::kF32, {1})).diagnostics()[0].kind, "unwritable-file");
}

TEST(Npy, SurvivesEveryMutation) {
  const TemporaryFolder folder;
  const std::string whole = numpy_int_file();
  EXPECT_TRUE(rc::check("a mutated file is read or refused", [&] {
    std::string bytes = whole.substr(0, *rc::gen::inRange<std::size_t>(0, whole.size() + 1));
    for (int i = *rc::gen::inRange(0, 4); i > 0 && !bytes.empty(); --i)
      bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
    const Result<Array> array = read_npy(folder.write("x.npy", bytes));
    if (array) RC_ASSERT(array->bytes.size() <= bytes.size());
  }));
}

}  // namespace
}  // namespace flexjit::tools
