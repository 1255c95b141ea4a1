/* The version of these headers, for the preprocessor; flexjit_version() is that of the library. The build reads it here. */
#ifndef FLEXJIT_VERSION_H
#define FLEXJIT_VERSION_H

#define FLEXJIT_VERSION_MAJOR 0
#define FLEXJIT_VERSION_MINOR 1
#define FLEXJIT_VERSION_PATCH 0

/* 100 for 0.1.0: later versions are greater. */
#define FLEXJIT_VERSION_NUMBER (FLEXJIT_VERSION_MAJOR * 10000 + FLEXJIT_VERSION_MINOR * 100 + FLEXJIT_VERSION_PATCH)

#endif /* FLEXJIT_VERSION_H */
