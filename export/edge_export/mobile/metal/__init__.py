"""A package for iOS: Swift around TensorFlow Lite's Metal delegate, as a pod and as a Swift
package."""

from .package import write_ios

__all__ = ["write_ios"]
