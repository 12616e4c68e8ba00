# SPDX-License-Identifier: Apache-2.0
#
# Compiles for another Debian architecture: PM_TRIPLET names it, PM_SYSROOT holds its packages (deploy/image/sysroot).
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${PM_TRIPLET}")
set(CMAKE_CXX_COMPILER ${PM_TRIPLET}-g++)
set(CMAKE_SYSROOT ${PM_SYSROOT})
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PM_TRIPLET PM_SYSROOT)

# Headers, libraries and packages of the other architecture; programs, like protoc, of this one.
set(CMAKE_FIND_ROOT_PATH ${PM_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${PM_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${PM_SYSROOT}/usr/lib/${PM_TRIPLET}/pkgconfig:${PM_SYSROOT}/usr/share/pkgconfig)
