// Values of captured buffers and params into Bindings, together with the memory that they point to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flexjit/bindings.h"

namespace flexjit::test {

class Captures {
 public:
  using Extents = std::vector<std::int64_t>;

  Captures& add(const std::string& name, const Extents& extents, const std::vector<float>& values);
  Captures& add(const std::string& name, const Extents& extents, const std::vector<std::int32_t>& values);
  Captures& add(const std::string& name, const Extents& extents, const std::vector<std::int64_t>& values);
  Captures& add(const std::string& name, const Extents& extents, const std::vector<bool>& values);
  // Elements already encoded as `dtype`.
  Captures& add_bytes(const std::string& name, DType dtype, const Extents& extents, const std::vector<unsigned char>& bytes);
  Captures& set(const std::string& name, Scalar value);

  const Bindings& bindings() const { return bindings_; }
  Bindings& bindings() { return bindings_; }

 private:
  Bindings bindings_;
  std::vector<std::shared_ptr<std::vector<unsigned char>>> storage_;
};

}  // namespace flexjit::test
