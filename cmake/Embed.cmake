# flexjit_embed(<output> <function> FILES ...): a C++ source that defines flexjit::tools::<function>() over the named files, so that the
# command carries them wherever it is installed. Works on strings, never on lists, because code is full of semicolons and brackets.
function(flexjit_embed output function)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(entries "")
  foreach(file ${ARG_FILES})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} text)
    get_filename_component(name ${file} NAME)
    string(APPEND entries "    {\"${name}\", R\"embedded(${text})embedded\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} @ONLY CONTENT [[
// Made by cmake/Embed.cmake.
#include "data/embedded.h"

namespace flexjit::tools {

std::span<const EmbeddedFile> @function@() {
  static constexpr EmbeddedFile kFiles[] = {
@entries@  };
  return kFiles;
}

}  // namespace flexjit::tools
]])
endfunction()
