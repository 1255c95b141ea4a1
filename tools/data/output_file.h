// Bytes -> a file that a command was told to write. Every file that the command leaves behind goes through here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "flexjit/result.h"

namespace flexjit::tools {

// A file that is written piece by piece and takes the place of what was there when it is closed: until then, and for good where
// something fails, what was there stays as it was. Symbolic links are followed, and the mode of a file that is replaced is
// kept. What is no regular file (a device, a FIFO, /dev/stdout) is written through as it comes, and so is a regular file in a
// folder that takes no new file.
class OutputFile {
 public:
  explicit OutputFile(std::string path);
  ~OutputFile();  // without close(): nothing was written
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Does nothing once something has failed.
  void write(std::string_view bytes);
  // All bytes are on their way to the disk, but what was there is still in place: what fails later fails for no lack of space.
  // Error: `unwritable-file`, with the system's reason.
  Status finish();
  // Once; finishes. Error: as finish().
  Status close();

 private:
  void open();
  void open_temporary(const std::string& target);
  void open_through(const std::string& path, int flags);
  void fail();

  std::string path_;       // as the user wrote it
  std::string target_;     // that the temporary file becomes
  std::string temporary_;  // empty: the file is written through
  std::string buffer_;
  int file_ = -1;
  int error_ = 0;  // errno of the first failure
};

// All at once. Error: `unwritable-file`.
Status write_file(const std::string& path, std::string_view bytes);

struct FileText {
  std::string path;
  std::string_view bytes;
};
// Files that are of use together only: where one cannot be written, none takes its place. Error: `unwritable-file`.
Status write_files(const std::vector<FileText>& files);

// Where the links of a path end, or at a descriptor of this process.
std::string follow_links(std::string path);
// "/proc/self/fd/3", to which /dev/stdout leads.
bool is_own_descriptor(std::string_view path);

// What has been printed so far reaches stdout, or the reason why it does not: `unwritable-file`.
Status flush_stdout();

}  // namespace flexjit::tools
