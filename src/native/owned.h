// Objects on the heap without the C++ runtime library: with `new`, the addon would need a libstdc++ of the host, and a
// prebuilt binary does not know which one that is.
#pragma once

#include <cstdlib>
#include <new>

namespace ripstop {

// A new T; its members without an initialiser have no value yet. Ends the process when there is no memory, as Node does.
template <typename T>
T* Create() {
  const size_t alignment = alignof(T) < sizeof(void*) ? sizeof(void*) : alignof(T);
  void* memory = aligned_alloc(alignment, (sizeof(T) + alignment - 1) / alignment * alignment);
  if (memory == nullptr) abort();
  return new (memory) T;
}

template <typename T>
void Destroy(T* object) {
  object->~T();
  free(object);
}

// Owns a T that is created by the first Get(). T may be incomplete where this is a member.
template <typename T>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (object_ != nullptr) destroy_(object_);
  }

  T& Get() {
    if (object_ == nullptr) {
      object_ = Create<T>();
      destroy_ = [](T* object) { Destroy(object); };
    }
    return *object_;
  }

 private:
  T* object_ = nullptr;
  void (*destroy_)(T*) = nullptr;
};

}  // namespace ripstop
