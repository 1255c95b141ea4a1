# Run by ctest: installs this build, builds the example against it, then takes the compiler away and runs the example as it is and, where
# there is an emulator, on other processors, each of which must take the code that is best for it.
set(prefix ${WORK_FOLDER}/prefix)
set(build ${WORK_FOLDER}/example)
file(REMOVE_RECURSE ${prefix} ${build})

function(step)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# expect(<code> <text> <command>...): the exit code, and a part of what it prints.
function(expect code text)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE result)
  string(FIND "${out}${err}" "${text}" at)
  if(NOT result EQUAL code OR at EQUAL -1)
    message(FATAL_ERROR "${ARGN} exited with ${result}, not ${code}, or does not print `${text}`:\n${out}${err}")
  endif()
endfunction()

step(${CMAKE_COMMAND} --install ${BUILD_FOLDER} --prefix ${prefix})
step(${CMAKE_COMMAND} -S ${EXAMPLE} -B ${build} -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_C_COMPILER=${C_COMPILER})
step(${CMAKE_COMMAND} --build ${build})

file(GLOB_RECURSE compiler ${prefix}/libflexjit-compiler*)
if(NOT compiler)
  message(FATAL_ERROR "no compiler library was installed in ${prefix}")
endif()
file(REMOVE ${compiler})
set(example ${build}/built_patterns)
expect(1 "cannot open the compiler library" ${CMAKE_COMMAND} -E env FLEXJIT_CACHE_DIR= ${prefix}/bin/flexjit run -e "mask = q_idx >= kv_idx" --q-len 64)
expect(0 "code for x86-64-v" ${example})

execute_process(COMMAND ldd ${example} OUTPUT_VARIABLE libraries COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "ldd ${example}\n${libraries}")
if(libraries MATCHES "LLVM" OR libraries MATCHES "flexjit-compiler" OR NOT libraries MATCHES "libflexjit\\.so")
  message(FATAL_ERROR "the example should need libflexjit, and no LLVM:\n${libraries}")
endif()

if(EMULATOR)
  expect(0 "code for x86-64-v3" ${EMULATOR} -cpu Haswell ${example})
  expect(0 "code for x86-64-v2" ${EMULATOR} -cpu Nehalem ${example})
  expect(1 "code for x86-64-v2, x86-64-v3, x86-64-v4, but this machine executes x86-64;" ${EMULATOR} -cpu core2duo ${example})
else()
  message(STATUS "no qemu-x86_64 (scripts/install-deps test): the choice between instruction sets is not tested")
endif()
