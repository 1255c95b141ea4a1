# Run by ctest: configures and builds one example against the flexjit that is installed in PREFIX, with every warning an error, and
# runs it: once for each of the command lines in RUNS that | separates, or once without arguments. The last run must print PRINTS. LAUNCHER: a program and its
# arguments that starts it, as mpirun; empty: none.
cmake_minimum_required(VERSION 3.25)
set(build ${WORK_FOLDER}/${EXAMPLE})
file(REMOVE_RECURSE ${build})

set(flags "-Wall -Wextra -Wshadow -Wold-style-cast -Wnon-virtual-dtor -Werror")
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE_FOLDER}/${EXAMPLE} -B ${build} -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${PREFIX}
  -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DCMAKE_CXX_FLAGS=${flags} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${build} COMMAND_ERROR_IS_FATAL ANY)

string(REPLACE "|" ";" runs "${RUNS}")
if(NOT runs)
  set(runs " ")
endif()
foreach(run IN LISTS runs)
  separate_arguments(arguments UNIX_COMMAND "${run}")
  execute_process(COMMAND ${LAUNCHER} ${build}/${EXAMPLE} ${arguments} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE result)
  message(STATUS "${EXAMPLE} ${run}\n${out}${err}")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${EXAMPLE} ${run} exited with ${result}")
  endif()
endforeach()
string(FIND "${out}" "${PRINTS}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${EXAMPLE} does not print `${PRINTS}`")
endif()
