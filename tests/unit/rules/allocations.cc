// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/rules/allocations.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

pointsman::support::Allocated so_far;

void* Counted(std::size_t size) {
  ++so_far.calls;
  so_far.bytes += static_cast<int64_t>(size);
  return std::malloc(size);
}

}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = Counted(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return Counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace pointsman::support {

Allocated AllocatedSoFar() { return so_far; }

}  // namespace pointsman::support
