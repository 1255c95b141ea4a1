// The functions of one pattern in a shared library that `flexjit build` made, found by name.
#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

#include "flexjit/c_api.h"

namespace flexjit::aot_test {

class Library {
 public:
  explicit Library(const std::string& path) : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(::dlerror());
  }
  ~Library() { ::dlclose(handle_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <typename Function>
  Function find(const std::string& name) const {
    void* symbol = ::dlsym(handle_, name.c_str());
    if (symbol == nullptr) throw std::runtime_error(::dlerror());
    return reinterpret_cast<Function>(symbol);
  }

 private:
  void* handle_;
};

template <typename Args>
struct BuiltFunctions {
  BuiltFunctions(const Library& library, const std::string& name)
      : args_init(library.find<void (*)(Args*)>(name + "_args_init")),
        run(library.find<flexjit_status (*)(const Args*, flexjit_error**)>(name + "_run")),
        attention(library.find<flexjit_status (*)(flexjit_attention**, flexjit_error**)>(name + "_attention")) {}

  void (*args_init)(Args*);
  flexjit_status (*run)(const Args*, flexjit_error**);
  flexjit_status (*attention)(flexjit_attention**, flexjit_error**);
};

}  // namespace flexjit::aot_test
