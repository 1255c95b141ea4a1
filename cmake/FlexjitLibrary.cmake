# One target a folder. flexjit_folder(<folder> SOURCES ... [LINK ...]) makes the object library flexjit_<folder>; LLVM's
# headers are given to no folder but those that ask with LLVM, so a layering violation does not compile.

# Identifies one build folder: both shared libraries must carry the same value. Made once, because every file sees it: a new value
# at each configuration would recompile them all.
if(NOT DEFINED CACHE{FLEXJIT_BUILD_ID})
  string(TIMESTAMP FLEXJIT_CONFIGURED "%Y%m%d%H%M%S" UTC)
  set(FLEXJIT_BUILD_ID "${PROJECT_VERSION}-${FLEXJIT_CONFIGURED}" CACHE INTERNAL "")
endif()

add_library(flexjit_options INTERFACE)
target_compile_options(flexjit_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wswitch -Werror=switch)
if(FLEXJIT_WERROR)
  target_compile_options(flexjit_options INTERFACE -Werror)
endif()
if(FLEXJIT_SANITIZE)
  target_compile_options(flexjit_options INTERFACE -fsanitize=${FLEXJIT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(flexjit_options INTERFACE -fsanitize=${FLEXJIT_SANITIZE})
endif()

function(flexjit_folder folder)
  cmake_parse_arguments(ARG "LLVM" "" "SOURCES;LINK" ${ARGN})
  set(target flexjit_${folder})
  add_library(${target} OBJECT ${ARG_SOURCES})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/lib> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  target_link_libraries(${target} PRIVATE flexjit_options fmt::fmt ${ARG_LINK})
  target_compile_definitions(${target} PRIVATE
    FLEXJIT_BUILD_ID="${FLEXJIT_BUILD_ID}" FLEXJIT_LLVM_VERSION="${LLVM_PACKAGE_VERSION}" FLEXJIT_VERSION="${PROJECT_VERSION}")
  if(ARG_LLVM)
    target_include_directories(${target} SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS})
  endif()
endfunction()
