# `cmake --install`: the public headers, the shared libraries, the command with its manual and completion, the documents and
# examples, and the packages that find_package(flexjit) and pkg-config find. The compiler and linker libraries are installed beside
# libflexjit, which opens them at run time; nobody links them, so they are no part of the packages.
include(CMakePackageConfigHelpers)

install(TARGETS flexjit EXPORT flexjit-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS flexjit-compiler flexjit-linker flexjit-cxx LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} NAMELINK_SKIP)
install(TARGETS flexjit_command EXPORT flexjit-targets RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/flexjit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.def")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/flexjit)
install(EXPORT flexjit-targets NAMESPACE flexjit:: DESTINATION ${package_folder})
# Attention over ranks needs MPI where it is used, which find_package(flexjit) then looks for.
if(TARGET flexjit-mpi)
  install(TARGETS flexjit-mpi EXPORT flexjit-mpi-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY mpi/include/flexjit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  install(EXPORT flexjit-mpi-targets NAMESPACE flexjit:: DESTINATION ${package_folder})
endif()
configure_package_config_file(cmake/flexjit-config.cmake.in ${PROJECT_BINARY_DIR}/flexjit-config.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/flexjit-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/flexjit-config.cmake ${PROJECT_BINARY_DIR}/flexjit-config-version.cmake cmake/AddPatterns.cmake
  DESTINATION ${package_folder})

# Written when it is installed, because --prefix may name another folder than the one that was configured.
configure_file(cmake/flexjit.pc.in ${PROJECT_BINARY_DIR}/flexjit.pc.in @ONLY)
install(CODE "
  set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
  file(READ \"${PROJECT_BINARY_DIR}/flexjit.pc.in\" text)
  string(REGEX REPLACE \"^prefix=[^\n]*\" \"prefix=\${prefix}\" text \"\${text}\")
  file(WRITE \"${PROJECT_BINARY_DIR}/flexjit.pc\" \"\${text}\")")
install(FILES ${PROJECT_BINARY_DIR}/flexjit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples dsl-examples DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Whatever cannot be run here cannot describe itself.
if(NOT CMAKE_CROSSCOMPILING)
  set(folder ${PROJECT_BINARY_DIR}/share)
  install(FILES ${folder}/flexjit.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${folder}/flexjit.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME flexjit)
  install(FILES ${folder}/flexjit.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _flexjit)
  install(FILES ${folder}/flexjit.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
