// What a text may ask of Clang: a few lines can ask for more templates, larger records and longer constants than there is time.
#pragma once

#include <cstdint>

namespace clang {
class CompilerInstance;
}  // namespace clang

namespace flexjit::cxx {

inline constexpr std::uint32_t kMaxInstantiations = 4096;
inline constexpr std::uint64_t kMaxParts = 4096;  // numbers in a record, those of its members counted
inline constexpr int kMaxSeconds = 2;             // of the thread's processor time, so that a busy machine refuses nothing

// The semantic analysis of a compiler. A text that goes beyond a limit is told so by a fatal error and ends there.
void create_limited_sema(clang::CompilerInstance& compiler);

}  // namespace flexjit::cxx
