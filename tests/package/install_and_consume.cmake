# Run by ctest; each step fails the test with the step's own output.
set(prefix ${WORK_FOLDER}/prefix)
set(consumer_build ${WORK_FOLDER}/consumer)
file(REMOVE_RECURSE ${prefix} ${consumer_build})

set(flags "")
if(SANITIZE)
  set(flags -fsanitize=${SANITIZE})
endif()

function(step)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

step(${CMAKE_COMMAND} --install ${BUILD_FOLDER} --prefix ${prefix})
step(${CMAKE_COMMAND} -S ${CONSUMER} -B ${consumer_build} -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix}
  -DCMAKE_C_COMPILER=${C_COMPILER} -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DCMAKE_C_FLAGS=${flags} -DCMAKE_CXX_FLAGS=${flags})
step(${CMAKE_COMMAND} --build ${consumer_build})
step(${consumer_build}/consumer_cpp)
step(${consumer_build}/consumer_c)
