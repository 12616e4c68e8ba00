// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <concepts>
#include <initializer_list>
#include <memory>
#include <utility>

namespace pointsman {

// A T that is rarely anything but T{}: a pointer's size while it is that. A value like the T it stands for. It is read
// with `*` and `->`, and replaced by assignment.
template <typename T>
class Rare {
 public:
  Rare() = default;
  template <typename U>
  requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, Rare>)
      Rare(U&& value) {  // NOLINT(google-explicit-constructor,bugprone-forwarding-reference-overload): it is a T
    Set(std::forward<U>(value));
  }
  template <typename E>
  requires std::convertible_to<E, typename T::value_type> Rare(std::initializer_list<E> list) {
    Set(T(list.begin(), list.end()));
  }
  Rare(const Rare& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Rare& operator=(const Rare& other) {
    if (this != &other) value_ = other.value_ ? std::make_unique<T>(*other.value_) : nullptr;
    return *this;
  }
  Rare(Rare&&) noexcept = default;
  Rare& operator=(Rare&&) noexcept = default;
  ~Rare() = default;

  const T& operator*() const {
    static const auto* const kNone = new T{};
    return value_ ? *value_ : *kNone;
  }
  const T* operator->() const { return &**this; }
  operator const T&() const { return **this; }  // NOLINT(google-explicit-constructor): it is a T

  friend bool operator==(const Rare& a, const Rare& b) { return *a == *b; }
  friend bool operator==(const Rare& a, const T& b) { return *a == b; }
  friend auto operator<=>(const Rare& a, const Rare& b) requires std::three_way_comparable<T> { return *a <=> *b; }

 private:
  void Set(T value) {
    if (!(value == T{})) value_ = std::make_unique<T>(std::move(value));
  }

  std::unique_ptr<T> value_;
};

}  // namespace pointsman
