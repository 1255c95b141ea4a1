# `cmake --install`: the public headers, both shared libraries and the package that find_package(flexjit) finds. The
# compiler library is installed beside libflexjit, which opens it at run time; nobody links it, so it is no part of the package.
include(CMakePackageConfigHelpers)

install(TARGETS flexjit EXPORT flexjit-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS flexjit-compiler LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/flexjit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.def")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/flexjit)
install(EXPORT flexjit-targets NAMESPACE flexjit:: DESTINATION ${package_folder})
configure_package_config_file(cmake/flexjit-config.cmake.in ${PROJECT_BINARY_DIR}/flexjit-config.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/flexjit-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/flexjit-config.cmake ${PROJECT_BINARY_DIR}/flexjit-config-version.cmake
  DESTINATION ${package_folder})
