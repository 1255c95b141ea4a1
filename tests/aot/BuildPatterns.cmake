# flexjit_build_test_patterns(<folder> <targets> <out>): tests/aot/*.flex built into <folder>, as a shared library for each target and
# element type, lib<target>.<dtype>.so, and as an archive for all targets, libarchive.<dtype>.a, with the headers patterns.<dtype>.h; <out>
# are the files. Those of f32 have kernels of gradients.
function(flexjit_build_test_patterns folder targets out)
  set(source ${PROJECT_SOURCE_DIR}/tests/aot)
  set(patterns ${source}/plain.flex ${source}/biased.flex ${source}/documents.flex)
  file(MAKE_DIRECTORY ${folder})
  set(files "")
  function(build library header)
    add_custom_command(OUTPUT ${library} ${header}
      COMMAND flexjit_command build ${patterns} --head-dim 40 --v-head-dim 24 ${ARGN} -o ${library} --header ${header}
      DEPENDS ${patterns} flexjit_command flexjit-compiler VERBATIM)
    set(files ${files} ${library} ${header} PARENT_SCOPE)
  endfunction()
  set(passes_f32 --backward)
  set(passes_bf16 "")
  foreach(dtype f32 bf16)
    foreach(target ${targets})
      build(${folder}/lib${target}.${dtype}.so ${folder}/${target}.${dtype}.h --dtype ${dtype} --target ${target} ${passes_${dtype}})
    endforeach()
  endforeach()
  string(REPLACE ";" "," all "${targets}")
  foreach(dtype f32 bf16)
    build(${folder}/libarchive.${dtype}.a ${folder}/patterns.${dtype}.h --dtype ${dtype} --target ${all} ${passes_${dtype}})
  endforeach()
  set(${out} ${files} PARENT_SCOPE)
endfunction()
