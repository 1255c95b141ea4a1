# One target a folder. flexjit_folder(<folder> SOURCES ... [LINK ...] [HEADERS ...]) makes the object library flexjit_<folder>; LLVM's
# headers are given to no folder but those that ask with LLVM, so a layering violation does not compile.

# Identifies what crosses the compiler's door: both shared libraries must carry the same value. It follows the headers that
# define the crossing, so that reconfiguring rebuilds nothing.
set(FLEXJIT_DOOR_HEADERS include/flexjit/diagnostic.h include/flexjit/dtypes.def include/flexjit/library_kind.h include/flexjit/result.h include/flexjit/tensor.h
  lib/ir/program/ops.def lib/ir/program/ops.h lib/ir/program/program.h lib/ir/program/roots.def lib/ir/program/roots.h lib/plan/code_listing.h lib/plan/debug_source.h
  lib/plan/kernel_abi.h lib/plan/kernel_key.h lib/plan/kernel_parts.def lib/plan/kernel_parts.h lib/plan/compiler_door.h lib/plan/phase_time.h lib/plan/nests.def lib/plan/nests.h lib/plan/target.h lib/plan/targets.def
  lib/dsl/parse/source.h lib/languages/cxx_door.h lib/support/library_door.h lib/support/precision.h)
set(FLEXJIT_BUILD_ID "${PROJECT_VERSION}")
foreach(header ${FLEXJIT_DOOR_HEADERS})
  file(SHA256 ${PROJECT_SOURCE_DIR}/${header} digest)
  string(SHA256 FLEXJIT_BUILD_ID "${FLEXJIT_BUILD_ID}${digest}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${header})
endforeach()
string(SUBSTRING ${FLEXJIT_BUILD_ID} 0 16 FLEXJIT_BUILD_ID)
string(PREPEND FLEXJIT_BUILD_ID "${PROJECT_VERSION}-")
# In a header, not on every command line: a change of the door compiles again only what sees it.
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/build_id.h @ONLY CONTENT [[
#pragma once
#define FLEXJIT_BUILD_ID "@FLEXJIT_BUILD_ID@"
]])

add_library(flexjit_options INTERFACE)
target_compile_options(flexjit_options INTERFACE -Wall -Wextra -Wshadow -Wswitch -Werror=switch
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor;-Wold-style-cast>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 warns of overlapping and endless copies inside std::string (GCC bugs 105329, 105651), as more is inlined in more places.
  target_compile_options(flexjit_options INTERFACE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(FLEXJIT_WERROR)
  target_compile_options(flexjit_options INTERFACE -Werror)
endif()
if(FLEXJIT_SANITIZE)
  target_compile_options(flexjit_options INTERFACE -fsanitize=${FLEXJIT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(flexjit_options INTERFACE -fsanitize=${FLEXJIT_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    # It reads a type signature in front of every function called through a pointer, and compiled kernels carry none.
    target_compile_options(flexjit_options INTERFACE -fno-sanitize=function)
  endif()
endif()

# What nearly every file of a kind includes, parsed once for all targets of the kind: half of the time of a build. FLEXJIT_PCH=OFF
# shows that each file includes what it uses.
set(FLEXJIT_COMMON_HEADERS <algorithm> <array> <cstdint> <functional> <limits> <map> <memory> <mutex> <optional> <span> <string>
  <string_view> <utility> <vector> <fmt/format.h>)
set(FLEXJIT_LLVM_HEADERS <llvm/IR/IRBuilder.h> <llvm/IR/Module.h>)
set(FLEXJIT_CLANG_HEADERS <clang/AST/ASTContext.h> <clang/AST/ExprCXX.h> <clang/AST/StmtCXX.h> <clang/AST/Attr.h>)
# flexjit_precompile(<target> <kind> <header>...), for the C++ files of a target. Those of one kind have the same compiler flags.
function(flexjit_precompile target kind)
  get_property(first GLOBAL PROPERTY FLEXJIT_PRECOMPILED_${kind})
  if(NOT FLEXJIT_PCH)
    return()
  elseif(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    list(TRANSFORM ARGN REPLACE "^<(.+)>$" "$<$<COMPILE_LANGUAGE:CXX>:<\\1$<ANGLE-R>>")
    target_precompile_headers(${target} PRIVATE ${ARGN})
    set_property(GLOBAL PROPERTY FLEXJIT_PRECOMPILED_${kind} ${target})
  endif()
endfunction()

# HEADERS: what most files of the folder include besides.
function(flexjit_folder folder)
  cmake_parse_arguments(ARG "LLVM;CLANG" "" "SOURCES;LINK;HEADERS" ${ARGN})
  set(target flexjit_${folder})
  add_library(${target} OBJECT ${ARG_SOURCES})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/lib> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>)
  target_link_libraries(${target} PRIVATE flexjit_options fmt::fmt ${ARG_LINK})
  target_compile_definitions(${target} PRIVATE
    FLEXJIT_LLVM_VERSION="${LLVM_PACKAGE_VERSION}" FLEXJIT_VERSION="${PROJECT_VERSION}")
  if(ARG_LLVM)
    target_include_directories(${target} SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS})
    flexjit_precompile(${target} llvm ${FLEXJIT_COMMON_HEADERS} ${FLEXJIT_LLVM_HEADERS})
  elseif(ARG_CLANG)  # in the folders of LLVM's
    target_include_directories(${target} SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS})
    if(FLEXJIT_FUZZERS)
      target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
    flexjit_precompile(${target} clang ${FLEXJIT_COMMON_HEADERS} ${FLEXJIT_CLANG_HEADERS})
  elseif(ARG_HEADERS)
    flexjit_precompile(${target} ${folder} ${FLEXJIT_COMMON_HEADERS} ${ARG_HEADERS})
  elseif(FLEXJIT_FUZZERS AND folder MATCHES "^(dsl|ir)$")  # what parses and lowers guides the fuzzer
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    flexjit_precompile(${target} fuzzed ${FLEXJIT_COMMON_HEADERS})
  else()
    flexjit_precompile(${target} lib ${FLEXJIT_COMMON_HEADERS})
  endif()
endfunction()
